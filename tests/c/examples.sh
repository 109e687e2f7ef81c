#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the example programs and looks at what they print. PREFIX: the installed
# vaccel; OUT: where the tests were built; RUN: a wrapper such as valgrind.
set -u

count=0
failures=0
examples=$OUT/examples
lib=$PREFIX/lib

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

ok() { # ok NAME: the last command decides
    status=$?
    count=$((count + 1))
    if [ $status -eq 0 ]; then
        echo "ok - $1"
    else
        failures=$((failures + 1))
        echo "not ok - $1"
        sed 's/^/# /' "$work/output"
    fi
}

# gives TEXT PLUGIN PROGRAM [ARGUMENT...]: the program succeeds and prints the text
gives() {
    text=$1 plugin=$2 program=$3
    shift 3
    VACCEL_PLUGINS=$plugin $RUN "$examples/$program" "$@" >"$work/output" 2>&1 &&
        grep -q -e "$text" "$work/output"
    ok "$program gives $text"
}

# fails STATUS TEXT PLUGIN PROGRAM [ARGUMENT...]: it fails and says why
fails() {
    wanted=$1 text=$2 plugin=$3 program=$4
    shift 4
    VACCEL_PLUGINS=$plugin $RUN "$examples/$program" "$@" >"$work/output" 2>&1
    [ $? -eq "$wanted" ] && grep -q -e "$text" "$work/output"
    ok "$program fails with $text"
}

recorder=$OUT/libvaccel-recorder.so
example=$OUT/libvaccel-example-c.so
echo "a picture" >"$work/picture"
echo "identity x f32 1 -1 4" >"$work/model"

gives 'noop: 10 calls' "$lib/libvaccel-noop.so" noop 10
gives 'values: 0 0.125' "$example" model_chain 1x2x4 "$work/model" "$work/model" "$work/model"
gives 'noop: 10 calls' "$lib/libvaccel-noop.so" noop_generic 10
gives 'us a call' "$lib/libvaccel-mbench.so" mbench 2 3
for form in '' _generic; do
    gives 'classification: a cat' "$recorder" classify$form "$work/picture"
    gives 'picture: picture4.png' "$recorder" detect$form "$work/picture" "$work/model" 2
    gives 'picture: picture5.png' "$recorder" segment$form "$work/picture"
    gives 'picture: picture6.png' "$recorder" pose$form "$work/picture"
    gives 'picture: picture7.png' "$recorder" depth$form "$work/picture"
    gives 'is right' "$recorder" sgemm$form 3 4 5 2
    gives 'is right' "$example" sgemm$form 17
    gives 'ints are copied' "$recorder" fpga_arraycopy$form
    gives 'C: ' "$recorder" fpga_mmult$form 5
    gives 'products: ' "$recorder" fpga_parallel$form
    gives 'sums: ' "$recorder" fpga_vadd$form 100
    gives 'min -3, max 9, clipped: 2 5.5 8 2' "$recorder" minmax$form 2 8 1 5.5 9 -3
    gives 'mytestfunc(10) = 20' "$lib/libvaccel-exec.so" exec$form "$examples/libmytestlib.so" 3
    gives 'mytestfunc(10) = 20' "$lib/libvaccel-exec.so" exec_with_resource$form \
        "$examples/libmytestlib.so" 3
done
gives '8 -> 16' "$lib/libvaccel-exec.so" exec_serialized "$examples/libmytestlib.so"
gives 'is right' "$recorder" torch_sgemm 3 4 5
gives 'VACCEL_TORCH_FLOAT, 2 dimensions' "$recorder" torch "$work/model" 2x3
gives 'VACCEL_TFLITE_FLOAT32, 2 dimensions' "$recorder" tflite "$work/model" 2x3 2
gives 'VACCEL_TF_FLOAT, 2 dimensions' "$recorder" tf "$work/model" in out:1 2x3
gives 'format identity, backend example-c' "$example" model "$work/model" '' 2
gives 'x: VACCEL_DTYPE_F32, 16 bytes' "$example" model "$work/model"

fails 2 'Usage: .*classify IMAGE' "$recorder" classify
fails 2 'Usage: .*sgemm' "$recorder" sgemm --help
fails 2 'not a number' "$recorder" noop many
fails 2 'not a shape' "$recorder" torch "$work/model" 2x
fails 1 "cannot open '/no/such/picture'" "$recorder" classify /no/such/picture
fails 1 'not found\|no such' "$recorder" torch /no/such/model 1
fails 1 'VACCEL_ENOTSUP' "$example" minmax 1 2 3
fails 1 'VACCEL_ESESS' /no/such/plugin.so noop
fails 1 'VACCEL_ENOENT' "$lib/libvaccel-exec.so" exec /no/such/library.so
fails 1 'remote: ' "$recorder" local_and_remote 2

echo "1..$count"
[ $failures -eq 0 ]
