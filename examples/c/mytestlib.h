/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What mytestlib.c and the programs that call it share: a structure with a
 * pointer, and how it becomes bytes and comes back.
 */
#ifndef EXAMPLE_MYTESTLIB_H
#define EXAMPLE_MYTESTLIB_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <vaccel.h>

/* A series of numbers. `values` is malloc'ed. */
struct series {
    uint32_t count;
    int32_t *values;
};

/* Writes the count, then the values. A vaccel_arg_serializer_fn. */
static inline int series_serialize(const void *data, size_t size, void **out_buf, size_t *out_size)
{
    const struct series *series = data;
    if (size != sizeof(*series) || series->count > UINT32_MAX / 8)
        return VACCEL_EINVAL;
    *out_size = sizeof(uint32_t) + series->count * sizeof(int32_t);
    char *bytes = malloc(*out_size);
    if (!bytes)
        return VACCEL_ENOMEM;
    memcpy(bytes, &series->count, sizeof(uint32_t));
    if (series->count)
        memcpy(bytes + sizeof(uint32_t), series->values, series->count * sizeof(int32_t));
    *out_buf = bytes;
    return VACCEL_OK;
}

/* Reads what series_serialize() wrote; the caller frees `values`. A vaccel_arg_deserializer_fn. */
static inline int series_deserialize(const void *buf, size_t size, void *out, size_t out_size)
{
    struct series *series = out;
    uint32_t count;
    if (out_size != sizeof(*series) || size < sizeof(count))
        return VACCEL_EINVAL;
    memcpy(&count, buf, sizeof(count));
    if (count > (size - sizeof(count)) / sizeof(int32_t))
        return VACCEL_EINVAL;
    series->count = count;
    series->values = calloc(count ? count : 1, sizeof(int32_t));
    if (!series->values)
        return VACCEL_ENOMEM;
    memcpy(series->values, (const char *)buf + sizeof(count), count * sizeof(int32_t));
    return VACCEL_OK;
}

#endif /* EXAMPLE_MYTESTLIB_H */
