/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file vaccel/ops/opencv.h
 * Calls an OpenCV function of a plugin.
 *
 * A plugin implements VACCEL_OP_OPENCV with a function of the same signature.
 */
#ifndef VACCEL_OPS_OPENCV_H
#define VACCEL_OPS_OPENCV_H

#include <vaccel/arg.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vaccel_session;

/**
 * Hands arguments to the plugin's OpenCV operation.
 *
 * What they mean is a matter between program and plugin; see the plugin.
 *
 * @param sess      an open session
 * @param read      arguments to read, at least one
 * @param nr_read   their number
 * @param write     arguments to write: their bytes are changed in place
 * @param nr_write  their number
 * @return          VACCEL_OK; VACCEL_EINVAL; VACCEL_ENOTSUP; or the error of the
 *                  plugin
 */
int vaccel_opencv_unpack(struct vaccel_session *sess, struct vaccel_arg *read, int nr_read,
                         struct vaccel_arg *write, int nr_write);

#ifdef __cplusplus
}
#endif

#endif /* VACCEL_OPS_OPENCV_H */
