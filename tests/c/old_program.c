/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program as it was compiled for the C library: nothing here comes from our
 * headers. Sizes and offsets are those of the binary interface on x86-64. Run
 * with the plugin of old_plugin.c.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SESSION_SIZE 4264
#define RESOURCE_SIZE 152
#define GUARD 64

int vaccel_session_init(void *sess, uint32_t flags);
int vaccel_session_release(void *sess);
int vaccel_resource_init(void *res, const char *path, uint32_t type);
int vaccel_resource_register(void *res, void *sess);
int vaccel_resource_release(void *res);
int vaccel_noop(void *sess);
int vaccel_image_classification(void *sess, const void *img, unsigned char *text,
                                unsigned char *imgname, size_t len_img, size_t len_text,
                                size_t len_imgname);
int vaccel_torch_model_run(void *sess, void *res, const void *options, void *const *in, int nr_in,
                           void **out, int nr_out);
int vaccel_torch_tensor_new(void **tensor, int64_t nr_dims, const int64_t *dims, uint32_t type);
int vaccel_torch_tensor_set_data(void *tensor, void *data, size_t size);
int vaccel_torch_tensor_delete(void *tensor);
int fs_file_read(const char *path, void **data, size_t *size);

static int checks, failures;

static void ok(bool holds, const char *name)
{
    checks++;
    failures += !holds;
    printf("%s - %s\n", holds ? "ok" : "not ok", name);
}

/* True when nothing was written behind a structure. */
static bool untouched(const unsigned char *guard)
{
    for (int i = 0; i < GUARD; i++)
        if (guard[i] != 0x5a)
            return false;
    return true;
}

static void *at(void *structure, size_t offset)
{
    void *pointer;
    memcpy(&pointer, (char *)structure + offset, sizeof(pointer));
    return pointer;
}

/* `list_empty`: the head points at itself. */
static bool empty(void *structure, size_t offset)
{
    return at(structure, offset) == (char *)structure + offset;
}

int main(int argc, char **argv)
{
    unsigned char *sess = malloc(SESSION_SIZE + GUARD);
    unsigned char *res = malloc(RESOURCE_SIZE + GUARD);
    unsigned char text[64] = "";
    int64_t dims[2] = { 1, 2 }, id;
    float data[2] = { 1.0f, 2.0f };
    void *in = NULL, *out = NULL, *file = NULL;
    size_t size = 0;
    if (argc != 2 || !sess || !res)
        return 2;
    memset(sess, 0x5a, SESSION_SIZE + GUARD);
    memset(res, 0x5a, RESOURCE_SIZE + GUARD);

    ok(vaccel_session_init(sess, 0) == 0, "an old program opens a session");
    memcpy(&id, sess, sizeof(id));
    ok(id > 0, "its number is where it was");
    ok(strncmp((char *)sess + 21, "/", 1) == 0, "its directory too");
    ok(empty(sess, 4136) && empty(sess, 4152) && empty(sess, 4168), "its lists are empty");
    ok(at(sess, 4248) != NULL, "it has a plugin");
    ok(vaccel_noop(sess) == 0, "an operation works");

    ok(vaccel_resource_init(res, argv[1], 2) == 0, "a resource is made");
    ok(vaccel_resource_register(res, sess) == 0, "and registered");
    ok(!empty(res, 80) && !empty(sess, 4168) && empty(sess, 4136), "its lists show it");
    uint32_t refcount;
    size_t count;
    memcpy(&refcount, res + 136, sizeof(refcount));
    memcpy(&count, sess + 4184 + 16, sizeof(count));
    ok(refcount == 1 && count == 1, "its counts too");
    ok(vaccel_image_classification(sess, "x", text, NULL, 1, sizeof(text), 0) == 0 &&
           !strcmp((char *)text, "libvaccel-old.so"),
       "the plugin finds it in the session");

    ok(vaccel_torch_tensor_new(&in, 2, dims, 7) == 0 &&
           vaccel_torch_tensor_set_data(in, data, sizeof(data)) == 0,
       "a tensor is made");
    ok(vaccel_torch_model_run(sess, res, NULL, &in, 1, &out, 1) == 0 && out &&
           ((float *)at(out, 0))[1] == 2.0f,
       "a model is run");
    ok(vaccel_torch_tensor_delete(out) == 0 && vaccel_torch_tensor_delete(in) == 0,
       "tensors are deleted");

    ok(fs_file_read(argv[1], &file, &size) == 0 && size > 4, "the helper of the examples is there");
    free(file);
    ok(vaccel_session_release(sess) == 0, "the session is closed");
    ok(empty(res, 80), "the resource shows it");
    ok(vaccel_resource_release(res) == 0, "the resource is released");
    ok(untouched(sess + SESSION_SIZE) && untouched(res + RESOURCE_SIZE),
       "nothing was written behind the structures");
    free(sess);
    free(res);
    printf("1..%d\n", checks);
    return failures ? 1 : 0;
}
