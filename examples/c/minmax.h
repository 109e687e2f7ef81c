/* SPDX-License-Identifier: Apache-2.0 */
/* What minmax.c and minmax_generic.c share: the numbers and the check of the result. */
#ifndef EXAMPLE_MINMAX_H
#define EXAMPLE_MINMAX_H

#include "example.h"

struct minmax {
    struct vaccel_session *sess;
    int low, high, count;
    double *in, *out;
    double min, max;
};

static inline void minmax_release(struct minmax *m)
{
    free(m->in);
    free(m->out);
}

/* Reads LOW, HIGH and the numbers. */
static inline bool minmax_parse(struct minmax *m, int argc, char **argv)
{
    long low, high;
    if (!example_number(argv[1], -1000000, 1000000, &low) ||
        !example_number(argv[2], low, 1000000, &high))
        return false;
    *m = (struct minmax){ .low = (int)low, .high = (int)high, .count = argc - 3 };
    m->in = calloc((size_t)m->count, sizeof(double));
    m->out = calloc((size_t)m->count, sizeof(double));
    bool right = m->in && m->out;
    for (int i = 0; right && i < m->count; i++) {
        char *end;
        m->in[i] = strtod(argv[3 + i], &end);
        right = end != argv[3 + i] && !*end;
        if (!right)
            fprintf(stderr, "'%s' is not a number\n", argv[3 + i]);
    }
    if (!right)
        minmax_release(m);
    return right;
}

/* Prints the result; false, with a message, when it is wrong. */
static inline bool minmax_report(const struct minmax *m)
{
    double min = m->in[0], max = m->in[0];
    bool right = true;
    printf("min %g, max %g, clipped:", m->min, m->max);
    for (int i = 0; i < m->count; i++) {
        double in = m->in[i];
        double clipped = in < m->low ? m->low : in > m->high ? m->high : in;
        printf(" %g", m->out[i]);
        right = right && m->out[i] == clipped;
        min = in < min ? in : min;
        max = in > max ? in : max;
    }
    printf("\n");
    right = right && m->min == min && m->max == max;
    if (!right)
        fprintf(stderr, "the result is wrong\n");
    return right;
}

/* Reads the numbers, makes the call and checks the result. */
static inline int minmax_main(int argc, char **argv, int (*call)(struct minmax *))
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
    m.sess = &s.sess;
    int ret = call(&m);
    bool right = !ret && minmax_report(&m);
    if (ret)
        example_fail("minmax", ret);
    minmax_release(&m);
    return example_close(&s) && right ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif /* EXAMPLE_MINMAX_H */
