/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file vaccel.h
 * Everything of vaccel: include this one.
 *
 * A program opens a session, calls operations and releases the session:
 *
 *     struct vaccel_session sess;
 *     int ret = vaccel_session_init(&sess, 0);
 *     if (ret != VACCEL_OK) {
 *         fprintf(stderr, "%s\n", vaccel_error_message());
 *         return 1;
 *     }
 *     ret = vaccel_noop(&sess);
 *     vaccel_session_release(&sess);
 *
 * Rules that hold everywhere unless a function says otherwise:
 *
 * - A function that returns `int` returns VACCEL_OK (0) or a positive error
 *   code of vaccel/error.h, and never sets `errno`. vaccel_error_message() says
 *   in words what went wrong in the last call of this thread.
 * - `*_init` fills a structure of the caller and is undone by `*_release`;
 *   `*_new` (and `*_from_*`) allocates one and is undone by `*_delete`.
 * - Memory that goes from the library to the caller comes from the C library's
 *   malloc(); where a function hands it over, the caller frees it with free().
 * - A pointer argument must not be NULL. NULL is VACCEL_EINVAL, not a crash.
 * - Functions may be called from any thread. One session, resource, argument
 *   array or tensor must not be *changed* by two threads at once; different
 *   ones may. Sessions and resources may be *used* by several threads at once.
 */
#ifndef VACCEL_VACCEL_H
#define VACCEL_VACCEL_H

#include <vaccel/arg.h>
#include <vaccel/arg_array.h>
#include <vaccel/arg_list.h>
#include <vaccel/async.h>
#include <vaccel/blob.h>
#include <vaccel/config.h>
#include <vaccel/core.h>
#include <vaccel/error.h>
#include <vaccel/id.h>
#include <vaccel/list.h>
#include <vaccel/log.h>
#include <vaccel/op.h>
#include <vaccel/ops/blas.h>
#include <vaccel/ops/exec.h>
#include <vaccel/ops/fpga.h>
#include <vaccel/ops/genop.h>
#include <vaccel/ops/image.h>
#include <vaccel/ops/minmax.h>
#include <vaccel/ops/model.h>
#include <vaccel/ops/noop.h>
#include <vaccel/ops/opencv.h>
#include <vaccel/ops/tf.h>
#include <vaccel/ops/tflite.h>
#include <vaccel/ops/torch.h>
#include <vaccel/plugin.h>
#include <vaccel/prof.h>
#include <vaccel/resource.h>
#include <vaccel/session.h>
#include <vaccel/tensor.h>
#include <vaccel/utils/enum.h>
#include <vaccel/utils/fs.h>
#include <vaccel/utils/str.h>

#endif /* VACCEL_VACCEL_H */
