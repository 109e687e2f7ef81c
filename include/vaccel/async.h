/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file vaccel/async.h
 * Operations that are submitted and waited for later.
 *
 *     struct vaccel_completion *done;
 *     int ret = vaccel_sgemm_async(&sess, m, n, k, 1, a, k, b, n, 0, c, n, NULL, &done);
 *     if (ret == VACCEL_OK) {
 *         // ... something else, or more of these ...
 *         vaccel_completion_wait(done, -1);
 *         ret = vaccel_completion_result(done);
 *         vaccel_completion_free(done);
 *     }
 *
 * Each `*_async` function takes what the function without the suffix takes, then
 * options and a place for the completion. It returns VACCEL_OK when there is a
 * completion, and what is wrong with the call itself is then the result of that;
 * else VACCEL_EINVAL for null pointers and sessions that are not open, and there is none.
 *
 * - From then on until the call is over everything it was given belongs to the library:
 *   arguments (the arrays of them too), inputs, outputs, strings. Inputs must not be
 *   changed, outputs not be looked at, and nothing of it freed. A call is over
 *   when vaccel_completion_poll() or _wait() return VACCEL_OK, when the descriptor
 *   is readable, `completed` is called, or vaccel_completion_cancel() or _free()
 *   return VACCEL_OK; then nothing of the program's is touched any more.
 * - Calls are made in any order, also those of one session, and several at a time. Over
 *   a transport of ours there is no thread for each: all are in flight on one connection.
 *   When as many are as the agent allows, submitting waits until one is over. Plugins
 *   without means of their own are called by a few threads of the library:
 *   twice the number of processors, at least 4, or VACCEL_ASYNC_THREADS.
 * - The functions may be called from any thread, several for one completion too,
 *   except vaccel_completion_free(), after which nobody has it.
 * - A session that is released ends its calls: what can be cancelled is, and the rest is
 *   waited for. Completions stay, and are to be freed, before or after that.
 * - After fork() the child has completions of its own only: those of the parent give
 *   VACCEL_ESESS there, and can be freed.
 */
#ifndef VACCEL_ASYNC_H
#define VACCEL_ASYNC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vaccel_arg;
struct vaccel_resource;
struct vaccel_session;
struct vaccel_tensor;
struct vaccel_tf_buffer;
struct vaccel_tf_node;
struct vaccel_tf_status;
struct vaccel_tf_tensor;
struct vaccel_tflite_tensor;
struct vaccel_torch_buffer;
struct vaccel_torch_tensor;

/** The end of a call that was submitted; freed with vaccel_completion_free(). */
struct vaccel_completion;

/** How a call is made. Zeros mean the defaults, and so does NULL instead of it. */
struct vaccel_async_options {
    size_t size;         /**< sizeof(struct vaccel_async_options), or 0 */
    /**
     * Milliseconds that the call may take; 0 for what vaccel_session_set_timeout()
     * says. Over a transport it is over then, with VACCEL_ETIMEDOUT, whatever the
     * agent does. In this process it is the time in which it must have begun.
     */
    uint64_t timeout_ms;
    /**
     * Called once when the call is over, maybe before it was submitted, on any
     * thread. It may wake somebody or write to a pipe, and call
     * vaccel_completion_result() and _free(); it must not wait, nor call
     * anything else of vaccel.
     */
    void (*completed)(struct vaccel_completion *completion, void *arg);
    void *arg;           /**< passed to `completed` */
};

/**
 * Tells whether a call is over, and lets it go on. Never waits.
 *
 * @return  VACCEL_OK when it is over; VACCEL_EINPROGRESS; VACCEL_ESESS after fork()
 */
int vaccel_completion_poll(struct vaccel_completion *completion);

/**
 * Waits until a call is over.
 *
 * @param completion  of the call
 * @param timeout_ms  milliseconds; negative for as long as it takes
 * @return            VACCEL_OK when it is over, however it ended; VACCEL_ETIMEDOUT when
 *                    it is still under way; VACCEL_ESESS after fork()
 */
int vaccel_completion_wait(struct vaccel_completion *completion, int64_t timeout_ms);

/**
 * Waits until one of several calls is over.
 *
 * @param completions     the calls
 * @param nr_completions  their number, at least 1
 * @param timeout_ms      milliseconds; negative for as long as it takes
 * @param index           gets the place of one that is over
 * @return                as vaccel_completion_wait()
 */
int vaccel_completion_wait_any(struct vaccel_completion *const *completions,
                               size_t nr_completions, int64_t timeout_ms, size_t *index);

/**
 * Ends a call. Over a transport, and while it waits for a thread, it is over at once and
 * its result VACCEL_ECANCELED; the agent is told, and what it answers is dropped.
 *
 * @return  VACCEL_OK when it is over, also when it was before; VACCEL_EBUSY when it
 *          runs in this process and cannot be stopped; VACCEL_ESESS after fork()
 */
int vaccel_completion_cancel(struct vaccel_completion *completion);

/**
 * What came of a call; vaccel_error_message() has it in words.
 *
 * @return  what the operation returns; VACCEL_ETIMEDOUT; VACCEL_ECANCELED;
 *          VACCEL_EINPROGRESS when it is not over
 */
int vaccel_completion_result(struct vaccel_completion *completion);

/**
 * A descriptor for poll(), epoll and event loops, readable once the call is over.
 *
 * @param completion  of the call; it closes the descriptor when it is freed
 * @param fd          gets the descriptor, which is not to be read from
 * @return            VACCEL_OK; VACCEL_EIO; VACCEL_ESESS after fork()
 */
int vaccel_completion_fd(struct vaccel_completion *completion, int *fd);

/** Frees a completion, or NULL; a call that is under way is cancelled or waited for. */
int vaccel_completion_free(struct vaccel_completion *completion);

/** Submits vaccel_genop(). Model operations take a thread of the library. */
int vaccel_genop_async(struct vaccel_session *sess, struct vaccel_arg *read, int nr_read,
                       struct vaccel_arg *write, int nr_write,
                       const struct vaccel_async_options *opts, struct vaccel_completion **out);

/** Submits vaccel_noop(). */
int vaccel_noop_async(struct vaccel_session *sess, const struct vaccel_async_options *opts,
                      struct vaccel_completion **out);

/** Submits vaccel_sgemm(). */
int vaccel_sgemm_async(struct vaccel_session *sess, int64_t m, int64_t n, int64_t k, float alpha,
                       float *a, int64_t lda, float *b, int64_t ldb, float beta, float *c,
                       int64_t ldc, const struct vaccel_async_options *opts,
                       struct vaccel_completion **out);

/** Submits vaccel_minmax(). */
int vaccel_minmax_async(struct vaccel_session *sess, const double *indata, int ndata,
                        int low_threshold, int high_threshold, double *outdata, double *min,
                        double *max, const struct vaccel_async_options *opts,
                        struct vaccel_completion **out);

/** Submits vaccel_exec(). */
int vaccel_exec_async(struct vaccel_session *sess, const char *library, const char *fn_symbol,
                      struct vaccel_arg *read, size_t nr_read, struct vaccel_arg *write,
                      size_t nr_write, const struct vaccel_async_options *opts,
                      struct vaccel_completion **out);

/** Submits vaccel_exec_with_resource(). */
int vaccel_exec_with_resource_async(struct vaccel_session *sess, struct vaccel_resource *resource,
                                    const char *fn_symbol, struct vaccel_arg *read, size_t nr_read,
                                    struct vaccel_arg *write, size_t nr_write,
                                    const struct vaccel_async_options *opts,
                                    struct vaccel_completion **out);

/** Submits vaccel_image_classification(). */
int vaccel_image_classification_async(struct vaccel_session *sess, const void *img,
                                      unsigned char *out_text, unsigned char *out_imgname,
                                      size_t len_img, size_t len_out_text, size_t len_out_imgname,
                                      const struct vaccel_async_options *opts,
                                      struct vaccel_completion **out);

/** Submits vaccel_image_detection(). */
int vaccel_image_detection_async(struct vaccel_session *sess, const void *img,
                                 unsigned char *out_imgname, size_t len_img, size_t len_out_imgname,
                                 const struct vaccel_async_options *opts,
                                 struct vaccel_completion **out);

/** Submits vaccel_image_segmentation(). */
int vaccel_image_segmentation_async(struct vaccel_session *sess, const void *img,
                                    unsigned char *out_imgname, size_t len_img,
                                    size_t len_out_imgname, const struct vaccel_async_options *opts,
                                    struct vaccel_completion **out);

/** Submits vaccel_image_pose(). */
int vaccel_image_pose_async(struct vaccel_session *sess, const void *img,
                            unsigned char *out_imgname, size_t len_img, size_t len_out_imgname,
                            const struct vaccel_async_options *opts,
                            struct vaccel_completion **out);

/** Submits vaccel_image_depth(). */
int vaccel_image_depth_async(struct vaccel_session *sess, const void *img,
                             unsigned char *out_imgname, size_t len_img, size_t len_out_imgname,
                             const struct vaccel_async_options *opts,
                             struct vaccel_completion **out);

/** Submits vaccel_model_run(). */
int vaccel_model_run_async(struct vaccel_session *sess, struct vaccel_resource *model,
                           const struct vaccel_tensor *inputs, size_t nr_inputs,
                           struct vaccel_tensor *outputs, size_t nr_outputs,
                           const struct vaccel_async_options *opts, struct vaccel_completion **out);

/** Submits vaccel_torch_model_run(). */
int vaccel_torch_model_run_async(struct vaccel_session *sess, struct vaccel_resource *model,
                                 const struct vaccel_torch_buffer *run_options,
                                 struct vaccel_torch_tensor *const *in_tensors, int nr_inputs,
                                 struct vaccel_torch_tensor **out_tensors, int nr_outputs,
                                 const struct vaccel_async_options *opts,
                                 struct vaccel_completion **out);

/** Submits vaccel_tf_model_run(). */
int vaccel_tf_model_run_async(struct vaccel_session *sess, struct vaccel_resource *model,
                              const struct vaccel_tf_buffer *run_options,
                              const struct vaccel_tf_node *in_nodes,
                              struct vaccel_tf_tensor *const *in_tensors, int nr_inputs,
                              const struct vaccel_tf_node *out_nodes,
                              struct vaccel_tf_tensor **out_tensors, int nr_outputs,
                              struct vaccel_tf_status *status,
                              const struct vaccel_async_options *opts,
                              struct vaccel_completion **out);

/** Submits vaccel_tflite_model_run(). */
int vaccel_tflite_model_run_async(struct vaccel_session *sess, struct vaccel_resource *model,
                                  struct vaccel_tflite_tensor *const *in_tensors, int nr_inputs,
                                  struct vaccel_tflite_tensor **out_tensors, int nr_outputs,
                                  uint8_t *status, const struct vaccel_async_options *opts,
                                  struct vaccel_completion **out);

#ifdef __cplusplus
}
#endif

#endif /* VACCEL_ASYNC_H */
