/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file vaccel/arg_array.h
 * Arrays of arguments: built by the caller, read and written by the operation.
 *
 * The caller adds arguments and passes vaccel_arg_array_raw() and
 * vaccel_arg_array_count() to an operation:
 *
 *     struct vaccel_arg_array read, write;
 *     int32_t input = 10, output = 0;
 *     vaccel_arg_array_init(&read, 0);
 *     vaccel_arg_array_init(&write, 0);
 *     vaccel_arg_array_add_int32(&read, &input);
 *     vaccel_arg_array_add_int32(&write, &output);
 *     ret = vaccel_exec(&sess, lib, "function", vaccel_arg_array_raw(&read),
 *                       vaccel_arg_array_count(&read), vaccel_arg_array_raw(&write),
 *                       vaccel_arg_array_count(&write));
 *     vaccel_arg_array_release(&write);
 *     vaccel_arg_array_release(&read);
 *
 * The called function wraps what it was given, gets values and sets results:
 *
 *     int function(struct vaccel_arg *r, size_t nr_r, struct vaccel_arg *w, size_t nr_w)
 *     {
 *         struct vaccel_arg_array read, write;
 *         int32_t input;
 *         int ret = vaccel_arg_array_wrap(&read, r, nr_r);
 *         if (!ret) ret = vaccel_arg_array_wrap(&write, w, nr_w);
 *         if (!ret) ret = vaccel_arg_array_get_int32(&read, &input);
 *         if (ret) return ret;
 *         int32_t output = 2 * input;
 *         return vaccel_arg_array_set_int32(&write, &output);
 *     }
 *
 * Getting and setting go from one argument to the next: each array has a
 * position. A call that fails leaves it where it was. Errors of all calls that
 * return int: VACCEL_EINVAL for NULL, for no data, for a size that does not suit
 * the type and for an argument of another type; VACCEL_ERANGE when there is no
 * argument left; VACCEL_EPERM for adding to an array of vaccel_arg_array_wrap();
 * VACCEL_ENOMEM.
 */
#ifndef VACCEL_ARG_ARRAY_H
#define VACCEL_ARG_ARRAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vaccel/arg.h>

#ifdef __cplusplus
extern "C" {
#endif

/** An array of arguments with a position. */
struct vaccel_arg_array {
    struct vaccel_arg *args; /**< `capacity` arguments, the first `count` of them set */
    size_t count;            /**< how many are set */
    size_t capacity;         /**< how many there is room for */
    size_t position;         /**< index of the next one to get or set */
    bool owned;              /**< true: `args` belongs to this array and may grow */
};

/**
 * Makes an empty array.
 *
 * @param array     what to fill; released with vaccel_arg_array_release()
 * @param capacity  room to begin with; the array grows as needed
 * @return          VACCEL_OK; VACCEL_EINVAL; VACCEL_ENOMEM
 */
int vaccel_arg_array_init(struct vaccel_arg_array *array, size_t capacity);

/**
 * Makes an array of arguments that belong to someone else.
 *
 * Nothing can be added to it, and it needs no release.
 *
 * @param array  what to fill
 * @param args   the arguments; may be NULL when `count` is 0
 * @param count  their number
 */
int vaccel_arg_array_wrap(struct vaccel_arg_array *array, struct vaccel_arg *args, size_t count);

/** Frees what an array holds and what its arguments own; does not free the structure. */
int vaccel_arg_array_release(struct vaccel_arg_array *array);

/** Allocates an empty array; see vaccel_arg_array_init(). */
int vaccel_arg_array_new(struct vaccel_arg_array **array, size_t capacity);

/** Releases and frees an array made by vaccel_arg_array_new(). */
int vaccel_arg_array_delete(struct vaccel_arg_array *array);

/** Removes all arguments, freeing what they own. The room stays. */
void vaccel_arg_array_clear(struct vaccel_arg_array *array);

/** Number of arguments; 0 for NULL. */
size_t vaccel_arg_array_count(const struct vaccel_arg_array *array);

/** The arguments, to be passed to an operation; NULL when there are none. */
struct vaccel_arg *vaccel_arg_array_raw(struct vaccel_arg_array *array);

/** Index of the argument that is got or set next. */
size_t vaccel_arg_array_position(const struct vaccel_arg_array *array);

/** Goes to an argument. An index past the end means the end. */
void vaccel_arg_array_set_position(struct vaccel_arg_array *array, size_t position);

/** Goes back to the first argument. */
void vaccel_arg_array_reset_position(struct vaccel_arg_array *array);

/** Number of arguments from the position to the end. */
size_t vaccel_arg_array_remaining_count(const struct vaccel_arg_array *array);

/*
 * Adding one value. The array points at the caller's value, which must stay
 * valid as long as the array is used, and which a write argument changes.
 */

int vaccel_arg_array_add_int8(struct vaccel_arg_array *array, int8_t *value);
int vaccel_arg_array_add_int16(struct vaccel_arg_array *array, int16_t *value);
int vaccel_arg_array_add_int32(struct vaccel_arg_array *array, int32_t *value);
int vaccel_arg_array_add_int64(struct vaccel_arg_array *array, int64_t *value);
int vaccel_arg_array_add_uint8(struct vaccel_arg_array *array, uint8_t *value);
int vaccel_arg_array_add_uint16(struct vaccel_arg_array *array, uint16_t *value);
int vaccel_arg_array_add_uint32(struct vaccel_arg_array *array, uint32_t *value);
int vaccel_arg_array_add_uint64(struct vaccel_arg_array *array, uint64_t *value);
int vaccel_arg_array_add_float(struct vaccel_arg_array *array, float *value);
int vaccel_arg_array_add_double(struct vaccel_arg_array *array, double *value);
int vaccel_arg_array_add_bool(struct vaccel_arg_array *array, bool *value);
int vaccel_arg_array_add_char(struct vaccel_arg_array *array, char *value);
int vaccel_arg_array_add_uchar(struct vaccel_arg_array *array, unsigned char *value);

/*
 * Adding an array of `count` values, at least one. Nothing is copied: `values`
 * must stay valid as long as the array is used. VACCEL_EINVAL when the size in
 * bytes overflows.
 */

int vaccel_arg_array_add_int8_array(struct vaccel_arg_array *array, int8_t *values, size_t count);
int vaccel_arg_array_add_int16_array(struct vaccel_arg_array *array, int16_t *values, size_t count);
int vaccel_arg_array_add_int32_array(struct vaccel_arg_array *array, int32_t *values, size_t count);
int vaccel_arg_array_add_int64_array(struct vaccel_arg_array *array, int64_t *values, size_t count);
int vaccel_arg_array_add_uint8_array(struct vaccel_arg_array *array, uint8_t *values, size_t count);
int vaccel_arg_array_add_uint16_array(struct vaccel_arg_array *array, uint16_t *values, size_t count);
int vaccel_arg_array_add_uint32_array(struct vaccel_arg_array *array, uint32_t *values, size_t count);
int vaccel_arg_array_add_uint64_array(struct vaccel_arg_array *array, uint64_t *values, size_t count);
int vaccel_arg_array_add_float_array(struct vaccel_arg_array *array, float *values, size_t count);
int vaccel_arg_array_add_double_array(struct vaccel_arg_array *array, double *values, size_t count);
int vaccel_arg_array_add_bool_array(struct vaccel_arg_array *array, bool *values, size_t count);
int vaccel_arg_array_add_char_array(struct vaccel_arg_array *array, char *values, size_t count);
int vaccel_arg_array_add_uchar_array(struct vaccel_arg_array *array, unsigned char *values, size_t count);

/** Adds a zero-terminated string, not copied. Its size includes the zero. */
int vaccel_arg_array_add_string(struct vaccel_arg_array *array, char *value);

/** Adds `size` opaque bytes, not copied. */
int vaccel_arg_array_add_buffer(struct vaccel_arg_array *array, void *data, size_t size);

/** Adds `size` bytes without a type, not copied. */
int vaccel_arg_array_add_raw(struct vaccel_arg_array *array, void *data, size_t size);

/**
 * Adds `size` bytes of a type of the application, not copied.
 *
 * @param array           the array
 * @param custom_type_id  number of the type, not 0
 * @param data            the bytes
 * @param size            their number
 * @param validator       returns 0 when they are right; may be NULL. Otherwise VACCEL_EINVAL
 */
int vaccel_arg_array_add_custom(struct vaccel_arg_array *array, uint32_t custom_type_id, void *data, size_t size, vaccel_arg_type_validator_fn validator);

/**
 * Adds a structure in serialized form. The argument owns the serialized bytes.
 *
 * @param array           the array
 * @param type            type of the argument, for example VACCEL_ARG_BUFFER
 * @param custom_type_id  not 0 for VACCEL_ARG_CUSTOM, else 0
 * @param data            the structure
 * @param size            its size in bytes
 * @param serializer      turns it into bytes. Its error is returned
 */
int vaccel_arg_array_add_serialized(struct vaccel_arg_array *array, vaccel_arg_type_t type, uint32_t custom_type_id, const void *data, size_t size, vaccel_arg_serializer_fn serializer);

/**
 * Adds all arguments of another array.
 *
 * @param array  where to
 * @param src    where from; its position is not looked at
 * @param copy   true: the bytes are copied, and the new arguments own them;
 *               false: they point at the same bytes
 */
int vaccel_arg_array_add_all(struct vaccel_arg_array *array, const struct vaccel_arg_array *src, bool copy);

/**
 * Adds some arguments of another array; parameters as vaccel_arg_array_add_all().
 *
 * VACCEL_ERANGE when there are not so many; nothing is added then.
 */
int vaccel_arg_array_add_range(struct vaccel_arg_array *array, const struct vaccel_arg_array *src, size_t start, size_t count, bool copy);

/** Adds the arguments of another array from its position on; see vaccel_arg_array_add_all(). */
int vaccel_arg_array_add_remaining(struct vaccel_arg_array *array, const struct vaccel_arg_array *src, bool copy);

/*
 * Getting one value: copies it to `value`.
 */

int vaccel_arg_array_get_int8(struct vaccel_arg_array *array, int8_t *value);
int vaccel_arg_array_get_int16(struct vaccel_arg_array *array, int16_t *value);
int vaccel_arg_array_get_int32(struct vaccel_arg_array *array, int32_t *value);
int vaccel_arg_array_get_int64(struct vaccel_arg_array *array, int64_t *value);
int vaccel_arg_array_get_uint8(struct vaccel_arg_array *array, uint8_t *value);
int vaccel_arg_array_get_uint16(struct vaccel_arg_array *array, uint16_t *value);
int vaccel_arg_array_get_uint32(struct vaccel_arg_array *array, uint32_t *value);
int vaccel_arg_array_get_uint64(struct vaccel_arg_array *array, uint64_t *value);
int vaccel_arg_array_get_float(struct vaccel_arg_array *array, float *value);
int vaccel_arg_array_get_double(struct vaccel_arg_array *array, double *value);
int vaccel_arg_array_get_bool(struct vaccel_arg_array *array, bool *value);
int vaccel_arg_array_get_char(struct vaccel_arg_array *array, char *value);
int vaccel_arg_array_get_uchar(struct vaccel_arg_array *array, unsigned char *value);

/*
 * Getting an array: `values` gets a pointer to the argument's own bytes, not a
 * copy, and `count` the number of values.
 */

int vaccel_arg_array_get_int8_array(struct vaccel_arg_array *array, int8_t **values, size_t *count);
int vaccel_arg_array_get_int16_array(struct vaccel_arg_array *array, int16_t **values, size_t *count);
int vaccel_arg_array_get_int32_array(struct vaccel_arg_array *array, int32_t **values, size_t *count);
int vaccel_arg_array_get_int64_array(struct vaccel_arg_array *array, int64_t **values, size_t *count);
int vaccel_arg_array_get_uint8_array(struct vaccel_arg_array *array, uint8_t **values, size_t *count);
int vaccel_arg_array_get_uint16_array(struct vaccel_arg_array *array, uint16_t **values, size_t *count);
int vaccel_arg_array_get_uint32_array(struct vaccel_arg_array *array, uint32_t **values, size_t *count);
int vaccel_arg_array_get_uint64_array(struct vaccel_arg_array *array, uint64_t **values, size_t *count);
int vaccel_arg_array_get_float_array(struct vaccel_arg_array *array, float **values, size_t *count);
int vaccel_arg_array_get_double_array(struct vaccel_arg_array *array, double **values, size_t *count);
int vaccel_arg_array_get_bool_array(struct vaccel_arg_array *array, bool **values, size_t *count);
int vaccel_arg_array_get_char_array(struct vaccel_arg_array *array, char **values, size_t *count);
int vaccel_arg_array_get_uchar_array(struct vaccel_arg_array *array, unsigned char **values, size_t *count);

/** Gets a string: the argument's own, not a copy. VACCEL_EINVAL when it has no terminating zero. */
int vaccel_arg_array_get_string(struct vaccel_arg_array *array, char **value);

/** Gets opaque bytes: the argument's own, not a copy. */
int vaccel_arg_array_get_buffer(struct vaccel_arg_array *array, void **data, size_t *size);

/** Gets bytes without a type: the argument's own, not a copy. */
int vaccel_arg_array_get_raw(struct vaccel_arg_array *array, void **data, size_t *size);

/**
 * Gets bytes of a type of the application: the argument's own, not a copy.
 *
 * @param array           the array
 * @param custom_type_id  the type that is expected
 * @param data            gets the bytes
 * @param size            gets their number
 * @param validator       returns 0 when they are right; may be NULL. Otherwise VACCEL_EINVAL
 */
int vaccel_arg_array_get_custom(struct vaccel_arg_array *array, uint32_t custom_type_id, void **data, size_t *size, vaccel_arg_type_validator_fn validator);

/**
 * Gets a structure from serialized form.
 *
 * @param array           the array
 * @param type            the type that is expected
 * @param custom_type_id  the custom type that is expected, or 0
 * @param data            the structure to fill
 * @param size            its size in bytes
 * @param deserializer    fills it. Its error is returned
 */
int vaccel_arg_array_get_serialized(struct vaccel_arg_array *array, vaccel_arg_type_t type, uint32_t custom_type_id, void *data, size_t size, vaccel_arg_deserializer_fn deserializer);

/**
 * Gets all arguments from the position to the end: the array's own. NULL and 0
 * when there are none. The position is at the end then.
 */
int vaccel_arg_array_get_remaining(struct vaccel_arg_array *array, struct vaccel_arg **args, size_t *count);

/*
 * Setting one value: copies it to the bytes of the argument at the position,
 * which must have the same type and size. An argument without bytes gets some of
 * its own, here and below.
 */

int vaccel_arg_array_set_int8(struct vaccel_arg_array *array, int8_t *value);
int vaccel_arg_array_set_int16(struct vaccel_arg_array *array, int16_t *value);
int vaccel_arg_array_set_int32(struct vaccel_arg_array *array, int32_t *value);
int vaccel_arg_array_set_int64(struct vaccel_arg_array *array, int64_t *value);
int vaccel_arg_array_set_uint8(struct vaccel_arg_array *array, uint8_t *value);
int vaccel_arg_array_set_uint16(struct vaccel_arg_array *array, uint16_t *value);
int vaccel_arg_array_set_uint32(struct vaccel_arg_array *array, uint32_t *value);
int vaccel_arg_array_set_uint64(struct vaccel_arg_array *array, uint64_t *value);
int vaccel_arg_array_set_float(struct vaccel_arg_array *array, float *value);
int vaccel_arg_array_set_double(struct vaccel_arg_array *array, double *value);
int vaccel_arg_array_set_bool(struct vaccel_arg_array *array, bool *value);
int vaccel_arg_array_set_char(struct vaccel_arg_array *array, char *value);
int vaccel_arg_array_set_uchar(struct vaccel_arg_array *array, unsigned char *value);

/*
 * Setting an array: copies `count` values to the bytes of the argument at the
 * position, whose size stays. VACCEL_EINVAL when they do not fit.
 */

int vaccel_arg_array_set_int8_array(struct vaccel_arg_array *array, int8_t *values, size_t count);
int vaccel_arg_array_set_int16_array(struct vaccel_arg_array *array, int16_t *values, size_t count);
int vaccel_arg_array_set_int32_array(struct vaccel_arg_array *array, int32_t *values, size_t count);
int vaccel_arg_array_set_int64_array(struct vaccel_arg_array *array, int64_t *values, size_t count);
int vaccel_arg_array_set_uint8_array(struct vaccel_arg_array *array, uint8_t *values, size_t count);
int vaccel_arg_array_set_uint16_array(struct vaccel_arg_array *array, uint16_t *values, size_t count);
int vaccel_arg_array_set_uint32_array(struct vaccel_arg_array *array, uint32_t *values, size_t count);
int vaccel_arg_array_set_uint64_array(struct vaccel_arg_array *array, uint64_t *values, size_t count);
int vaccel_arg_array_set_float_array(struct vaccel_arg_array *array, float *values, size_t count);
int vaccel_arg_array_set_double_array(struct vaccel_arg_array *array, double *values, size_t count);
int vaccel_arg_array_set_bool_array(struct vaccel_arg_array *array, bool *values, size_t count);
int vaccel_arg_array_set_char_array(struct vaccel_arg_array *array, char *values, size_t count);
int vaccel_arg_array_set_uchar_array(struct vaccel_arg_array *array, unsigned char *values, size_t count);

/** Sets a string, the terminating zero included. VACCEL_EINVAL when it does not fit. */
int vaccel_arg_array_set_string(struct vaccel_arg_array *array, char *value);

/** Sets opaque bytes. VACCEL_EINVAL when they do not fit. */
int vaccel_arg_array_set_buffer(struct vaccel_arg_array *array, void *data, size_t size);

/** Sets bytes without a type. VACCEL_EINVAL when they do not fit. */
int vaccel_arg_array_set_raw(struct vaccel_arg_array *array, void *data, size_t size);

/** Sets bytes of a type of the application; parameters as vaccel_arg_array_add_custom(). */
int vaccel_arg_array_set_custom(struct vaccel_arg_array *array, uint32_t custom_type_id, void *data, size_t size, vaccel_arg_type_validator_fn validator);

/** Sets a structure in serialized form; parameters as vaccel_arg_array_add_serialized(). */
int vaccel_arg_array_set_serialized(struct vaccel_arg_array *array, vaccel_arg_type_t type, uint32_t custom_type_id, void *data, size_t size, vaccel_arg_serializer_fn serializer);

#ifdef __cplusplus
}
#endif

#endif /* VACCEL_ARG_ARRAY_H */
