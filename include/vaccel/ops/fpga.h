/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file vaccel/ops/fpga.h
 * Operations of FPGA plugins.
 *
 * A plugin implements VACCEL_OP_FPGA_* with functions of the same signatures.
 * All functions return VACCEL_OK; VACCEL_EINVAL for NULL; VACCEL_ENOTSUP when the
 * plugin does not offer the operation; or the error of the plugin.
 */
#ifndef VACCEL_OPS_FPGA_H
#define VACCEL_OPS_FPGA_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vaccel_session;

/**
 * Copies an array.
 *
 * @param sess  an open session
 * @param array what to copy: `n` ints
 * @param out   where to: room for `n` ints
 * @param n     number of ints
 */
int vaccel_fpga_arraycopy(struct vaccel_session *sess, int *array, int *out, size_t n);

/**
 * Multiplies two square matrices: C = A B.
 *
 * @param sess  an open session
 * @param a     A, row-major
 * @param b     B, row-major
 * @param c     C, row-major
 * @param n     number of floats of each matrix: a square number
 */
int vaccel_fpga_mmult(struct vaccel_session *sess, float *a, float *b, float *c, size_t n);

/**
 * Adds and multiplies two arrays, element by element.
 *
 * @param sess      an open session
 * @param a         `n` floats
 * @param b         `n` floats
 * @param add_out   room for the `n` sums
 * @param mult_out  room for the `n` products
 * @param n         number of floats of each array
 */
int vaccel_fpga_parallel(struct vaccel_session *sess, float *a, float *b, float *add_out,
                         float *mult_out, size_t n);

/**
 * Adds two arrays, element by element.
 *
 * @param sess   an open session
 * @param a      `len_a` floats
 * @param b      `len_b` floats
 * @param c      room for `len_a` sums
 * @param len_a  number of floats at `a` and `c`
 * @param len_b  number of floats at `b`; equal to `len_a`
 */
int vaccel_fpga_vadd(struct vaccel_session *sess, float *a, float *b, float *c, size_t len_a,
                     size_t len_b);

#ifdef __cplusplus
}
#endif

#endif /* VACCEL_OPS_FPGA_H */
