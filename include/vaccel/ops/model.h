/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file vaccel/ops/model.h
 * Models of any framework: load, run on named tensors, describe.
 *
 * The plugin is chosen by what the model is: a file or directory in ONNX,
 * TorchScript, SavedModel, TFLite or another format that a loaded plugin knows.
 *
 * A plugin offers these through VACCEL_PLUGIN_EXT.
 */
#ifndef VACCEL_OPS_MODEL_H
#define VACCEL_OPS_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include <vaccel/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vaccel_resource;
struct vaccel_session;

/** Name, type and shape of an input or output of a model. */
struct vaccel_tensor_info {
    char *name;                           /**< name; malloc'ed */
    vaccel_dtype_t dtype;                 /**< type, VACCEL_DTYPE_UNDEFINED when not known */
    uint32_t rank;                        /**< number of dimensions */
    int64_t dims[VACCEL_TENSOR_MAX_RANK]; /**< their lengths; -1 where any length will do */
};

/** What is known of a loaded model. Everything is malloc'ed. */
struct vaccel_model_info {
    char *format;                       /**< for example "onnx" or "torchscript" */
    char *backend;                      /**< name of the plugin's backend */
    char *metadata;                     /**< further facts as a JSON object, or NULL */
    struct vaccel_tensor_info *inputs;  /**< `nr_inputs` entries */
    size_t nr_inputs;                   /**< number of inputs */
    struct vaccel_tensor_info *outputs; /**< `nr_outputs` entries */
    size_t nr_outputs;                  /**< number of outputs */
};

/**
 * Loads a model.
 *
 * Loading one that is loaded does nothing. The model is unloaded with the
 * session at the latest.
 *
 * @param sess     an open session
 * @param model    a VACCEL_RESOURCE_MODEL that is registered with the session
 * @param options  `key=value` pairs separated by commas, or NULL; which ones
 *                 there are is a matter of the plugin
 * @return         VACCEL_OK; VACCEL_EINVAL, also for a resource that is not a
 *                 model; VACCEL_EPERM when it is not registered; VACCEL_ENOTSUP
 *                 when no plugin knows the format; or the error of the plugin
 */
int vaccel_model_load(struct vaccel_session *sess, struct vaccel_resource *model,
                      const char *options);

/** Unloads a model. VACCEL_EINVAL when it is not loaded. */
int vaccel_model_unload(struct vaccel_session *sess, struct vaccel_resource *model);

/**
 * Runs a model.
 *
 * Several threads may run one model at the same time.
 *
 * @param sess        an open session
 * @param model       a loaded model
 * @param inputs      `nr_inputs` tensors, only read
 * @param nr_inputs   their number
 * @param outputs     `nr_outputs` tensors that ask for outputs and get them:
 *                    see struct vaccel_tensor. On error nothing stays allocated
 * @param nr_outputs  their number; may be fewer than the model has
 * @return            VACCEL_OK; VACCEL_EINVAL for a wrong name, type, shape or
 *                    size; VACCEL_ERANGE when an output of the caller is too
 *                    small; VACCEL_ENOTSUP; or the error of the plugin
 */
int vaccel_model_run(struct vaccel_session *sess, struct vaccel_resource *model,
                     const struct vaccel_tensor *inputs, size_t nr_inputs,
                     struct vaccel_tensor *outputs, size_t nr_outputs);

/**
 * Describes a loaded model.
 *
 * @param sess   an open session
 * @param model  a loaded model
 * @param info   what to fill; released with vaccel_model_info_release()
 */
int vaccel_model_info(struct vaccel_session *sess, struct vaccel_resource *model,
                      struct vaccel_model_info *info);

/** Frees what vaccel_model_info() filled and sets all to zero. */
int vaccel_model_info_release(struct vaccel_model_info *info);

#ifdef __cplusplus
}
#endif

#endif /* VACCEL_OPS_MODEL_H */
