/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies an array of ints.
 *
 *     VACCEL_PLUGINS=/path/to/plugin.so ./fpga_arraycopy
 *     VACCEL_PLUGINS=/path/to/plugin.so ./fpga_arraycopy 1024
 */
#include "fpga.h"

static int call(struct fpga *f)
{
    return vaccel_fpga_arraycopy(f->sess, f->ints, f->copy, f->count);
}

int main(int argc, char **argv)
{
    return fpga_main(argc, argv, "arraycopy", false, call, fpga_copied);
}
