/* SPDX-License-Identifier: Apache-2.0 */
/* What the programs that multiply matrices share: the matrices and the check of the result. */
#ifndef EXAMPLE_SGEMM_H
#define EXAMPLE_SGEMM_H

#include "example.h"

/* C (m x n) = alpha A (m x k) B (k x n) + beta C, all row-major without gaps. */
struct sgemm {
    struct vaccel_session *sess;
    int64_t m, n, k;
    long iterations;
    float alpha, beta;
    float *a, *b, *c;
};

/* Reads M, N, K and ITERATIONS; what is missing is 32, M, M and 1. */
static inline bool sgemm_parse(struct sgemm *g, int argc, char **argv)
{
    long value[4] = { 32, 0, 0, 1 };
    for (int i = 1; i < argc; i++)
        if (!example_number(argv[i], 1, i < 4 ? 8192 : 1000000, &value[i - 1]))
            return false;
    *g = (struct sgemm){ .m = value[0],
                         .n = value[1] ? value[1] : value[0],
                         .k = value[2] ? value[2] : value[0],
                         .iterations = value[3],
                         .alpha = 1.0f,
                         .beta = 0.0f };
    return true;
}

static inline void sgemm_release(struct sgemm *g)
{
    free(g->a);
    free(g->b);
    free(g->c);
}

static inline bool sgemm_allocate(struct sgemm *g)
{
    g->a = example_ramp((size_t)(g->m * g->k));
    g->b = example_ramp((size_t)(g->k * g->n));
    g->c = calloc((size_t)(g->m * g->n), sizeof(*g->c));
    if (g->a && g->b && g->c)
        return true;
    fprintf(stderr, "out of memory\n");
    sgemm_release(g);
    return false;
}

/* Compares every element with a plain loop in double precision. */
static inline bool sgemm_check(const struct sgemm *g)
{
    for (int64_t i = 0; i < g->m; i++) {
        for (int64_t j = 0; j < g->n; j++) {
            double sum = 0.0;
            for (int64_t l = 0; l < g->k; l++)
                sum += (double)g->a[i * g->k + l] * (double)g->b[l * g->n + j];
            double got = (double)g->c[i * g->n + j];
            /* All terms are positive, so that the error is relative to the sum. */
            double difference = got > sum ? got - sum : sum - got;
            if (!(difference <= 1e-4 * sum + 1e-6)) {
                fprintf(stderr, "C[%lld][%lld] is %g, not %g\n", (long long)i, (long long)j, got,
                        sum);
                return false;
            }
        }
    }
    return true;
}

/* Prints time and speed of all iterations; false when the result is wrong. */
static inline bool sgemm_report(const struct sgemm *g, uint64_t time)
{
    double seconds = (double)time / (double)g->iterations / 1e9;
    if (!sgemm_check(g))
        return false;
    example_print_floats("C", g->c, (size_t)(g->m * g->n));
    printf("sgemm: %lld x %lld x %lld is right, %.3f ms, %.2f GFLOP/s\n", (long long)g->m,
           (long long)g->n, (long long)g->k, seconds * 1e3,
           2.0 * (double)g->m * (double)g->n * (double)g->k / seconds / 1e9);
    return true;
}

/* Makes the matrices, makes the calls and checks the result. */
static inline int sgemm_main(int argc, char **argv, int (*call)(struct sgemm *))
{
    struct sgemm g;
    if (example_wrong_usage(argc, argv, 0, 4, "[M [N [K [ITERATIONS]]]]") ||
        !sgemm_parse(&g, argc, argv))
        return EXAMPLE_USAGE;
    if (!sgemm_allocate(&g))
        return EXIT_FAILURE;

    int status = EXIT_FAILURE;
    struct example_session s;
    if (!example_open(&s, NULL))
        goto release;

    g.sess = &s.sess;
    int ret = VACCEL_OK;
    uint64_t start = example_now();
    for (long i = 0; !ret && i < g.iterations; i++)
        ret = call(&g);
    uint64_t time = example_now() - start;
    if (ret)
        example_fail("sgemm", ret);
    else if (sgemm_report(&g, time))
        status = EXIT_SUCCESS;

    if (!example_close(&s))
        status = EXIT_FAILURE;
release:
    sgemm_release(&g);
    return status;
}

#endif /* EXAMPLE_SGEMM_H */
