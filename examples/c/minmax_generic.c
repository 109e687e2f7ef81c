/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the smallest and the largest of some numbers, and clips all to
 * thresholds, with the generic form of the operation.
 *
 *     VACCEL_PLUGINS=/path/to/plugin.so ./minmax_generic 2 8 1 5.5 9 3
 */
#include "minmax.h"

static int call(struct minmax *m)
{
    struct example_call call;
    int ret = example_call_init(&call, VACCEL_OP_MINMAX);
    if (!ret)
        ret = vaccel_arg_array_add_double_array(&call.read, m->in, (size_t)m->count);
    if (!ret)
        ret = vaccel_arg_array_add_int32(&call.read, &m->count);
    if (!ret)
        ret = vaccel_arg_array_add_int32(&call.read, &m->low);
    if (!ret)
        ret = vaccel_arg_array_add_int32(&call.read, &m->high);
    if (!ret)
        ret = vaccel_arg_array_add_double_array(&call.write, m->out, (size_t)m->count);
    if (!ret)
        ret = vaccel_arg_array_add_double(&call.write, &m->min);
    if (!ret)
        ret = vaccel_arg_array_add_double(&call.write, &m->max);
    if (!ret)
        ret = example_call_run(&call, m->sess);
    example_call_release(&call);
    return ret;
}

int main(int argc, char **argv)
{
    return minmax_main(argc, argv, call);
}
