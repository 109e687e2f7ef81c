/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multiplies two matrices, C = A B, with the generic form of the operation, and
 * compares with the result of a plain loop.
 *
 *     VACCEL_PLUGINS=libvaccel-blas.so ./sgemm_generic
 *     VACCEL_PLUGINS=libvaccel-blas.so ./sgemm_generic 512 512 512 10
 */
#include "sgemm.h"

static int call(struct sgemm *g)
{
    struct example_call call;
    int ret = example_call_init(&call, VACCEL_OP_BLAS_SGEMM);
    if (!ret)
        ret = vaccel_arg_array_add_int64(&call.read, &g->m);
    if (!ret)
        ret = vaccel_arg_array_add_int64(&call.read, &g->n);
    if (!ret)
        ret = vaccel_arg_array_add_int64(&call.read, &g->k);
    if (!ret)
        ret = vaccel_arg_array_add_float(&call.read, &g->alpha);
    if (!ret)
        ret = vaccel_arg_array_add_float_array(&call.read, g->a, (size_t)(g->m * g->k));
    if (!ret)
        ret = vaccel_arg_array_add_int64(&call.read, &g->k);
    if (!ret)
        ret = vaccel_arg_array_add_float_array(&call.read, g->b, (size_t)(g->k * g->n));
    if (!ret)
        ret = vaccel_arg_array_add_int64(&call.read, &g->n);
    if (!ret)
        ret = vaccel_arg_array_add_float(&call.read, &g->beta);
    if (!ret)
        ret = vaccel_arg_array_add_int64(&call.read, &g->n);
    if (!ret)
        ret = vaccel_arg_array_add_float_array(&call.write, g->c, (size_t)(g->m * g->n));
    if (!ret)
        ret = example_call_run(&call, g->sess);
    example_call_release(&call);
    return ret;
}

int main(int argc, char **argv)
{
    return sgemm_main(argc, argv, call);
}
