/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file vaccel/ops/tflite.h
 * TFLite models.
 *
 * A plugin implements VACCEL_OP_TFLITE_MODEL_* with functions of the same
 * signatures as the three vaccel_tflite_model_* functions. It allocates output
 * tensors (structure, dimensions, data) with malloc(). New programs can use
 * vaccel/ops/model.h instead, which is the same for all frameworks.
 */
#ifndef VACCEL_OPS_TFLITE_H
#define VACCEL_OPS_TFLITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vaccel/utils/enum.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vaccel_resource;
struct vaccel_session;

/** Types of the elements of a tensor, numbered as in TFLite. */
enum vaccel_tflite_data_type {
    VACCEL_TFLITE_NOTYPE = 0,
    VACCEL_TFLITE_FLOAT32 = 1,
    VACCEL_TFLITE_INT32 = 2,
    VACCEL_TFLITE_UINT8 = 3,
    VACCEL_TFLITE_INT64 = 4,
    VACCEL_TFLITE_STRING = 5,
    VACCEL_TFLITE_BOOL = 6,
    VACCEL_TFLITE_INT16 = 7,
    VACCEL_TFLITE_COMPLEX64 = 8,
    VACCEL_TFLITE_INT8 = 9,
    VACCEL_TFLITE_FLOAT16 = 10,
    VACCEL_TFLITE_FLOAT64 = 11,
    VACCEL_TFLITE_COMPLEX128 = 12,
    VACCEL_TFLITE_UINT64 = 13,
    VACCEL_TFLITE_RESOURCE = 14,
    VACCEL_TFLITE_VARIANT = 15,
    VACCEL_TFLITE_UINT32 = 16,
    VACCEL_TFLITE_UINT16 = 17,
    VACCEL_TFLITE_INT4 = 18
};

/** A dense tensor. */
struct vaccel_tflite_tensor {
    void *data;  /**< the elements in row-major order; NULL when not set */
    size_t size; /**< bytes at `data` */
    bool owned;  /**< true: `data` is freed with free() with the tensor */
    int nr_dims; /**< number of dimensions */
    int32_t *dims; /**< their lengths, malloc'ed */
    enum vaccel_tflite_data_type data_type; /**< type of the elements */
};

/**
 * Fills a tensor without data.
 *
 * @param tensor   what to fill; released with vaccel_tflite_tensor_release()
 * @param nr_dims  number of dimensions; 0 for a single number
 * @param dims     their lengths; copied
 * @param type     type of the elements
 * @return         VACCEL_OK; VACCEL_EINVAL; VACCEL_ENOMEM
 */
int vaccel_tflite_tensor_init(struct vaccel_tflite_tensor *tensor, int nr_dims, const int32_t *dims,
                          enum vaccel_tflite_data_type type);

/** Frees what a tensor holds, its data if it owns them; does not free the structure. */
int vaccel_tflite_tensor_release(struct vaccel_tflite_tensor *tensor);

/** Allocates a tensor without data; see vaccel_tflite_tensor_init(). */
int vaccel_tflite_tensor_new(struct vaccel_tflite_tensor **tensor, int nr_dims, const int32_t *dims,
                         enum vaccel_tflite_data_type type);

/**
 * Allocates a tensor with `total_size` bytes of data of its own, all zero.
 *
 * Parameters and errors as vaccel_tflite_tensor_init().
 */
int vaccel_tflite_tensor_allocate(struct vaccel_tflite_tensor **tensor, int nr_dims,
                              const int32_t *dims, enum vaccel_tflite_data_type type,
                              size_t total_size);

/** Releases and frees a tensor of vaccel_tflite_tensor_new(), _allocate() or an operation. */
int vaccel_tflite_tensor_delete(struct vaccel_tflite_tensor *tensor);

/**
 * Makes a tensor use the caller's data, without copying them.
 *
 * Data that the tensor owned before are freed.
 *
 * @param tensor  the tensor
 * @param data    not NULL; must stay valid as long as the tensor; the caller frees them
 * @param size    their number of bytes
 */
int vaccel_tflite_tensor_set_data(struct vaccel_tflite_tensor *tensor, void *data, size_t size);

/**
 * Takes the data out of a tensor, which has none afterwards.
 *
 * @param tensor  the tensor
 * @param data    gets the data; the caller frees them with free() if the tensor
 *                owned them
 * @param size    gets their number of bytes
 */
int vaccel_tflite_tensor_take_data(struct vaccel_tflite_tensor *tensor, void **data, size_t *size);

/**
 * Loads a model.
 *
 * @param sess   an open session
 * @param model  a VACCEL_RESOURCE_MODEL that is registered with the session: a
 *               `.tflite` file
 * @return       VACCEL_OK; VACCEL_EINVAL, also for a resource that is not a
 *               model; VACCEL_EPERM when it is not registered; VACCEL_ENOTSUP;
 *               or the error of the plugin
 */
int vaccel_tflite_model_load(struct vaccel_session *sess, struct vaccel_resource *model);

/** Unloads a model; parameters and errors as vaccel_tflite_model_load(). */
int vaccel_tflite_model_unload(struct vaccel_session *sess, struct vaccel_resource *model);

/**
 * Runs a model.
 *
 * @param sess         an open session
 * @param model        a loaded model
 * @param in_tensors   `nr_inputs` tensors, in the order of the model's inputs
 * @param nr_inputs    number of inputs
 * @param out_tensors  room for `nr_outputs` pointers; gets new tensors, each to
 *                     be freed with vaccel_tflite_tensor_delete()
 * @param nr_outputs   number of outputs
 * @param status       gets TFLite's status: 0 for success
 * @return             as vaccel_tflite_model_load()
 */
int vaccel_tflite_model_run(struct vaccel_session *sess, struct vaccel_resource *model,
                            struct vaccel_tflite_tensor *const *in_tensors, int nr_inputs,
                            struct vaccel_tflite_tensor **out_tensors, int nr_outputs,
                            uint8_t *status);

/** Name of a type, for example `VACCEL_TFLITE_FLOAT32`. Static string. */
static inline const char *vaccel_tflite_data_type_name(enum vaccel_tflite_data_type type)
{
    return type == VACCEL_TFLITE_NOTYPE     ? "VACCEL_TFLITE_NOTYPE" :
           type == VACCEL_TFLITE_FLOAT32    ? "VACCEL_TFLITE_FLOAT32" :
           type == VACCEL_TFLITE_INT32      ? "VACCEL_TFLITE_INT32" :
           type == VACCEL_TFLITE_UINT8      ? "VACCEL_TFLITE_UINT8" :
           type == VACCEL_TFLITE_INT64      ? "VACCEL_TFLITE_INT64" :
           type == VACCEL_TFLITE_STRING     ? "VACCEL_TFLITE_STRING" :
           type == VACCEL_TFLITE_BOOL       ? "VACCEL_TFLITE_BOOL" :
           type == VACCEL_TFLITE_INT16      ? "VACCEL_TFLITE_INT16" :
           type == VACCEL_TFLITE_COMPLEX64  ? "VACCEL_TFLITE_COMPLEX64" :
           type == VACCEL_TFLITE_INT8       ? "VACCEL_TFLITE_INT8" :
           type == VACCEL_TFLITE_FLOAT16    ? "VACCEL_TFLITE_FLOAT16" :
           type == VACCEL_TFLITE_FLOAT64    ? "VACCEL_TFLITE_FLOAT64" :
           type == VACCEL_TFLITE_COMPLEX128 ? "VACCEL_TFLITE_COMPLEX128" :
           type == VACCEL_TFLITE_UINT64     ? "VACCEL_TFLITE_UINT64" :
           type == VACCEL_TFLITE_RESOURCE   ? "VACCEL_TFLITE_RESOURCE" :
           type == VACCEL_TFLITE_VARIANT    ? "VACCEL_TFLITE_VARIANT" :
           type == VACCEL_TFLITE_UINT32     ? "VACCEL_TFLITE_UINT32" :
           type == VACCEL_TFLITE_UINT16     ? "VACCEL_TFLITE_UINT16" :
           type == VACCEL_TFLITE_INT4       ? "VACCEL_TFLITE_INT4" :
           "unknown";
}

/** Writes the name of a type to `buf`; see vaccel_enum_to_str(). */
static inline char *vaccel_tflite_data_type_to_str(enum vaccel_tflite_data_type type, char *buf,
                                                size_t size)
{
    return vaccel_enum_to_str(vaccel_tflite_data_type_name(type), buf, size);
}

#ifdef __cplusplus
}
#endif

#endif /* VACCEL_OPS_TFLITE_H */
