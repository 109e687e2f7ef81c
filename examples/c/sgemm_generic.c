/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multiplies two matrices, C = A B, with the generic form of the operation, and
 * compares with the result of a plain loop.
 *
 *     VACCEL_PLUGINS=libvaccel-blas.so ./sgemm_generic
 *     VACCEL_PLUGINS=libvaccel-blas.so ./sgemm_generic 512 512 512 10
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

    struct example_call call;
    int ret = example_call_init(&call, VACCEL_OP_BLAS_SGEMM);
    if (!ret)
        ret = vaccel_arg_array_add_int64(&call.read, &g.m);
    if (!ret)
        ret = vaccel_arg_array_add_int64(&call.read, &g.n);
    if (!ret)
        ret = vaccel_arg_array_add_int64(&call.read, &g.k);
    if (!ret)
        ret = vaccel_arg_array_add_float(&call.read, &g.alpha);
    if (!ret)
        ret = vaccel_arg_array_add_float_array(&call.read, g.a, (size_t)(g.m * g.k));
    if (!ret)
        ret = vaccel_arg_array_add_int64(&call.read, &g.k);
    if (!ret)
        ret = vaccel_arg_array_add_float_array(&call.read, g.b, (size_t)(g.k * g.n));
    if (!ret)
        ret = vaccel_arg_array_add_int64(&call.read, &g.n);
    if (!ret)
        ret = vaccel_arg_array_add_float(&call.read, &g.beta);
    if (!ret)
        ret = vaccel_arg_array_add_int64(&call.read, &g.n);
    if (!ret)
        ret = vaccel_arg_array_add_float_array(&call.write, g.c, (size_t)(g.m * g.n));

    uint64_t start = example_now();
    for (long i = 0; !ret && i < g.iterations; i++)
        ret = example_call_run(&call, &s.sess);
    uint64_t time = example_now() - start;
    if (ret)
        example_fail("sgemm", ret);
    else if (sgemm_report(&g, time))
        status = EXIT_SUCCESS;

    example_call_release(&call);
    if (!example_close(&s))
        status = EXIT_FAILURE;
release:
    sgemm_release(&g);
    return status;
}
