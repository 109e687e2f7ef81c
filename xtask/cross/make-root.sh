#!/bin/sh
# Makes a Debian folder with Rust, C compilers and emulators for other processors.
# usage: make-root.sh FOLDER     (as root; needs debootstrap)
set -eu
root=$1

rm -rf "$root"
# Testing: the first suite whose Rust is new enough.
debootstrap --variant=minbase testing "$root"
# A mirror that lags behind is good enough to compile with; signatures are checked all the same.
echo 'Acquire::Check-Valid-Until "false";' >"$root/etc/apt/apt.conf.d/99lagging-mirror"
printf '127.0.0.1 localhost\n::1 localhost\n' >"$root/etc/hosts"
cp /etc/resolv.conf "$root/etc/resolv.conf"
chroot "$root" dpkg --add-architecture arm64
chroot "$root" dpkg --add-architecture armhf
chroot "$root" apt-get -qq update
chroot "$root" env DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends \
  cargo rustc gcc libc6-dev \
  gcc-aarch64-linux-gnu libc6-dev:arm64 libstd-rust-dev:arm64 \
  gcc-arm-linux-gnueabihf libc6-dev:armhf libstd-rust-dev:armhf \
  qemu-user
chroot "$root" apt-get clean
touch "$root/ready"
