/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A trivial format of models, to show how a plugin loads, runs and describes
 * them. The file is one line of text,
 *
 *     identity NAME f32 DIM DIM ...
 *
 * with -1 for a dimension of any length. The model has one input and one output
 * of that name, type and shape; the output is a copy of the input.
 */
/* For strdup() with -std=c11. */
#define _POSIX_C_SOURCE 200809L

#include "identity.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_LENGTH 63
#define FILE_MAX_SIZE 1024

struct identity {
    vaccel_id_t session;
    vaccel_id_t resource;
    struct vaccel_tensor_info tensor; /* `name` is not used */
    char name[NAME_MAX_LENGTH + 1];
    struct identity *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct identity *models; /* guarded by `lock` */

/* Remembers why an operation fails, and returns its code. */
static int fail(int code, const char *message)
{
    vaccel_error_set(message);
    return code;
}

/* The place of a model in the list: of its link, so that it can be taken out. */
static struct identity **find(const struct vaccel_session *sess, const struct vaccel_resource *res)
{
    struct identity **at = &models;
    while (*at && ((*at)->session != sess->id || (*at)->resource != res->id))
        at = &(*at)->next;
    return at;
}

/* Copies a loaded model, so that it can be used without the lock. */
static int get(const struct vaccel_session *sess, const struct vaccel_resource *res,
               struct identity *copy)
{
    pthread_mutex_lock(&lock);
    const struct identity *found = *find(sess, res);
    if (found)
        *copy = *found;
    pthread_mutex_unlock(&lock);
    return found ? VACCEL_OK : fail(VACCEL_EINVAL, "identity: the model is not loaded");
}

/* Reads the file; the text is zero-terminated. */
static int read_text(struct vaccel_resource *res, char text[FILE_MAX_SIZE])
{
    size_t size;
    if (res->nr_blobs != 1)
        return fail(VACCEL_EINVAL, "identity: the model must be one file");
    struct vaccel_blob *blob = res->blobs[0];
    if (!blob->data) {
        int ret = vaccel_blob_read(blob);
        if (ret)
            return ret;
    }
    const uint8_t *data = vaccel_blob_data(blob, &size);
    if (!data || size >= FILE_MAX_SIZE)
        return fail(VACCEL_EINVAL, "identity: the file is empty or too long");
    memcpy(text, data, size);
    text[size] = '\0';
    return VACCEL_OK;
}

/* Understands the text of a file. */
static int parse(const char *text, struct identity *model)
{
    int used = 0;
    if (sscanf(text, "identity %63s f32%n", model->name, &used) != 1 || !used)
        return fail(VACCEL_EINVAL, "identity: the file does not begin with `identity NAME f32`");
    model->tensor.dtype = VACCEL_DTYPE_F32;
    for (text += used;;) {
        char *end;
        long long dim = strtoll(text, &end, 10);
        if (end == text)
            break;
        if (dim < -1 || dim == 0 || model->tensor.rank == VACCEL_TENSOR_MAX_RANK)
            return fail(VACCEL_EINVAL, "identity: the file has a wrong or too many dimensions");
        model->tensor.dims[model->tensor.rank++] = dim;
        text = end;
    }
    if (text[strspn(text, " \t\r\n")])
        return fail(VACCEL_EINVAL, "identity: the file has text after the dimensions");
    return VACCEL_OK;
}

int identity_load(struct vaccel_session *sess, struct vaccel_resource *res, const char *options)
{
    char text[FILE_MAX_SIZE];
    if (options && *options)
        return fail(VACCEL_EINVAL, "identity: there are no options");
    int ret = read_text(res, text);
    if (ret)
        return ret;
    struct identity *model = calloc(1, sizeof(*model));
    if (!model)
        return VACCEL_ENOMEM;
    ret = parse(text, model);
    if (ret) {
        free(model);
        return ret;
    }
    model->session = sess->id;
    model->resource = res->id;

    pthread_mutex_lock(&lock);
    struct identity **at = find(sess, res);
    bool loaded = *at != NULL;
    if (!loaded)
        *at = model;
    pthread_mutex_unlock(&lock);
    if (loaded)
        free(model);
    return VACCEL_OK;
}

int identity_unload(struct vaccel_session *sess, struct vaccel_resource *res)
{
    pthread_mutex_lock(&lock);
    struct identity **at = find(sess, res);
    struct identity *model = *at;
    if (model)
        *at = model->next;
    pthread_mutex_unlock(&lock);
    free(model);
    return model ? VACCEL_OK : fail(VACCEL_EINVAL, "identity: the model is not loaded");
}

void identity_clear(void)
{
    pthread_mutex_lock(&lock);
    while (models) {
        struct identity *model = models;
        models = model->next;
        free(model);
    }
    pthread_mutex_unlock(&lock);
}

/* Compares an input with what the model wants. */
static int check_input(const struct identity *model, const struct vaccel_tensor *in)
{
    size_t count = 1;
    if (in->name && strcmp(in->name, model->name))
        return fail(VACCEL_EINVAL, "identity: the model has no input of this name");
    if (in->dtype != VACCEL_DTYPE_F32 || in->rank != model->tensor.rank)
        return fail(VACCEL_EINVAL, "identity: the input has a wrong type or number of dimensions");
    for (uint32_t d = 0; d < in->rank; d++) {
        bool fits = model->tensor.dims[d] == -1 || model->tensor.dims[d] == in->dims[d];
        if (!fits || in->dims[d] < 0)
            return fail(VACCEL_EINVAL, "identity: the input has a wrong shape");
        uint64_t dim = (uint64_t)in->dims[d];
        if (dim > SIZE_MAX / sizeof(float) || (dim && count > SIZE_MAX / sizeof(float) / dim))
            return fail(VACCEL_EINVAL, "identity: the input is too large");
        count *= (size_t)dim;
    }
    if (in->size != count * sizeof(float) || (!in->data && in->size))
        return fail(VACCEL_EINVAL, "identity: the size of the input does not suit its shape");
    return VACCEL_OK;
}

int identity_run(struct vaccel_session *sess, struct vaccel_resource *res,
                 const struct vaccel_tensor *inputs, size_t nr_inputs,
                 struct vaccel_tensor *outputs, size_t nr_outputs)
{
    struct identity model;
    int ret = get(sess, res, &model);
    if (ret)
        return ret;
    if (nr_inputs != 1 || nr_outputs > 1)
        return fail(VACCEL_EINVAL, "identity: the model has one input and one output");
    ret = check_input(&model, &inputs[0]);
    if (ret || !nr_outputs)
        return ret;

    const struct vaccel_tensor *in = &inputs[0];
    struct vaccel_tensor *out = &outputs[0];
    if (out->name && strcmp(out->name, model.name))
        return fail(VACCEL_EINVAL, "identity: the model has no output of this name");
    if (!out->data) {
        /* malloc(0) may be NULL, which would look like "not allocated". */
        out->data = malloc(in->size ? in->size : 1);
        if (!out->data)
            return VACCEL_ENOMEM;
        out->flags = VACCEL_TENSOR_OWNED;
    } else if (out->size < in->size) {
        out->size = in->size;
        return fail(VACCEL_ERANGE, "identity: the output is too small");
    }
    if (in->size)
        memcpy(out->data, in->data, in->size);
    out->size = in->size;
    out->dtype = in->dtype;
    out->rank = in->rank;
    memcpy(out->dims, in->dims, sizeof(out->dims));
    return VACCEL_OK;
}

/* A malloc'ed array of one description. */
static struct vaccel_tensor_info *describe_tensor(const struct identity *model)
{
    struct vaccel_tensor_info *info = malloc(sizeof(*info));
    if (!info)
        return NULL;
    *info = model->tensor;
    info->name = strdup(model->name);
    if (info->name)
        return info;
    free(info);
    return NULL;
}

int identity_info(struct vaccel_session *sess, struct vaccel_resource *res,
                  struct vaccel_model_info *info)
{
    struct identity model;
    int ret = get(sess, res, &model);
    if (ret)
        return ret;
    memset(info, 0, sizeof(*info));
    info->format = strdup("identity");
    info->backend = strdup("example-c");
    info->inputs = describe_tensor(&model);
    info->nr_inputs = info->inputs ? 1 : 0;
    info->outputs = describe_tensor(&model);
    info->nr_outputs = info->outputs ? 1 : 0;
    if (info->format && info->backend && info->inputs && info->outputs)
        return VACCEL_OK;
    vaccel_model_info_release(info);
    return VACCEL_ENOMEM;
}
