/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file vaccel/ops/torch.h
 * Torch models.
 *
 * A plugin implements VACCEL_OP_TORCH_* with functions of the same signatures as
 * vaccel_torch_model_load(), vaccel_torch_model_run() and vaccel_torch_sgemm(). It
 * allocates output tensors (structure, dimensions, data) with malloc(). A model is
 * unloaded when its resource is unregistered. New programs can use
 * vaccel/ops/model.h instead, which is the same for all frameworks.
 */
#ifndef VACCEL_OPS_TORCH_H
#define VACCEL_OPS_TORCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vaccel/utils/enum.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vaccel_resource;
struct vaccel_session;

/** Types of the elements of a tensor, numbered as in Torch. */
enum vaccel_torch_data_type {
    VACCEL_TORCH_BYTE = 1,
    VACCEL_TORCH_CHAR = 2,
    VACCEL_TORCH_SHORT = 3,
    VACCEL_TORCH_INT = 4,
    VACCEL_TORCH_LONG = 5,
    VACCEL_TORCH_HALF = 6,
    VACCEL_TORCH_FLOAT = 7
};

/** Bytes for Torch, for example run options. */
struct vaccel_torch_buffer {
    char *data;  /**< the bytes */
    size_t size; /**< their number */
};

/**
 * Fills a buffer, which takes the bytes over.
 *
 * @param buffer  what to fill; released with vaccel_torch_buffer_release()
 * @param data    malloc'ed bytes, freed with the buffer
 * @param size    their number
 * @return        VACCEL_OK; VACCEL_EINVAL
 */
int vaccel_torch_buffer_init(struct vaccel_torch_buffer *buffer, char *data, size_t size);

/** Frees the bytes of a buffer, not the structure. */
int vaccel_torch_buffer_release(struct vaccel_torch_buffer *buffer);

/** Allocates a buffer, which takes the bytes over; see vaccel_torch_buffer_init(). */
int vaccel_torch_buffer_new(struct vaccel_torch_buffer **buffer, char *data, size_t size);

/** Releases and frees a buffer made by vaccel_torch_buffer_new(). */
int vaccel_torch_buffer_delete(struct vaccel_torch_buffer *buffer);

/** Takes the bytes out of a buffer, which has none afterwards; the caller frees them with free(). */
int vaccel_torch_buffer_take_data(struct vaccel_torch_buffer *buffer, void **data, size_t *size);

/** A dense tensor. */
struct vaccel_torch_tensor {
    void *data;  /**< the elements in row-major order; NULL when not set */
    size_t size; /**< bytes at `data` */
    bool owned;  /**< true: `data` is freed with free() with the tensor */
    int64_t nr_dims; /**< number of dimensions */
    int64_t *dims; /**< their lengths, malloc'ed */
    enum vaccel_torch_data_type data_type; /**< type of the elements */
};

/**
 * Fills a tensor without data.
 *
 * @param tensor   what to fill; released with vaccel_torch_tensor_release()
 * @param nr_dims  number of dimensions; 0 for a single number
 * @param dims     their lengths; copied
 * @param type     type of the elements
 * @return         VACCEL_OK; VACCEL_EINVAL; VACCEL_ENOMEM
 */
int vaccel_torch_tensor_init(struct vaccel_torch_tensor *tensor, int64_t nr_dims, const int64_t *dims,
                          enum vaccel_torch_data_type type);

/** Frees what a tensor holds, its data if it owns them; does not free the structure. */
int vaccel_torch_tensor_release(struct vaccel_torch_tensor *tensor);

/** Allocates a tensor without data; see vaccel_torch_tensor_init(). */
int vaccel_torch_tensor_new(struct vaccel_torch_tensor **tensor, int64_t nr_dims, const int64_t *dims,
                         enum vaccel_torch_data_type type);

/**
 * Allocates a tensor with `total_size` bytes of data of its own, all zero.
 *
 * Parameters and errors as vaccel_torch_tensor_init().
 */
int vaccel_torch_tensor_allocate(struct vaccel_torch_tensor **tensor, int64_t nr_dims,
                              const int64_t *dims, enum vaccel_torch_data_type type,
                              size_t total_size);

/** Releases and frees a tensor of vaccel_torch_tensor_new(), _allocate() or an operation. */
int vaccel_torch_tensor_delete(struct vaccel_torch_tensor *tensor);

/**
 * Makes a tensor use the caller's data, without copying them.
 *
 * Data that the tensor owned before are freed.
 *
 * @param tensor  the tensor
 * @param data    not NULL; must stay valid as long as the tensor; the caller frees them
 * @param size    their number of bytes
 */
int vaccel_torch_tensor_set_data(struct vaccel_torch_tensor *tensor, void *data, size_t size);

/**
 * Takes the data out of a tensor, which has none afterwards.
 *
 * @param tensor  the tensor
 * @param data    gets the data; the caller frees them with free() if the tensor
 *                owned them
 * @param size    gets their number of bytes
 */
int vaccel_torch_tensor_take_data(struct vaccel_torch_tensor *tensor, void **data, size_t *size);

/**
 * Loads a model.
 *
 * @param sess   an open session
 * @param model  a VACCEL_RESOURCE_MODEL that is registered with the session: a
 *               TorchScript file
 * @return       VACCEL_OK; VACCEL_EINVAL, also for a resource that is not a
 *               model; VACCEL_EPERM when it is not registered; VACCEL_ENOTSUP;
 *               or the error of the plugin
 */
int vaccel_torch_model_load(struct vaccel_session *sess, struct vaccel_resource *model);

/**
 * Runs a model.
 *
 * @param sess         an open session
 * @param model        a loaded model
 * @param run_options  options of the plugin, or NULL
 * @param in_tensors   `nr_inputs` tensors, in the order of the model's inputs
 * @param nr_inputs    number of inputs
 * @param out_tensors  room for `nr_outputs` pointers; gets new tensors, each to
 *                     be freed with vaccel_torch_tensor_delete()
 * @param nr_outputs   number of outputs
 * @return             as vaccel_torch_model_load()
 */
int vaccel_torch_model_run(struct vaccel_session *sess, struct vaccel_resource *model,
                           const struct vaccel_torch_buffer *run_options,
                           struct vaccel_torch_tensor *const *in_tensors, int nr_inputs,
                           struct vaccel_torch_tensor **out_tensors, int nr_outputs);

/**
 * Multiplies matrices: out = A B + C.
 *
 * @param sess  an open session
 * @param in_A  pointer to one tensor of M x K floats
 * @param in_B  pointer to one tensor of K x N floats
 * @param in_C  pointer to one tensor of M x N floats
 * @param M     rows of A and C
 * @param N     columns of B and C
 * @param K     columns of A, rows of B
 * @param out   gets a new tensor, to be freed with vaccel_torch_tensor_delete()
 * @return      VACCEL_OK; VACCEL_EINVAL; VACCEL_ENOTSUP; or the error of the
 *              plugin
 */
int vaccel_torch_sgemm(struct vaccel_session *sess, struct vaccel_torch_tensor **in_A,
                       struct vaccel_torch_tensor **in_B, struct vaccel_torch_tensor **in_C,
                       int M, int N, int K, struct vaccel_torch_tensor **out);

/** Name of a type, for example `VACCEL_TORCH_FLOAT`. Static string. */
static inline const char *vaccel_torch_data_type_name(enum vaccel_torch_data_type type)
{
    return type == VACCEL_TORCH_BYTE  ? "VACCEL_TORCH_BYTE" :
           type == VACCEL_TORCH_CHAR  ? "VACCEL_TORCH_CHAR" :
           type == VACCEL_TORCH_SHORT ? "VACCEL_TORCH_SHORT" :
           type == VACCEL_TORCH_INT   ? "VACCEL_TORCH_INT" :
           type == VACCEL_TORCH_LONG  ? "VACCEL_TORCH_LONG" :
           type == VACCEL_TORCH_HALF  ? "VACCEL_TORCH_HALF" :
           type == VACCEL_TORCH_FLOAT ? "VACCEL_TORCH_FLOAT" :
           "unknown";
}

/** Writes the name of a type to `buf`; see vaccel_enum_to_str(). */
static inline char *vaccel_torch_data_type_to_str(enum vaccel_torch_data_type type, char *buf,
                                                size_t size)
{
    return vaccel_enum_to_str(vaccel_torch_data_type_name(type), buf, size);
}

#ifdef __cplusplus
}
#endif

#endif /* VACCEL_OPS_TORCH_H */
