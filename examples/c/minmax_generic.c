/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the smallest and the largest of some numbers, and clips all to
 * thresholds, with the generic form of the operation.
 *
 *     VACCEL_PLUGINS=/path/to/plugin.so ./minmax_generic 2 8 1 5.5 9 3
 */
#include "minmax.h"

int main(int argc, char **argv)
{
    struct minmax m;
    if (example_wrong_usage(argc, argv, 3, 1000, "LOW HIGH NUMBER...") ||
        !minmax_parse(&m, argc, argv))
        return EXAMPLE_USAGE;

    struct example_session s;
    if (!example_open(&s, NULL)) {
        minmax_release(&m);
        return EXIT_FAILURE;
    }
    struct example_call call;
    int ret = example_call_init(&call, VACCEL_OP_MINMAX);
    if (!ret)
        ret = vaccel_arg_array_add_double_array(&call.read, m.in, (size_t)m.count);
    if (!ret)
        ret = vaccel_arg_array_add_int32(&call.read, &m.count);
    if (!ret)
        ret = vaccel_arg_array_add_int32(&call.read, &m.low);
    if (!ret)
        ret = vaccel_arg_array_add_int32(&call.read, &m.high);
    if (!ret)
        ret = vaccel_arg_array_add_double_array(&call.write, m.out, (size_t)m.count);
    if (!ret)
        ret = vaccel_arg_array_add_double(&call.write, &m.min);
    if (!ret)
        ret = vaccel_arg_array_add_double(&call.write, &m.max);
    if (!ret)
        ret = example_call_run(&call, &s.sess);
    bool right = !ret && minmax_report(&m);
    if (ret)
        example_fail("minmax", ret);
    example_call_release(&call);
    minmax_release(&m);
    return example_close(&s) && right ? EXIT_SUCCESS : EXIT_FAILURE;
}
