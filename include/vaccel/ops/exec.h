/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file vaccel/ops/exec.h
 * Calls a function of a shared library.
 *
 * The function has the signature
 *
 *     int function(struct vaccel_arg *read, size_t nr_read,
 *                  struct vaccel_arg *write, size_t nr_write);
 *
 * and returns 0 for success. It reads and writes its arguments with
 * vaccel/arg_array.h.
 *
 * A plugin implements VACCEL_OP_EXEC and VACCEL_OP_EXEC_WITH_RESOURCE with
 * functions of the same signatures as these.
 */
#ifndef VACCEL_OPS_EXEC_H
#define VACCEL_OPS_EXEC_H

#include <stddef.h>

#include <vaccel/arg.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vaccel_resource;
struct vaccel_session;

/**
 * Calls a function of a library that is named by its path.
 *
 * The path is one of the machine that runs the operation.
 *
 * @param sess      an open session
 * @param library   path of the library; not empty
 * @param fn_symbol name of the function
 * @param read      arguments to read; may be NULL when `nr_read` is 0
 * @param nr_read   their number
 * @param write     arguments to write: their bytes are changed in place; may be
 *                  NULL when `nr_write` is 0
 * @param nr_write  their number
 * @return          VACCEL_OK; VACCEL_EINVAL; VACCEL_ENOTSUP; VACCEL_ENOENT when
 *                  the library or the function is not there; or what the
 *                  function returned
 */
int vaccel_exec(struct vaccel_session *sess, const char *library, const char *fn_symbol,
                struct vaccel_arg *read, size_t nr_read, struct vaccel_arg *write,
                size_t nr_write);

/**
 * Calls a function of a library that is a resource.
 *
 * @param sess      an open session
 * @param resource  a VACCEL_RESOURCE_LIB that is registered with the session
 * @param fn_symbol name of the function
 * @param read      as for vaccel_exec()
 * @param nr_read   their number
 * @param write     as for vaccel_exec()
 * @param nr_write  their number
 * @return          as vaccel_exec(); VACCEL_EINVAL when the resource is not a
 *                  library; VACCEL_EPERM when it is not registered
 */
int vaccel_exec_with_resource(struct vaccel_session *sess, struct vaccel_resource *resource,
                              const char *fn_symbol, struct vaccel_arg *read, size_t nr_read,
                              struct vaccel_arg *write, size_t nr_write);

#ifdef __cplusplus
}
#endif

#endif /* VACCEL_OPS_EXEC_H */
