/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file vaccel/utils/str.h
 * Strings.
 */
#ifndef VACCEL_UTILS_STR_H
#define VACCEL_UTILS_STR_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Turns the ASCII letters of a string into lower case.
 *
 * The result goes to `out`, to a new string, or to both.
 *
 * @param str        zero-terminated string
 * @param out        room for the result, or NULL
 * @param out_size   bytes at `out`, the terminating zero included
 * @param out_alloc  gets a malloc'ed string, to be freed with free(); or NULL
 * @return           VACCEL_OK; VACCEL_EINVAL for NULL; VACCEL_ENAMETOOLONG when
 *                   `out` is too small, and nothing is written then; VACCEL_ENOMEM
 */
int vaccel_str_to_lower(const char *str, char *out, size_t out_size, char **out_alloc);

#ifdef __cplusplus
}
#endif

#endif /* VACCEL_UTILS_STR_H */
