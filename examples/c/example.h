/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the example programs share: usage, error reports, arguments, files, time.
 * Exit status of all programs: 0 success, 1 an operation failed, 2 wrong usage.
 */
#ifndef EXAMPLE_H
#define EXAMPLE_H

/* For clock_gettime() with -std=c11. */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <vaccel.h>

#define EXAMPLE_USAGE 2

/* True when the program was asked for help or called with a wrong number of arguments. */
static inline bool example_wrong_usage(int argc, char **argv, int min_args, int max_args,
                                       const char *arguments)
{
    bool help = argc == 2 && (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help"));
    if (!help && argc - 1 >= min_args && argc - 1 <= max_args)
        return false;
    fprintf(stderr, "Usage: %s%s%s\n", argv[0], *arguments ? " " : "", arguments);
    return true;
}

/* Reports why a call failed; returns the exit status of the program. */
static inline int example_fail(const char *what, int ret)
{
    const char *why = vaccel_error_message();
    fprintf(stderr, "%s failed: %s (%s)%s%s\n", what, vaccel_error_string(ret),
            vaccel_error_name(ret), *why ? ": " : "", why);
    return EXIT_FAILURE;
}

/* Reads a number of the command line; false, with a message, when it is not one in range. */
static inline bool example_number(const char *text, long min, long max, long *value)
{
    char *end;
    errno = 0;
    *value = strtol(text, &end, 10);
    if (end != text && !*end && !errno && *value >= min && *value <= max)
        return true;
    fprintf(stderr, "'%s' is not a number from %ld to %ld\n", text, min, max);
    return false;
}

/* Reads a shape of the command line such as 1x3x224x224; 0, with a message, when it is wrong. */
static inline size_t example_shape(const char *text, int64_t *dims, size_t max_dims)
{
    size_t count = 0;
    const char *at = text;
    for (;;) {
        char *end;
        errno = 0;
        long long dim = strtoll(at, &end, 10);
        if (end == at || errno || dim < 1 || count == max_dims)
            break;
        dims[count++] = dim;
        if (!*end)
            return count;
        if (*end != 'x')
            break;
        at = end + 1;
    }
    fprintf(stderr, "'%s' is not a shape such as 1x3x224x224 with at most %zu dimensions\n", text,
            max_dims);
    return 0;
}

/* Number of elements of a shape; 0 when it overflows. */
static inline size_t example_elements(const int64_t *dims, size_t nr_dims)
{
    size_t count = 1;
    for (size_t i = 0; i < nr_dims; i++) {
        if (dims[i] < 1 || (uint64_t)dims[i] > SIZE_MAX / 8 / count)
            return 0;
        count *= (size_t)dims[i];
    }
    return count;
}

/* Allocates `count` floats 0, 1/count, 2/count ...; NULL when out of memory. */
static inline float *example_ramp(size_t count)
{
    float *values = calloc(count ? count : 1, sizeof(*values));
    for (size_t i = 0; values && i < count; i++)
        values[i] = (float)i / (float)count;
    return values;
}

/* Prints the first few of `count` floats. */
static inline void example_print_floats(const char *name, const float *values, size_t count)
{
    printf("%s:", name);
    for (size_t i = 0; i < count && i < 10; i++)
        printf(" %g", (double)values[i]);
    printf("%s\n", count > 10 ? " ..." : "");
}

/* Reads a whole file; the caller frees the data. False, with a message, when it cannot. */
static inline bool example_read_file(const char *path, void **data, size_t *size)
{
    bool read = false;
    FILE *file = fopen(path, "rb");
    *data = NULL;
    *size = 0;
    if (!file) {
        fprintf(stderr, "cannot open '%s': %s\n", path, strerror(errno));
        return false;
    }
    long end = fseek(file, 0, SEEK_END) ? -1 : ftell(file);
    if (end <= 0 || fseek(file, 0, SEEK_SET)) {
        fprintf(stderr, "'%s' is empty or not a file\n", path);
    } else {
        *size = (size_t)end;
        *data = malloc(*size);
        read = *data && fread(*data, 1, *size, file) == *size;
        if (!read) {
            fprintf(stderr, "cannot read '%s'\n", path);
            free(*data);
            *data = NULL;
        }
    }
    fclose(file);
    return read;
}

/*
 * Prints where the annotated picture of an operation is, and copies it to `to`
 * when that is not NULL: it lies in the directory of the session and goes away
 * with it. False, with a message, when it cannot be copied.
 */
static inline bool example_picture(const char *from, const char *to)
{
    void *data;
    size_t size;
    if (!*from || !to) {
        printf("picture: %s\n", *from ? from : "none");
        return *from || !to;
    }
    if (!example_read_file(from, &data, &size))
        return false;
    FILE *file = fopen(to, "wb");
    bool written = file && fwrite(data, 1, size, file) == size;
    if (file)
        written = !fclose(file) && written;
    if (written)
        printf("picture: %s\n", to);
    else
        fprintf(stderr, "cannot write '%s': %s\n", to, strerror(errno));
    free(data);
    return written;
}

/* A session, with a model where one was given. */
struct example_session {
    struct vaccel_session sess;
    struct vaccel_resource model;
    bool has_model;
};

/* Opens a session and registers a model with it; `model` may be NULL. False, with a message, on error. */
static inline bool example_open(struct example_session *s, const char *model)
{
    int ret;
    s->has_model = false;
    ret = vaccel_session_init(&s->sess, 0);
    if (ret) {
        example_fail("opening a session", ret);
        return false;
    }
    if (!model)
        return true;
    ret = vaccel_resource_init(&s->model, model, VACCEL_RESOURCE_MODEL);
    if (ret) {
        example_fail("making a resource of the model", ret);
    } else {
        ret = vaccel_resource_register(&s->model, &s->sess);
        if (!ret) {
            s->has_model = true;
            return true;
        }
        example_fail("registering the model", ret);
        vaccel_resource_release(&s->model);
    }
    vaccel_session_release(&s->sess);
    return false;
}

/* Undoes example_open(); false, with a message, on error. */
static inline bool example_close(struct example_session *s)
{
    int ret = s->has_model ? vaccel_resource_release(&s->model) : VACCEL_OK;
    if (ret)
        example_fail("releasing the model", ret);
    int closed = vaccel_session_release(&s->sess);
    if (closed)
        example_fail("closing the session", closed);
    return !ret && !closed;
}

/* A call in generic form: the code of the operation, then its arguments. */
struct example_call {
    uint8_t code;
    struct vaccel_arg_array read;
    struct vaccel_arg_array write;
};

/* Begins a call; the arguments are then added to `read` and `write`. */
static inline int example_call_init(struct example_call *call, vaccel_op_type_t op)
{
    memset(call, 0, sizeof(*call));
    call->code = (uint8_t)op;
    int ret = vaccel_arg_array_init(&call->read, 4);
    if (!ret)
        ret = vaccel_arg_array_init(&call->write, 4);
    if (!ret)
        ret = vaccel_arg_array_add_uint8(&call->read, &call->code);
    return ret;
}

/* Makes the call; it may be repeated. */
static inline int example_call_run(struct example_call *call, struct vaccel_session *sess)
{
    return vaccel_genop(sess, vaccel_arg_array_raw(&call->read),
                        (int)vaccel_arg_array_count(&call->read),
                        vaccel_arg_array_raw(&call->write),
                        (int)vaccel_arg_array_count(&call->write));
}

/* Frees the lists of arguments, also after example_call_init() has failed. */
static inline void example_call_release(struct example_call *call)
{
    if (call->write.args)
        vaccel_arg_array_release(&call->write);
    if (call->read.args)
        vaccel_arg_array_release(&call->read);
}

/* Nanoseconds of a clock that never goes back. */
static inline uint64_t example_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

#endif /* EXAMPLE_H */
