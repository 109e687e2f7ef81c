/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Adds and multiplies two arrays, with the generic form of the operation.
 *
 *     VACCEL_PLUGINS=/path/to/plugin.so ./fpga_parallel_generic
 *     VACCEL_PLUGINS=/path/to/plugin.so ./fpga_parallel_generic 1024
 */
#include "fpga.h"

static int call(struct fpga *f)
{
    return fpga_generic(f, VACCEL_OP_FPGA_PARALLEL, 2);
}

int main(int argc, char **argv)
{
    return fpga_main(argc, argv, "parallel", false, call, fpga_added_and_multiplied);
}
