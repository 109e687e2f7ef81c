/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file vaccel/ops/blas.h
 * Matrix multiplication.
 *
 * A plugin implements VACCEL_OP_BLAS_SGEMM with a function of the same signature.
 */
#ifndef VACCEL_OPS_BLAS_H
#define VACCEL_OPS_BLAS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vaccel_session;

/**
 * Computes C = alpha A B + beta C on row-major matrices of floats.
 *
 * @param sess   an open session
 * @param m      rows of A and C
 * @param n      columns of B and C
 * @param k      columns of A, rows of B
 * @param alpha  factor of the product
 * @param a      A: m x k, row i begins at a[i * lda]
 * @param lda    floats from one row of A to the next, at least k
 * @param b      B: k x n, row i begins at b[i * ldb]
 * @param ldb    floats from one row of B to the next, at least n
 * @param beta   factor of C; with 0 the old content of C is not read
 * @param c      C: m x n, row i begins at c[i * ldc]; read and written
 * @param ldc    floats from one row of C to the next, at least n
 * @return       VACCEL_OK; VACCEL_EINVAL; VACCEL_ENOTSUP; or the error of the
 *               plugin
 */
int vaccel_sgemm(struct vaccel_session *sess, int64_t m, int64_t n, int64_t k, float alpha,
                 float *a, int64_t lda, float *b, int64_t ldb, float beta, float *c, int64_t ldc);

#ifdef __cplusplus
}
#endif

#endif /* VACCEL_OPS_BLAS_H */
