/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plugin as it was compiled for the C library: nothing here comes from our
 * headers. The declarations are written down from the binary interface (64 bits),
 * so that what is tested is that existing plugin binaries load and work.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct session;
struct plugin;

/* 24 bytes: type at 0, function at 8, owner at 16. */
struct op {
    uint32_t type;
    void *func;
    struct plugin *owner;
};

/* 96 bytes. */
struct plugin_info {
    const char *name;
    const char *version;
    const char *vaccel_version;
    int (*init)(void);
    int (*fini)(void);
    bool is_virtio;
    uint32_t type;
    int (*session_init)(struct session *, uint32_t);
    int (*session_release)(struct session *);
    int (*session_update)(struct session *, uint32_t);
    int (*resource_register)(void *, struct session *);
    int (*resource_unregister)(void *, struct session *);
    int (*resource_sync)(void *, struct session *);
};

/* 224 bytes. */
struct plugin {
    void *dl_handle;
    void *next, *prev;
    struct op *ops[24];
    const struct plugin_info *info;
};

/* 40 bytes. */
struct region {
    const char *name;
    bool name_owned;
    size_t nr_entries;
    void *samples;
    size_t size;
};

/* What plugins of the C library leave undefined. */
void slog_print(uint32_t flag, uint8_t new_line, const char *format, ...);
int vaccel_plugin_register_ops(struct op *ops, size_t nr_ops);
int vaccel_str_to_lower(const char *str, char *out, size_t out_size, char **out_alloc);
int vaccel_session_resource_by_type(struct session *sess, void **res, uint32_t type);
int vaccel_prof_region_start(struct region *region);
int vaccel_prof_region_stop(const struct region *region);
int vaccel_prof_region_print(const struct region *region);
int vaccel_prof_region_release(struct region *region);

static struct region measured = { "old_plugin", false, 0, NULL, 0 };

/* The number of a session is its first field. */
static int noop(struct session *sess)
{
    int64_t id;
    memcpy(&id, sess, sizeof(id));
    slog_print(16, 1, "[old] noop in session %lld, %s, %.1f", (long long)id, "text", 0.5);
    return id > 0 ? 0 : 22;
}

/*
 * Answers with the name of the first blob of the session's model in lower case:
 * blobs are at offset 48 of a resource, the name at offset 8 of a blob.
 */
static int classify(struct session *sess, const void *img, unsigned char *text,
                    unsigned char *imgname, size_t len_img, size_t len_text, size_t len_imgname)
{
    void *res, **blobs;
    char *name;
    (void)img;
    (void)imgname;
    (void)len_img;
    (void)len_imgname;
    vaccel_prof_region_start(&measured);
    int ret = vaccel_session_resource_by_type(sess, &res, 2);
    if (!ret) {
        memcpy(&blobs, (char *)res + 48, sizeof(blobs));
        memcpy(&name, (char *)blobs[0] + 8, sizeof(name));
        ret = vaccel_str_to_lower(name, (char *)text, len_text, NULL);
    }
    vaccel_prof_region_stop(&measured);
    return ret;
}

/* struct vaccel_torch_tensor: 48 bytes, all parts from malloc. */
struct torch_tensor {
    void *data;
    size_t size;
    bool owned;
    int64_t nr_dims;
    int64_t *dims;
    uint32_t data_type;
};

static int torch_run(struct session *sess, void *res, const void *options,
                     struct torch_tensor *const *in, int nr_in, struct torch_tensor **out,
                     int nr_out)
{
    (void)sess;
    (void)res;
    (void)options;
    if (nr_in != 1 || nr_out != 1)
        return 22;
    out[0] = malloc(sizeof(*out[0]));
    if (!out[0])
        return 12;
    *out[0] = *in[0];
    out[0]->owned = true;
    out[0]->data = malloc(in[0]->size);
    out[0]->dims = malloc((size_t)in[0]->nr_dims * sizeof(int64_t));
    if (!out[0]->data || !out[0]->dims)
        abort();
    memcpy(out[0]->data, in[0]->data, in[0]->size);
    memcpy(out[0]->dims, in[0]->dims, (size_t)in[0]->nr_dims * sizeof(int64_t));
    return 0;
}

__attribute__((visibility("hidden"))) extern struct plugin vaccel_this_plugin;

struct op ops[] = {
    { 0, (void *)(uintptr_t)noop, &vaccel_this_plugin },
    { 3, (void *)(uintptr_t)classify, &vaccel_this_plugin },
    { 15, (void *)(uintptr_t)torch_run, &vaccel_this_plugin },
};

static int init(void)
{
    return vaccel_plugin_register_ops(ops, sizeof(ops) / sizeof(ops[0]));
}

static int fini(void)
{
    vaccel_prof_region_print(&measured);
    vaccel_prof_region_release(&measured);
    return 0;
}

static const struct plugin_info info = {
    .name = "old",
    .version = "0.7.1",
    .vaccel_version = "0.7.1-93-gdeadbee",
    .init = init,
    .fini = fini,
    .type = 1 | 8,
};

struct plugin vaccel_this_plugin = { .info = &info };
const struct plugin *vaccel_plugin = &vaccel_this_plugin;
