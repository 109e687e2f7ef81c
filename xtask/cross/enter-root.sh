#!/bin/sh
# Runs cargo in the folder that make-root.sh made. Mounts live in a namespace of their own and
# end with it: nothing to clean up.
# usage: unshare --mount --pid --fork enter-root.sh ROOT SOURCES CARGO_HOME OUTPUT ARGUMENTS...
set -eu
root=$1 sources=$2 home=$3 output=$4
shift 4

mkdir -p "$root/sources" "$root/cargo" "$root/output" "$output"
mount --make-rprivate /
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --bind "$sources" "$root/sources"
mount -o remount,ro,bind "$root/sources"
mount --bind "$home" "$root/cargo"
mount --bind "$output" "$root/output"

exec chroot "$root" env --ignore-environment --chdir=/sources \
  PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root CARGO_HOME=/cargo CARGO_TARGET_DIR=/output CARGO_INCREMENTAL=0 \
  CARGO_TERM_COLOR=never \
  CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc \
  CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
  CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=qemu-aarch64 \
  CC_armv7_unknown_linux_gnueabihf=arm-linux-gnueabihf-gcc \
  CARGO_TARGET_ARMV7_UNKNOWN_LINUX_GNUEABIHF_LINKER=arm-linux-gnueabihf-gcc \
  CARGO_TARGET_ARMV7_UNKNOWN_LINUX_GNUEABIHF_RUNNER=qemu-arm \
  cargo "$@"
