/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file vaccel/arg.h
 * One argument of an operation: a pointer, a size and a type.
 *
 * vaccel_exec(), vaccel_exec_with_resource(), vaccel_genop() and
 * vaccel_opencv_unpack() take arrays of these; vaccel/arg_array.h builds and
 * reads such arrays.
 */
#ifndef VACCEL_ARG_H
#define VACCEL_ARG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vaccel/utils/enum.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What an argument holds. */
typedef enum {
    VACCEL_ARG_RAW = 0,            /**< untyped bytes */
    VACCEL_ARG_INT8 = 1,           /**< one int8_t */
    VACCEL_ARG_INT8_ARRAY = 2,     /**< array of int8_t */
    VACCEL_ARG_INT16 = 3,          /**< one int16_t */
    VACCEL_ARG_INT16_ARRAY = 4,    /**< array of int16_t */
    VACCEL_ARG_INT32 = 5,          /**< one int32_t */
    VACCEL_ARG_INT32_ARRAY = 6,    /**< array of int32_t */
    VACCEL_ARG_INT64 = 7,          /**< one int64_t */
    VACCEL_ARG_INT64_ARRAY = 8,    /**< array of int64_t */
    VACCEL_ARG_UINT8 = 9,          /**< one uint8_t */
    VACCEL_ARG_UINT8_ARRAY = 10,   /**< array of uint8_t */
    VACCEL_ARG_UINT16 = 11,        /**< one uint16_t */
    VACCEL_ARG_UINT16_ARRAY = 12,  /**< array of uint16_t */
    VACCEL_ARG_UINT32 = 13,        /**< one uint32_t */
    VACCEL_ARG_UINT32_ARRAY = 14,  /**< array of uint32_t */
    VACCEL_ARG_UINT64 = 15,        /**< one uint64_t */
    VACCEL_ARG_UINT64_ARRAY = 16,  /**< array of uint64_t */
    VACCEL_ARG_FLOAT32 = 17,       /**< one float */
    VACCEL_ARG_FLOAT32_ARRAY = 18, /**< array of float */
    VACCEL_ARG_FLOAT64 = 19,       /**< one double */
    VACCEL_ARG_FLOAT64_ARRAY = 20, /**< array of double */
    VACCEL_ARG_BOOL = 21,          /**< one bool, one byte */
    VACCEL_ARG_BOOL_ARRAY = 22,    /**< array of bool, one byte */
    VACCEL_ARG_CHAR = 23,          /**< one char */
    VACCEL_ARG_CHAR_ARRAY = 24,    /**< array of char */
    VACCEL_ARG_UCHAR = 25,         /**< one unsigned char */
    VACCEL_ARG_UCHAR_ARRAY = 26,   /**< array of unsigned char */
    VACCEL_ARG_STRING = 27,        /**< string; the terminating zero counts in the size */
    VACCEL_ARG_BUFFER = 28,        /**< opaque bytes */
    VACCEL_ARG_CUSTOM = 29,        /**< bytes with a type number of the application */
    VACCEL_ARG_MAX = 30            /**< one past the last type */
} vaccel_arg_type_t;

/** One argument. */
struct vaccel_arg {
    void *buf;               /**< the bytes */
    size_t size;             /**< their number */
    vaccel_arg_type_t type;  /**< what they are */
    uint32_t custom_type_id; /**< number of the application for VACCEL_ARG_CUSTOM, else 0 */
    bool owned;              /**< true: vaccel_arg_release() frees `buf` with free() */
};

/**
 * Checks that bytes are a value of a custom type.
 *
 * @param custom_type_id  number of the type
 * @param buf             the bytes
 * @param size            their number
 * @return                0 when they are; anything else refuses them
 */
typedef int (*vaccel_arg_type_validator_fn)(uint32_t custom_type_id, const void *buf, size_t size);

/**
 * Turns a structure into bytes.
 *
 * @param data      the structure
 * @param size      its size in bytes
 * @param out_buf   gets malloc'ed bytes, which the argument then owns
 * @param out_size  gets their number
 * @return          VACCEL_OK, or the error that the caller gets
 */
typedef int (*vaccel_arg_serializer_fn)(const void *data, size_t size, void **out_buf, size_t *out_size);

/**
 * Turns bytes into a structure.
 *
 * @param buf       the bytes
 * @param size      their number
 * @param out       the structure to fill
 * @param out_size  bytes at `out`
 * @return          VACCEL_OK, or the error that the caller gets
 */
typedef int (*vaccel_arg_deserializer_fn)(const void *buf, size_t size, void *out, size_t out_size);

/**
 * Fills an argument with a copy of bytes.
 *
 * @param arg             what to fill; released with vaccel_arg_release()
 * @param buf             the bytes
 * @param size            their number, not 0; must suit `type`: 4 for VACCEL_ARG_INT32,
 *                        a multiple of 4 for VACCEL_ARG_INT32_ARRAY, and so on
 * @param type            what they are
 * @param custom_type_id  not 0 for VACCEL_ARG_CUSTOM, else 0
 * @return                VACCEL_OK; VACCEL_EINVAL; VACCEL_ENOMEM
 */
int vaccel_arg_init(struct vaccel_arg *arg, const void *buf, size_t size, vaccel_arg_type_t type,
                    uint32_t custom_type_id);

/**
 * Fills an argument that uses the caller's bytes without copying them.
 *
 * `buf` must stay valid as long as the argument is used. Parameters and errors
 * are those of vaccel_arg_init().
 */
int vaccel_arg_init_from_buf(struct vaccel_arg *arg, void *buf, size_t size,
                             vaccel_arg_type_t type, uint32_t custom_type_id);

/** Frees what an argument owns, not the structure. */
int vaccel_arg_release(struct vaccel_arg *arg);

/** Allocates an argument with a copy of bytes; see vaccel_arg_init(). */
int vaccel_arg_new(struct vaccel_arg **arg, const void *buf, size_t size, vaccel_arg_type_t type,
                   uint32_t custom_type_id);

/** Allocates an argument that uses the caller's bytes; see vaccel_arg_init_from_buf(). */
int vaccel_arg_from_buf(struct vaccel_arg **arg, void *buf, size_t size, vaccel_arg_type_t type,
                        uint32_t custom_type_id);

/** Releases and frees an argument made by vaccel_arg_new() or vaccel_arg_from_buf(). */
int vaccel_arg_delete(struct vaccel_arg *arg);

/** Name of a type, for example `VACCEL_ARG_INT64_ARRAY`. Static string. */
static inline const char *vaccel_arg_type_name(vaccel_arg_type_t type)
{
    return type == VACCEL_ARG_RAW           ? "VACCEL_ARG_RAW" :
           type == VACCEL_ARG_INT8          ? "VACCEL_ARG_INT8" :
           type == VACCEL_ARG_INT8_ARRAY    ? "VACCEL_ARG_INT8_ARRAY" :
           type == VACCEL_ARG_INT16         ? "VACCEL_ARG_INT16" :
           type == VACCEL_ARG_INT16_ARRAY   ? "VACCEL_ARG_INT16_ARRAY" :
           type == VACCEL_ARG_INT32         ? "VACCEL_ARG_INT32" :
           type == VACCEL_ARG_INT32_ARRAY   ? "VACCEL_ARG_INT32_ARRAY" :
           type == VACCEL_ARG_INT64         ? "VACCEL_ARG_INT64" :
           type == VACCEL_ARG_INT64_ARRAY   ? "VACCEL_ARG_INT64_ARRAY" :
           type == VACCEL_ARG_UINT8         ? "VACCEL_ARG_UINT8" :
           type == VACCEL_ARG_UINT8_ARRAY   ? "VACCEL_ARG_UINT8_ARRAY" :
           type == VACCEL_ARG_UINT16        ? "VACCEL_ARG_UINT16" :
           type == VACCEL_ARG_UINT16_ARRAY  ? "VACCEL_ARG_UINT16_ARRAY" :
           type == VACCEL_ARG_UINT32        ? "VACCEL_ARG_UINT32" :
           type == VACCEL_ARG_UINT32_ARRAY  ? "VACCEL_ARG_UINT32_ARRAY" :
           type == VACCEL_ARG_UINT64        ? "VACCEL_ARG_UINT64" :
           type == VACCEL_ARG_UINT64_ARRAY  ? "VACCEL_ARG_UINT64_ARRAY" :
           type == VACCEL_ARG_FLOAT32       ? "VACCEL_ARG_FLOAT32" :
           type == VACCEL_ARG_FLOAT32_ARRAY ? "VACCEL_ARG_FLOAT32_ARRAY" :
           type == VACCEL_ARG_FLOAT64       ? "VACCEL_ARG_FLOAT64" :
           type == VACCEL_ARG_FLOAT64_ARRAY ? "VACCEL_ARG_FLOAT64_ARRAY" :
           type == VACCEL_ARG_BOOL          ? "VACCEL_ARG_BOOL" :
           type == VACCEL_ARG_BOOL_ARRAY    ? "VACCEL_ARG_BOOL_ARRAY" :
           type == VACCEL_ARG_CHAR          ? "VACCEL_ARG_CHAR" :
           type == VACCEL_ARG_CHAR_ARRAY    ? "VACCEL_ARG_CHAR_ARRAY" :
           type == VACCEL_ARG_UCHAR         ? "VACCEL_ARG_UCHAR" :
           type == VACCEL_ARG_UCHAR_ARRAY   ? "VACCEL_ARG_UCHAR_ARRAY" :
           type == VACCEL_ARG_STRING        ? "VACCEL_ARG_STRING" :
           type == VACCEL_ARG_BUFFER        ? "VACCEL_ARG_BUFFER" :
           type == VACCEL_ARG_CUSTOM        ? "VACCEL_ARG_CUSTOM" :
           "unknown";
}

/** Writes the name of a type to `buf`; see vaccel_enum_to_str(). */
static inline char *vaccel_arg_type_to_str(vaccel_arg_type_t type, char *buf, size_t size)
{
    return vaccel_enum_to_str(vaccel_arg_type_name(type), buf, size);
}

#ifdef __cplusplus
}
#endif

#endif /* VACCEL_ARG_H */
