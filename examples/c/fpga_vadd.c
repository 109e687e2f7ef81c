/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Adds two arrays.
 *
 *     VACCEL_PLUGINS=/path/to/plugin.so ./fpga_vadd
 *     VACCEL_PLUGINS=/path/to/plugin.so ./fpga_vadd 1024
 */
#include "fpga.h"

static int call(struct fpga *f)
{
    return vaccel_fpga_vadd(f->sess, f->a, f->b, f->c, f->count, f->count);
}

int main(int argc, char **argv)
{
    return fpga_main(argc, argv, "vadd", false, call, fpga_added);
}
