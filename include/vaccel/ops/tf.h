/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file vaccel/ops/tf.h
 * TensorFlow models.
 *
 * A plugin implements VACCEL_OP_TF_MODEL_* with functions of the same signatures
 * as the three vaccel_tf_model_* functions. It allocates output tensors (structure,
 * dimensions, data) and the message of the status with malloc(). New programs can
 * use vaccel/ops/model.h instead, which is the same for all frameworks.
 */
#ifndef VACCEL_OPS_TF_H
#define VACCEL_OPS_TF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vaccel/utils/enum.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vaccel_resource;
struct vaccel_session;

/** Types of the elements of a tensor, numbered as in TensorFlow. */
enum vaccel_tf_data_type {
    VACCEL_TF_FLOAT = 1,
    VACCEL_TF_DOUBLE = 2,
    VACCEL_TF_INT32 = 3,
    VACCEL_TF_UINT8 = 4,
    VACCEL_TF_INT16 = 5,
    VACCEL_TF_INT8 = 6,
    VACCEL_TF_STRING = 7,
    VACCEL_TF_COMPLEX64 = 8,
    VACCEL_TF_COMPLEX = 8,
    VACCEL_TF_INT64 = 9,
    VACCEL_TF_BOOL = 10,
    VACCEL_TF_QINT8 = 11,
    VACCEL_TF_QUINT8 = 12,
    VACCEL_TF_QINT32 = 13,
    VACCEL_TF_BFLOAT16 = 14,
    VACCEL_TF_QINT16 = 15,
    VACCEL_TF_QUINT16 = 16,
    VACCEL_TF_UINT16 = 17,
    VACCEL_TF_COMPLEX128 = 18,
    VACCEL_TF_HALF = 19,
    VACCEL_TF_RESOURCE = 20,
    VACCEL_TF_VARIANT = 21,
    VACCEL_TF_UINT32 = 22,
    VACCEL_TF_UINT64 = 23
};

/** Bytes for TensorFlow, for example run options. */
struct vaccel_tf_buffer {
    void *data;  /**< the bytes */
    size_t size; /**< their number */
};

/**
 * Fills a buffer, which takes the bytes over.
 *
 * @param buffer  what to fill; released with vaccel_tf_buffer_release()
 * @param data    malloc'ed bytes, freed with the buffer
 * @param size    their number
 * @return        VACCEL_OK; VACCEL_EINVAL
 */
int vaccel_tf_buffer_init(struct vaccel_tf_buffer *buffer, void *data, size_t size);

/** Frees the bytes of a buffer, not the structure. */
int vaccel_tf_buffer_release(struct vaccel_tf_buffer *buffer);

/** Allocates a buffer, which takes the bytes over; see vaccel_tf_buffer_init(). */
int vaccel_tf_buffer_new(struct vaccel_tf_buffer **buffer, void *data, size_t size);

/** Releases and frees a buffer made by vaccel_tf_buffer_new(). */
int vaccel_tf_buffer_delete(struct vaccel_tf_buffer *buffer);

/** Takes the bytes out of a buffer, which has none afterwards; the caller frees them with free(). */
int vaccel_tf_buffer_take_data(struct vaccel_tf_buffer *buffer, void **data, size_t *size);

/** A named output of an operation of the graph. */
struct vaccel_tf_node {
    char *name; /**< name of the operation; malloc'ed */
    int id;     /**< which of its outputs, from 0 */
};

/** Fills a node; the name is copied. Released with vaccel_tf_node_release(). */
int vaccel_tf_node_init(struct vaccel_tf_node *node, const char *name, int id);

/** Frees the name of a node, not the structure. */
int vaccel_tf_node_release(struct vaccel_tf_node *node);

/** Allocates a node; see vaccel_tf_node_init(). */
int vaccel_tf_node_new(struct vaccel_tf_node **node, const char *name, int id);

/** Releases and frees a node made by vaccel_tf_node_new(). */
int vaccel_tf_node_delete(struct vaccel_tf_node *node);

/** A dense tensor. */
struct vaccel_tf_tensor {
    void *data;  /**< the elements in row-major order; NULL when not set */
    size_t size; /**< bytes at `data` */
    bool owned;  /**< true: `data` is freed with free() with the tensor */
    int nr_dims; /**< number of dimensions */
    int64_t *dims; /**< their lengths, malloc'ed */
    enum vaccel_tf_data_type data_type; /**< type of the elements */
};

/**
 * Fills a tensor without data.
 *
 * @param tensor   what to fill; released with vaccel_tf_tensor_release()
 * @param nr_dims  number of dimensions; 0 for a single number
 * @param dims     their lengths; copied
 * @param type     type of the elements
 * @return         VACCEL_OK; VACCEL_EINVAL; VACCEL_ENOMEM
 */
int vaccel_tf_tensor_init(struct vaccel_tf_tensor *tensor, int nr_dims, const int64_t *dims,
                          enum vaccel_tf_data_type type);

/** Frees what a tensor holds, its data if it owns them; does not free the structure. */
int vaccel_tf_tensor_release(struct vaccel_tf_tensor *tensor);

/** Allocates a tensor without data; see vaccel_tf_tensor_init(). */
int vaccel_tf_tensor_new(struct vaccel_tf_tensor **tensor, int nr_dims, const int64_t *dims,
                         enum vaccel_tf_data_type type);

/**
 * Allocates a tensor with `total_size` bytes of data of its own, all zero.
 *
 * Parameters and errors as vaccel_tf_tensor_init().
 */
int vaccel_tf_tensor_allocate(struct vaccel_tf_tensor **tensor, int nr_dims,
                              const int64_t *dims, enum vaccel_tf_data_type type,
                              size_t total_size);

/** Releases and frees a tensor of vaccel_tf_tensor_new(), _allocate() or an operation. */
int vaccel_tf_tensor_delete(struct vaccel_tf_tensor *tensor);

/**
 * Makes a tensor use the caller's data, without copying them.
 *
 * Data that the tensor owned before are freed.
 *
 * @param tensor  the tensor
 * @param data    not NULL; must stay valid as long as the tensor; the caller frees them
 * @param size    their number of bytes
 */
int vaccel_tf_tensor_set_data(struct vaccel_tf_tensor *tensor, void *data, size_t size);

/**
 * Takes the data out of a tensor, which has none afterwards.
 *
 * @param tensor  the tensor
 * @param data    gets the data; the caller frees them with free() if the tensor
 *                owned them
 * @param size    gets their number of bytes
 */
int vaccel_tf_tensor_take_data(struct vaccel_tf_tensor *tensor, void **data, size_t *size);

/** What TensorFlow says of a call. */
struct vaccel_tf_status {
    uint8_t code;  /**< TensorFlow's code; 0 for success */
    char *message; /**< text; malloc'ed, may be NULL */
};

/** Fills a status; the message is copied. Released with vaccel_tf_status_release(). */
int vaccel_tf_status_init(struct vaccel_tf_status *status, uint8_t code, const char *message);

/** Frees the message of a status, not the structure. */
int vaccel_tf_status_release(struct vaccel_tf_status *status);

/** Allocates a status; see vaccel_tf_status_init(). */
int vaccel_tf_status_new(struct vaccel_tf_status **status, uint8_t code, const char *message);

/** Releases and frees a status made by vaccel_tf_status_new(). */
int vaccel_tf_status_delete(struct vaccel_tf_status *status);

/**
 * Loads a model.
 *
 * @param sess    an open session
 * @param model   a VACCEL_RESOURCE_MODEL that is registered with the session: a
 *                SavedModel directory or a frozen graph
 * @param status  gets TensorFlow's answer, whatever it held before; release it
 *                with vaccel_tf_status_release(), also after an error
 * @return        VACCEL_OK; VACCEL_EINVAL, also for a resource that is not a
 *                model; VACCEL_EPERM when it is not registered; VACCEL_ENOTSUP;
 *                or the error of the plugin
 */
int vaccel_tf_model_load(struct vaccel_session *sess, struct vaccel_resource *model,
                         struct vaccel_tf_status *status);

/** Unloads a model; parameters and errors as vaccel_tf_model_load(). */
int vaccel_tf_model_unload(struct vaccel_session *sess, struct vaccel_resource *model,
                           struct vaccel_tf_status *status);

/**
 * Runs a model.
 *
 * @param sess         an open session
 * @param model        a loaded model
 * @param run_options  a serialized RunOptions message, or NULL
 * @param in_nodes     `nr_inputs` inputs
 * @param in_tensors   their tensors
 * @param nr_inputs    number of inputs
 * @param out_nodes    `nr_outputs` outputs
 * @param out_tensors  room for `nr_outputs` pointers; gets new tensors, each to
 *                     be freed with vaccel_tf_tensor_delete()
 * @param nr_outputs   number of outputs
 * @param status       gets TensorFlow's answer, whatever it held before; release
 *                     it with vaccel_tf_status_release(), also after an error
 * @return             as vaccel_tf_model_load()
 */
int vaccel_tf_model_run(struct vaccel_session *sess, struct vaccel_resource *model,
                        const struct vaccel_tf_buffer *run_options,
                        const struct vaccel_tf_node *in_nodes,
                        struct vaccel_tf_tensor *const *in_tensors, int nr_inputs,
                        const struct vaccel_tf_node *out_nodes,
                        struct vaccel_tf_tensor **out_tensors, int nr_outputs,
                        struct vaccel_tf_status *status);

/** Name of a type, for example `VACCEL_TF_FLOAT`. Static string. */
static inline const char *vaccel_tf_data_type_name(enum vaccel_tf_data_type type)
{
    return type == VACCEL_TF_FLOAT      ? "VACCEL_TF_FLOAT" :
           type == VACCEL_TF_DOUBLE     ? "VACCEL_TF_DOUBLE" :
           type == VACCEL_TF_INT32      ? "VACCEL_TF_INT32" :
           type == VACCEL_TF_UINT8      ? "VACCEL_TF_UINT8" :
           type == VACCEL_TF_INT16      ? "VACCEL_TF_INT16" :
           type == VACCEL_TF_INT8       ? "VACCEL_TF_INT8" :
           type == VACCEL_TF_STRING     ? "VACCEL_TF_STRING" :
           type == VACCEL_TF_COMPLEX64  ? "VACCEL_TF_COMPLEX64" :
           type == VACCEL_TF_INT64      ? "VACCEL_TF_INT64" :
           type == VACCEL_TF_BOOL       ? "VACCEL_TF_BOOL" :
           type == VACCEL_TF_QINT8      ? "VACCEL_TF_QINT8" :
           type == VACCEL_TF_QUINT8     ? "VACCEL_TF_QUINT8" :
           type == VACCEL_TF_QINT32     ? "VACCEL_TF_QINT32" :
           type == VACCEL_TF_BFLOAT16   ? "VACCEL_TF_BFLOAT16" :
           type == VACCEL_TF_QINT16     ? "VACCEL_TF_QINT16" :
           type == VACCEL_TF_QUINT16    ? "VACCEL_TF_QUINT16" :
           type == VACCEL_TF_UINT16     ? "VACCEL_TF_UINT16" :
           type == VACCEL_TF_COMPLEX128 ? "VACCEL_TF_COMPLEX128" :
           type == VACCEL_TF_HALF       ? "VACCEL_TF_HALF" :
           type == VACCEL_TF_RESOURCE   ? "VACCEL_TF_RESOURCE" :
           type == VACCEL_TF_VARIANT    ? "VACCEL_TF_VARIANT" :
           type == VACCEL_TF_UINT32     ? "VACCEL_TF_UINT32" :
           type == VACCEL_TF_UINT64     ? "VACCEL_TF_UINT64" :
           "unknown";
}

/** Writes the name of a type to `buf`; see vaccel_enum_to_str(). */
static inline char *vaccel_tf_data_type_to_str(enum vaccel_tf_data_type type, char *buf,
                                                size_t size)
{
    return vaccel_enum_to_str(vaccel_tf_data_type_name(type), buf, size);
}

#ifdef __cplusplus
}
#endif

#endif /* VACCEL_OPS_TF_H */
