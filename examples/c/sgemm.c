/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multiplies two matrices, C = A B, and compares with the result of a plain loop.
 *
 *     VACCEL_PLUGINS=libvaccel-blas.so ./sgemm
 *     VACCEL_PLUGINS=libvaccel-blas.so ./sgemm 512 512 512 10
 */
#include "sgemm.h"

int main(int argc, char **argv)
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

    int ret = VACCEL_OK;
    uint64_t start = example_now();
    for (long i = 0; !ret && i < g.iterations; i++)
        ret = vaccel_sgemm(&s.sess, g.m, g.n, g.k, g.alpha, g.a, g.k, g.b, g.n, g.beta, g.c, g.n);
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
