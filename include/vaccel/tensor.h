/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file vaccel/tensor.h
 * Tensors of the framework-neutral model calls (vaccel/ops/model.h).
 */
#ifndef VACCEL_TENSOR_H
#define VACCEL_TENSOR_H

#include <stddef.h>
#include <stdint.h>

#include <vaccel/utils/enum.h>

/** Largest number of dimensions. */
#define VACCEL_TENSOR_MAX_RANK 8

/** Flag: `data` is malloc'ed and freed by vaccel_tensor_release(). */
#define VACCEL_TENSOR_OWNED 1

/**
 * Flag of an output: it stays where it was computed (on the agent, on the device, or
 * in the library), and no bytes of it move. See struct vaccel_tensor.
 */
#define VACCEL_TENSOR_KEEP 2

/**
 * `custom_type_id` of a VACCEL_ARG_CUSTOM argument whose bytes are one struct
 * vaccel_tensor: how models are run through vaccel_genop().
 */
#define VACCEL_CUSTOM_TENSOR 0x54454e53

#ifdef __cplusplus
extern "C" {
#endif

struct vaccel_session;

/** Type of the elements of a tensor. */
typedef enum {
    VACCEL_DTYPE_UNDEFINED = 0, /**< not set; as the type of an output: the model's own */
    VACCEL_DTYPE_F32 = 1,       /**< float, 32 bits */
    VACCEL_DTYPE_F64 = 2,       /**< double, 64 bits */
    VACCEL_DTYPE_F16 = 3,       /**< IEEE half, 16 bits */
    VACCEL_DTYPE_BF16 = 4,      /**< upper half of a float, 16 bits */
    VACCEL_DTYPE_I8 = 5,        /**< signed, 8 bits */
    VACCEL_DTYPE_U8 = 6,        /**< unsigned, 8 bits */
    VACCEL_DTYPE_I16 = 7,       /**< signed, 16 bits */
    VACCEL_DTYPE_U16 = 8,       /**< unsigned, 16 bits */
    VACCEL_DTYPE_I32 = 9,       /**< signed, 32 bits */
    VACCEL_DTYPE_U32 = 10,      /**< unsigned, 32 bits */
    VACCEL_DTYPE_I64 = 11,      /**< signed, 64 bits */
    VACCEL_DTYPE_U64 = 12,      /**< unsigned, 64 bits */
    VACCEL_DTYPE_BOOL = 13,     /**< 0 or 1, 8 bits */
    VACCEL_DTYPE_I4 = 14,       /**< signed, 4 bits: two to a byte, the earlier one in the low half */
    VACCEL_DTYPE_U4 = 15,       /**< unsigned, 4 bits: likewise */
    VACCEL_DTYPE_MAX = 16       /**< one past the last type */
} vaccel_dtype_t;

/**
 * A dense tensor: type, shape and row-major bytes.
 *
 * Set everything to zero first: `struct vaccel_tensor t = { 0 };`.
 *
 * As an *input*, `data` and `size` are the caller's and only read. `name` may
 * be NULL, then the position counts.
 *
 * As an *output*, `name` chooses the output (NULL: by position). With `data`
 * NULL, the library allocates `data` and sets VACCEL_TENSOR_OWNED. Otherwise
 * the result is written to the caller's `data`, whose capacity is `size`; too
 * little is VACCEL_ERANGE, and `size` then says what is needed. In both cases
 * `dtype`, `rank`, `dims` and `size` say on return what was written.
 *
 * A *kept* tensor stays where it was computed, so that a chain of models moves no
 * bytes between them. Set VACCEL_TENSOR_KEEP in `flags` of an output of
 * vaccel_model_run(), with `data` NULL: on return `handle` is its number, type, shape
 * and size are set, and there is no data. As an input of a later call of the same
 * session, `handle` takes the place of `data`; the returned structure can be given as
 * it is, with another `name`. `dtype` and `dims` may be changed to look at the
 * same elements in another shape, or be 0 for the tensor's own.
 * vaccel_tensor_fetch() reads it, vaccel_tensor_release() frees it, and what is left
 * goes with its session. When the connection to an agent is lost, its tensors are, too:
 * using one is VACCEL_ENOENT then, never other data. Numbers are not used again.
 */
struct vaccel_tensor {
    const char *name;                     /**< the model's input or output; borrowed; may be NULL */
    vaccel_dtype_t dtype;                 /**< type of the elements */
    uint32_t rank;                        /**< number of dimensions */
    int64_t dims[VACCEL_TENSOR_MAX_RANK]; /**< their lengths; 0 from `rank` on */
    void *data;                           /**< the elements */
    size_t size;                          /**< bytes at `data` */
    uint32_t flags;                       /**< VACCEL_TENSOR_OWNED, VACCEL_TENSOR_KEEP or 0 */
    uint32_t reserved;                    /**< 0 */
    uint64_t handle;                      /**< number of a kept tensor, or 0 */
};

/**
 * Keeps a copy of a tensor where models run, so that many calls can use it and it is
 * sent once.
 *
 * Only vaccel_model_run(), also as VACCEL_OP_MODEL_RUN of vaccel_genop(), takes kept tensors.
 *
 * @param sess    the session whose calls may use it
 * @param tensor  the tensor, as an input
 * @param kept    gets number, type, shape and size; release it with vaccel_tensor_release()
 * @return        VACCEL_OK; VACCEL_EINVAL; VACCEL_ENOTSUP when the session's plugin runs no
 *                models; VACCEL_ENOSPC beyond the agent's quota; VACCEL_ENOMEM
 */
int vaccel_tensor_keep(struct vaccel_session *sess, const struct vaccel_tensor *tensor, struct vaccel_tensor *kept);

/**
 * Reads a kept tensor, which stays kept.
 *
 * @param sess  the session that it belongs to
 * @param kept  the kept tensor; only its `handle` counts
 * @param out   where to, as an output: memory of the caller, or NULL to have it allocated
 * @return      VACCEL_OK; VACCEL_ENOENT when it was released or its connection was lost;
 *              VACCEL_EPERM when it belongs to another session; VACCEL_ERANGE when the memory is
 *              too small; VACCEL_EINVAL; VACCEL_ENOMEM
 */
int vaccel_tensor_fetch(struct vaccel_session *sess, const struct vaccel_tensor *kept, struct vaccel_tensor *out);

/**
 * Frees `data` if the tensor owns it and what was kept under its `handle`, and sets
 * everything but `name` to zero, so that the tensor can be an output again.
 */
int vaccel_tensor_release(struct vaccel_tensor *tensor);

/** Name of a type, for example `VACCEL_DTYPE_F32`. Static string. */
static inline const char *vaccel_dtype_name(vaccel_dtype_t dtype)
{
    return dtype == VACCEL_DTYPE_UNDEFINED ? "VACCEL_DTYPE_UNDEFINED" :
           dtype == VACCEL_DTYPE_F32       ? "VACCEL_DTYPE_F32" :
           dtype == VACCEL_DTYPE_F64       ? "VACCEL_DTYPE_F64" :
           dtype == VACCEL_DTYPE_F16       ? "VACCEL_DTYPE_F16" :
           dtype == VACCEL_DTYPE_BF16      ? "VACCEL_DTYPE_BF16" :
           dtype == VACCEL_DTYPE_I8        ? "VACCEL_DTYPE_I8" :
           dtype == VACCEL_DTYPE_U8        ? "VACCEL_DTYPE_U8" :
           dtype == VACCEL_DTYPE_I16       ? "VACCEL_DTYPE_I16" :
           dtype == VACCEL_DTYPE_U16       ? "VACCEL_DTYPE_U16" :
           dtype == VACCEL_DTYPE_I32       ? "VACCEL_DTYPE_I32" :
           dtype == VACCEL_DTYPE_U32       ? "VACCEL_DTYPE_U32" :
           dtype == VACCEL_DTYPE_I64       ? "VACCEL_DTYPE_I64" :
           dtype == VACCEL_DTYPE_U64       ? "VACCEL_DTYPE_U64" :
           dtype == VACCEL_DTYPE_BOOL      ? "VACCEL_DTYPE_BOOL" :
           dtype == VACCEL_DTYPE_I4        ? "VACCEL_DTYPE_I4" :
           dtype == VACCEL_DTYPE_U4        ? "VACCEL_DTYPE_U4" :
                                             "unknown";
}

/** Writes the name of a type to `buf`; see vaccel_enum_to_str(). */
static inline char *vaccel_dtype_to_str(vaccel_dtype_t dtype, char *buf, size_t size)
{
    return vaccel_enum_to_str(vaccel_dtype_name(dtype), buf, size);
}

/** Bits of one element of a type; 0 for VACCEL_DTYPE_UNDEFINED and unknown types. */
static inline size_t vaccel_dtype_bits(vaccel_dtype_t dtype)
{
    return dtype == VACCEL_DTYPE_I4 || dtype == VACCEL_DTYPE_U4 ? 4 :
           dtype == VACCEL_DTYPE_I8 || dtype == VACCEL_DTYPE_U8 || dtype == VACCEL_DTYPE_BOOL ? 8 :
           dtype == VACCEL_DTYPE_F16 || dtype == VACCEL_DTYPE_BF16 ? 16 :
           dtype == VACCEL_DTYPE_I16 || dtype == VACCEL_DTYPE_U16 ? 16 :
           dtype == VACCEL_DTYPE_F32 || dtype == VACCEL_DTYPE_I32 || dtype == VACCEL_DTYPE_U32 ? 32 :
           dtype == VACCEL_DTYPE_F64 || dtype == VACCEL_DTYPE_I64 || dtype == VACCEL_DTYPE_U64 ? 64 :
                                                                                                 0;
}

#ifdef __cplusplus
}
#endif

#endif /* VACCEL_TENSOR_H */
