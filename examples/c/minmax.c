/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the smallest and the largest of some numbers, and clips all to thresholds.
 *
 *     VACCEL_PLUGINS=/path/to/plugin.so ./minmax 2 8 1 5.5 9 3
 */
#include "minmax.h"

static int call(struct minmax *m)
{
    return vaccel_minmax(m->sess, m->in, m->count, m->low, m->high, m->out, &m->min, &m->max);
}

int main(int argc, char **argv)
{
    return minmax_main(argc, argv, call);
}
