/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Adds and multiplies two arrays.
 *
 *     VACCEL_PLUGINS=/path/to/plugin.so ./fpga_parallel
 *     VACCEL_PLUGINS=/path/to/plugin.so ./fpga_parallel 1024
 */
#include "fpga.h"

static int call(struct fpga *f)
{
    return vaccel_fpga_parallel(f->sess, f->a, f->b, f->c, f->d, f->count);
}

int main(int argc, char **argv)
{
    return fpga_main(argc, argv, "parallel", false, call, fpga_added_and_multiplied);
}
