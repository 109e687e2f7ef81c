/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the smallest and the largest of some numbers, and clips all to thresholds.
 *
 *     VACCEL_PLUGINS=/path/to/plugin.so ./minmax 2 8 1 5.5 9 3
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
    int ret = vaccel_minmax(&s.sess, m.in, m.count, m.low, m.high, m.out, &m.min, &m.max);
    bool right = !ret && minmax_report(&m);
    if (ret)
        example_fail("minmax", ret);
    minmax_release(&m);
    return example_close(&s) && right ? EXIT_SUCCESS : EXIT_FAILURE;
}
