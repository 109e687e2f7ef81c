/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file vaccel/arg_list.h
 * Deprecated lists of arguments; use vaccel/arg_array.h.
 *
 * Kept so that existing programs and bindings run. Arguments that are not given
 * a type are VACCEL_ARG_RAW.
 */
#ifndef VACCEL_ARG_LIST_H
#define VACCEL_ARG_LIST_H

#include <stdint.h>

#include <vaccel/arg.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A list of arguments of a fixed length. */
struct vaccel_arg_list {
    unsigned int size;         /**< room for this many */
    struct vaccel_arg *list;   /**< the arguments */
    int curr_idx;              /**< index of the next one to add */
    int *idcs_allocated_space; /**< for each: 1 when the list allocated its bytes, else 0 */
};

/**
 * Makes a list.
 *
 * @param size  room for this many arguments
 * @return      the list, freed with vaccel_delete_args(); NULL when out of memory
 */
struct vaccel_arg_list *vaccel_args_init(uint32_t size) __attribute__((deprecated));

/**
 * Adds bytes as they are. They are not copied.
 *
 * @return  VACCEL_OK; VACCEL_EINVAL for NULL or no bytes; VACCEL_ERANGE for a full list
 */
int vaccel_add_serial_arg(struct vaccel_arg_list *args, void *buf, uint32_t size) __attribute__((deprecated));

/**
 * Adds a structure in serialized form.
 *
 * @param args          the list
 * @param buf           the structure
 * @param argtype       type of the argument, VACCEL_ARG_*
 * @param serializer    returns malloc'ed bytes, which the list then owns, and
 *                      writes their number
 * @return              VACCEL_OK; VACCEL_EINVAL for NULL or a serializer that
 *                      returns NULL; VACCEL_ERANGE for a full list
 */
int vaccel_add_nonserial_arg(struct vaccel_arg_list *args, void *buf, uint32_t argtype, void *(*serializer)(void *, uint32_t *)) __attribute__((deprecated));

/** Adds room of the caller for a result. */
int vaccel_expect_serial_arg(struct vaccel_arg_list *args, void *buf, uint32_t size) __attribute__((deprecated));

/** Adds room of `expected_size` bytes, allocated by the list, for a serialized result. */
int vaccel_expect_nonserial_arg(struct vaccel_arg_list *args, uint32_t expected_size) __attribute__((deprecated));

/** The bytes of argument `idx`: the argument's own, not a copy. NULL on error. */
void *vaccel_extract_serial_arg(struct vaccel_arg *args, int idx) __attribute__((deprecated));

/** What `deserializer` makes of the bytes of argument `idx`; the caller frees it. NULL on error. */
void *vaccel_extract_nonserial_arg(struct vaccel_arg *args, int idx, void *(*deserializer)(void *, uint32_t)) __attribute__((deprecated));

/** Copies the bytes at `buf` to argument `idx`, as many as the argument has. */
int vaccel_write_serial_arg(struct vaccel_arg *args, int idx, void *buf) __attribute__((deprecated));

/** Writes a structure in serialized form to argument `idx`. VACCEL_EINVAL when it does not fit. */
int vaccel_write_nonserial_arg(struct vaccel_arg *args, int idx, void *buf, void *(*serializer)(void *, uint32_t *)) __attribute__((deprecated));

/** Frees a list and the bytes that it allocated. */
int vaccel_delete_args(struct vaccel_arg_list *args) __attribute__((deprecated));

#ifdef __cplusplus
}
#endif

#endif /* VACCEL_ARG_LIST_H */
