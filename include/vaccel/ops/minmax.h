/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file vaccel/ops/minmax.h
 * Smallest and largest number of an array.
 *
 * A plugin implements VACCEL_OP_MINMAX with a function of the same signature.
 */
#ifndef VACCEL_OPS_MINMAX_H
#define VACCEL_OPS_MINMAX_H

#ifdef __cplusplus
extern "C" {
#endif

struct vaccel_session;

/**
 * Finds the smallest and the largest number, and clips all to thresholds.
 *
 * @param sess            an open session
 * @param indata          `ndata` numbers
 * @param ndata           how many, at least 1
 * @param low_threshold   smaller numbers become this one in `outdata`
 * @param high_threshold  larger numbers become this one in `outdata`
 * @param outdata         room for `ndata` numbers
 * @param min             gets the smallest of `indata`
 * @param max             gets the largest of `indata`
 * @return                VACCEL_OK; VACCEL_EINVAL; VACCEL_ENOTSUP; or the error
 *                        of the plugin
 */
int vaccel_minmax(struct vaccel_session *sess, const double *indata, int ndata, int low_threshold,
                  int high_threshold, double *outdata, double *min, double *max);

#ifdef __cplusplus
}
#endif

#endif /* VACCEL_OPS_MINMAX_H */
