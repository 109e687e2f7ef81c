/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A library whose functions can be called with vaccel_exec().
 *
 *     make -C examples/c mytestlib
 *     VACCEL_PLUGINS=libvaccel-exec.so ./exec ./libmytestlib.so
 */
#include "mytestlib.h"

int mytestfunc(struct vaccel_arg *read, size_t nr_read, struct vaccel_arg *write, size_t nr_write);
int mytestfunc_serialized(struct vaccel_arg *read, size_t nr_read, struct vaccel_arg *write,
                          size_t nr_write);
int mytestfunc_nodata(struct vaccel_arg *read, size_t nr_read, struct vaccel_arg *write,
                      size_t nr_write);

/* Reads an int32 and writes its double. */
int mytestfunc(struct vaccel_arg *read, size_t nr_read, struct vaccel_arg *write, size_t nr_write)
{
    struct vaccel_arg_array in, out;
    int32_t number;
    int ret = vaccel_arg_array_wrap(&in, read, nr_read);
    if (!ret)
        ret = vaccel_arg_array_wrap(&out, write, nr_write);
    if (!ret)
        ret = vaccel_arg_array_get_int32(&in, &number);
    if (ret)
        return ret;
    number = (int32_t)((uint32_t)number * 2);
    return vaccel_arg_array_set_int32(&out, &number);
}

/* Reads a series and writes one whose values are doubled. */
int mytestfunc_serialized(struct vaccel_arg *read, size_t nr_read, struct vaccel_arg *write,
                          size_t nr_write)
{
    struct vaccel_arg_array in, out;
    struct series series = { 0, NULL };
    int ret = vaccel_arg_array_wrap(&in, read, nr_read);
    if (!ret)
        ret = vaccel_arg_array_wrap(&out, write, nr_write);
    if (!ret)
        ret = vaccel_arg_array_get_serialized(&in, VACCEL_ARG_BUFFER, 0, &series, sizeof(series),
                                              series_deserialize);
    if (ret)
        return ret;
    for (uint32_t i = 0; i < series.count; i++)
        series.values[i] = (int32_t)((uint32_t)series.values[i] * 2);
    ret = vaccel_arg_array_set_serialized(&out, VACCEL_ARG_BUFFER, 0, &series, sizeof(series),
                                          series_serialize);
    free(series.values);
    return ret;
}

/* Takes nothing and gives nothing. */
int mytestfunc_nodata(struct vaccel_arg *read, size_t nr_read, struct vaccel_arg *write,
                      size_t nr_write)
{
    (void)read;
    (void)write;
    return nr_read || nr_write ? VACCEL_EINVAL : VACCEL_OK;
}
