/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multiplies two matrices, C = A B, and compares with the result of a plain loop.
 *
 *     VACCEL_PLUGINS=libvaccel-blas.so ./sgemm
 *     VACCEL_PLUGINS=libvaccel-blas.so ./sgemm 512 512 512 10
 */
#include "sgemm.h"

static int call(struct sgemm *g)
{
    return vaccel_sgemm(g->sess, g->m, g->n, g->k, g->alpha, g->a, g->k, g->b, g->n, g->beta, g->c,
                        g->n);
}

int main(int argc, char **argv)
{
    return sgemm_main(argc, argv, call);
}
