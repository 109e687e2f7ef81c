/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file vaccel/utils/enum.h
 * Names of enum values as text: what the `*_to_str` functions share.
 */
#ifndef VACCEL_UTILS_ENUM_H
#define VACCEL_UTILS_ENUM_H

#include <stddef.h>
#include <string.h>

/** Bytes that hold the name of any enum value, the terminating zero included. */
#define VACCEL_ENUM_STR_MAX 128

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Copies a name to a buffer, cut to what fits, always zero-terminated.
 *
 * @param name  the name; NULL is "unknown"
 * @param buf   at least `size` bytes; nothing is written when `size` is 0
 * @param size  bytes at `buf`; VACCEL_ENUM_STR_MAX is always enough
 * @return      `buf`, so that the call can be an argument of printf()
 */
static inline char *vaccel_enum_to_str(const char *name, char *buf, size_t size)
{
    size_t length;
    if (buf == NULL || size == 0)
        return buf;
    if (name == NULL)
        name = "unknown";
    length = strlen(name) < size ? strlen(name) : size - 1;
    memcpy(buf, name, length);
    buf[length] = '\0';
    return buf;
}

#ifdef __cplusplus
}
#endif

#endif /* VACCEL_UTILS_ENUM_H */
