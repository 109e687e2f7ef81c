/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multiplies two square matrices.
 *
 *     VACCEL_PLUGINS=/path/to/plugin.so ./fpga_mmult
 *     VACCEL_PLUGINS=/path/to/plugin.so ./fpga_mmult 64
 */
#include "fpga.h"

static int call(struct fpga *f)
{
    return vaccel_fpga_mmult(f->sess, f->a, f->b, f->c, f->count);
}

int main(int argc, char **argv)
{
    return fpga_main(argc, argv, "mmult", true, call, fpga_multiplied);
}
