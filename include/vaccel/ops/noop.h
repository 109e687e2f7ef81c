/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file vaccel/ops/noop.h
 * No operation: measures the way to the plugin and back.
 *
 * A plugin implements VACCEL_OP_NOOP with a function of the same signature.
 */
#ifndef VACCEL_OPS_NOOP_H
#define VACCEL_OPS_NOOP_H

#ifdef __cplusplus
extern "C" {
#endif

struct vaccel_session;

/**
 * Does nothing.
 *
 * @return  VACCEL_OK; VACCEL_EINVAL; VACCEL_ENOTSUP when the plugin does not
 *          offer it
 */
int vaccel_noop(struct vaccel_session *sess);

#ifdef __cplusplus
}
#endif

#endif /* VACCEL_OPS_NOOP_H */
