/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies an array of ints, with the generic form of the operation.
 *
 *     VACCEL_PLUGINS=/path/to/plugin.so ./fpga_arraycopy_generic
 *     VACCEL_PLUGINS=/path/to/plugin.so ./fpga_arraycopy_generic 1024
 */
#include "fpga.h"

static int call(struct fpga *f)
{
    struct example_call call;
    int ret = example_call_init(&call, VACCEL_OP_FPGA_ARRAYCOPY);
    if (!ret)
        ret = vaccel_arg_array_add_int32_array(&call.read, f->ints, f->count);
    if (!ret)
        ret = vaccel_arg_array_add_int32_array(&call.write, f->copy, f->count);
    if (!ret)
        ret = example_call_run(&call, f->sess);
    example_call_release(&call);
    return ret;
}

int main(int argc, char **argv)
{
    return fpga_main(argc, argv, "arraycopy", false, call, fpga_copied);
}
