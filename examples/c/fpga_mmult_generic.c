/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multiplies two square matrices, with the generic form of the operation.
 *
 *     VACCEL_PLUGINS=/path/to/plugin.so ./fpga_mmult_generic
 *     VACCEL_PLUGINS=/path/to/plugin.so ./fpga_mmult_generic 64
 */
#include "fpga.h"

static int call(struct fpga *f)
{
    return fpga_generic(f, VACCEL_OP_FPGA_MMULT, 1);
}

int main(int argc, char **argv)
{
    return fpga_main(argc, argv, "mmult", true, call, fpga_multiplied);
}
