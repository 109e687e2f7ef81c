/* SPDX-License-Identifier: Apache-2.0 */
/* Resources: making, registering, finding, syncing, releasing. */
#include "recorder.h"

#include <sys/stat.h>
#include <unistd.h>

static char dir[256];

static const char *in_dir(const char *name)
{
    static char path[2][300];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof(path[turn]), "%s/%s", dir, name);
    return path[turn];
}

static bool exists(const char *path)
{
    struct stat st;
    return path && stat(path, &st) == 0;
}

static void from_files(void)
{
    struct vaccel_session sess;
    struct vaccel_resource res;
    struct vaccel_resource *heap = NULL;
    tap_write_file(in_dir("a"), "aa", 2);
    tap_write_file(in_dir("b"), "bbb", 3);
    need(!vaccel_session_init(&sess, 0));

    memset(&res, 0xa5, sizeof(res));
    ok_code(vaccel_resource_init(&res, in_dir("a"), VACCEL_RESOURCE_DATA), VACCEL_OK,
            "a resource is made of a file");
    ok(vaccel_id_valid(res.id) && res.type == VACCEL_RESOURCE_DATA &&
           res.path_type == VACCEL_PATH_LOCAL_FILE && res.nr_paths == 1 && res.nr_blobs == 0 &&
           res.blobs == NULL && res.plugin_priv == NULL,
       "its file is not looked at yet");
    ok(vaccel_list_empty(&res.sessions) && vaccel_resource_refcount(&res) == 0,
       "it is not registered");
    ok_code(vaccel_resource_register(&res, &sess), VACCEL_OK, "it is registered");
    size_t size = 0;
    uint8_t *data = res.nr_blobs == 1 ? vaccel_blob_data(res.blobs[0], &size) : NULL;
    ok(data && size == 2 && !memcmp(data, "aa", 2), "its blob is the file");
    ok(!vaccel_list_empty(&res.sessions) && vaccel_resource_refcount(&res) == 1 &&
           !vaccel_list_empty(&sess.resources[VACCEL_RESOURCE_DATA]) &&
           sess.resource_counts[VACCEL_RESOURCE_DATA] == 1,
       "resource and session show it");
    ok_code(vaccel_resource_release(&res), VACCEL_OK, "it is released");
    ok(res.id == 0 && vaccel_list_empty(&sess.resources[VACCEL_RESOURCE_DATA]) &&
           sess.resource_counts[VACCEL_RESOURCE_DATA] == 0,
       "and gone from the session");
    ok_code(vaccel_resource_release(&res), VACCEL_EINVAL, "once");

    char url[320];
    snprintf(url, sizeof(url), "file://%s", in_dir("a"));
    ok_code(vaccel_resource_new(&heap, url, VACCEL_RESOURCE_DATA), VACCEL_OK,
            "a file:// URL is a file");
    ok(heap && heap->path_type == VACCEL_PATH_LOCAL_FILE, "of this machine");
    ok_code(vaccel_resource_delete(heap), VACCEL_OK, "a resource is deleted");

    const char *both[] = { in_dir("a"), in_dir("b") };
    const char *copies[2];
    copies[0] = strdup(both[0]);
    copies[1] = strdup(both[1]);
    ok_code(vaccel_resource_multi_new(&heap, copies, 2, VACCEL_RESOURCE_DATA), VACCEL_OK,
            "a resource is made of two files");
    ok(!vaccel_resource_register(heap, &sess) && heap->nr_blobs == 2 &&
           !strcmp(heap->blobs[1]->name, "b"),
       "in the order they were given");
    vaccel_resource_delete(heap);
    const char *mixed[] = { copies[0], dir };
    ok_code(vaccel_resource_multi_new(&heap, mixed, 2, VACCEL_RESOURCE_DATA), VACCEL_EINVAL,
            "files and directories cannot be mixed");
    const char *dirs[] = { dir, dir };
    ok_code(vaccel_resource_multi_new(&heap, dirs, 2, VACCEL_RESOURCE_DATA), VACCEL_ENOTSUP,
            "there can be one directory only");
    free((void *)copies[0]);
    free((void *)copies[1]);

    ok_code(vaccel_resource_init(&res, "/no/such/file", VACCEL_RESOURCE_DATA), VACCEL_ENOENT,
            "a missing file is an error");
    ok(strstr(vaccel_error_message(), "/no/such/file") != NULL, "whose message names it");
    ok(res.id == 0, "there is no resource then");
    ok_code(vaccel_resource_init(&res, dir, VACCEL_RESOURCE_MAX), VACCEL_EINVAL,
            "a type that does not exist is an error");
    ok_code(vaccel_resource_init(&res, NULL, VACCEL_RESOURCE_DATA), VACCEL_EINVAL,
            "NULL is an error");
    ok_code(vaccel_resource_init(NULL, dir, VACCEL_RESOURCE_DATA), VACCEL_EINVAL,
            "for the resource too");
    ok_code(vaccel_resource_init_multi(&res, NULL, 1, VACCEL_RESOURCE_DATA), VACCEL_EINVAL,
            "and for a list of paths");
    vaccel_session_release(&sess);
}

static void from_directory(void)
{
    struct vaccel_session sess;
    struct vaccel_resource res;
    char buf[300];
    char *path = NULL;
    need(!vaccel_session_init(&sess, 0));
    need(!mkdir(in_dir("tree"), 0700) && !mkdir(in_dir("tree/below"), 0700));
    tap_write_file(in_dir("tree/one"), "1", 1);
    tap_write_file(in_dir("tree/below/two"), "22", 2);

    ok_code(vaccel_resource_init(&res, in_dir("tree"), VACCEL_RESOURCE_MODEL), VACCEL_OK,
            "a resource is made of a directory");
    ok(res.path_type == VACCEL_PATH_LOCAL_DIR, "as such");
    ok(!vaccel_resource_register(&res, &sess) && res.nr_blobs == 2,
       "with all files below it as blobs");
    ok(!vaccel_resource_directory(&res, buf, sizeof(buf), NULL) && !strcmp(buf, in_dir("tree")),
       "its directory is told");
    ok(!vaccel_resource_directory(&res, NULL, 0, &path) && path && !strcmp(path, in_dir("tree")),
       "in new memory too");
    free(path);
    ok_code(vaccel_resource_directory(&res, buf, 3, NULL), VACCEL_ENAMETOOLONG,
            "not where there is no room");
    vaccel_resource_release(&res);
    ok(exists(in_dir("tree/below/two")), "the files stay");

    need(!remove(in_dir("tree/one")) && !remove(in_dir("tree/below/two")));
    need(!vaccel_resource_init(&res, in_dir("tree"), VACCEL_RESOURCE_MODEL));
    ok(vaccel_resource_register(&res, &sess) != VACCEL_OK,
       "a directory without files cannot be registered");
    ok(vaccel_resource_refcount(&res) == 0, "and is not");
    vaccel_resource_release(&res);
    vaccel_session_release(&sess);
}

static void from_bytes(struct recorder *rec)
{
    struct vaccel_session sess;
    struct vaccel_resource res, copy;
    unsigned char bytes[4] = { 10, 20, 30, 40 };
    need(!vaccel_session_init(&sess, 0));

    ok_code(vaccel_resource_init_from_buf(&res, bytes, 4, VACCEL_RESOURCE_DATA, NULL, true),
            VACCEL_OK, "a resource is made of bytes");
    ok(res.nr_blobs == 1 && res.blobs[0]->type == VACCEL_BLOB_BUFFER &&
           res.blobs[0]->data == bytes && !res.blobs[0]->data_owned && res.nr_paths == 0,
       "which are used as they are");
    ok_code(vaccel_resource_sync(&res, &sess), VACCEL_EPERM, "it must be registered to be synced");
    need(!vaccel_resource_register(&res, &sess));
    ok_code(vaccel_resource_sync(&res, &sess), VACCEL_OK, "it is synced");
    ok(bytes[0] == 11 && rec->syncs == 1, "by the plugin, in the caller's bytes");

    const struct vaccel_blob *blobs[] = { res.blobs[0] };
    ok_code(vaccel_resource_init_from_blobs(&copy, blobs, 1, VACCEL_RESOURCE_MODEL), VACCEL_OK,
            "a resource is made of blobs");
    ok(copy.nr_blobs == 1 && copy.blobs[0]->data != bytes && copy.blobs[0]->size == 4 &&
           copy.blobs[0]->data[1] == 20,
       "which are copied");
    ok_code(vaccel_resource_release(&res), VACCEL_OK, "the first is released");
    ok(copy.blobs[0]->data[3] == 40, "the copy lives on");
    vaccel_resource_release(&copy);
    ok_code(vaccel_resource_init_from_blobs(&copy, blobs, 0, VACCEL_RESOURCE_MODEL), VACCEL_EINVAL,
            "no blobs are an error");

    ok_code(vaccel_resource_init_from_buf(&res, bytes, 4, VACCEL_RESOURCE_DATA, "named", false),
            VACCEL_OK, "bytes are written to a file");
    char file[512];
    snprintf(file, sizeof(file), "%s", vaccel_blob_path(res.blobs[0]));
    ok(exists(file) && strstr(file, "/named") && strstr(file, vaccel_rundir()) == file,
       "of that name, in a directory of its own");
    need(!vaccel_resource_register(&res, &sess));
    ok_code(vaccel_resource_sync(&res, &sess), VACCEL_EINVAL, "a file is not synced");
    vaccel_resource_release(&res);
    ok(!exists(file), "the file is removed with the resource");

    const char *bad[] = { "../../x", "a/b", "..", "." };
    for (size_t i = 0; i < COUNT(bad); i++) {
        ok_code(vaccel_resource_init_from_buf(&res, bytes, 4, VACCEL_RESOURCE_DATA, bad[i], false),
                VACCEL_EINVAL, "a name that leaves the directory is refused");
        ok_code(vaccel_resource_init_from_buf(&res, bytes, 4, VACCEL_RESOURCE_DATA, bad[i], true),
                VACCEL_EINVAL, "in memory too: it may become a file later");
    }
    ok_code(vaccel_resource_init_from_buf(&res, bytes, 0, VACCEL_RESOURCE_DATA, NULL, true),
            VACCEL_EINVAL, "no bytes are an error");

    need(!vaccel_resource_init(&res, in_dir("a"), VACCEL_RESOURCE_DATA));
    ok(vaccel_resource_sync(&res, &sess) != VACCEL_OK, "a resource without blobs is not synced");
    vaccel_resource_release(&res);
    vaccel_session_release(&sess);
}

static void registering(struct recorder *rec)
{
    struct vaccel_session one, two;
    struct vaccel_resource res;
    char data[] = "data";
    need(!vaccel_session_init(&one, 0) && !vaccel_session_init(&two, 0));
    need(!vaccel_resource_init_from_buf(&res, data, 4, VACCEL_RESOURCE_LIB, NULL, true));

    rec->registers = rec->unregisters = 0;
    ok(!vaccel_resource_register(&res, &one) && !vaccel_resource_register(&res, &two) &&
           vaccel_resource_refcount(&res) == 2,
       "a resource is registered with two sessions");
    ok_code(vaccel_resource_register(&res, &one), VACCEL_OK, "a second time is harmless");
    ok(rec->registers == 2 && vaccel_resource_refcount(&res) == 2 &&
           one.resource_counts[VACCEL_RESOURCE_LIB] == 1,
       "and does nothing");
    ok(vaccel_session_has_resource(&one, &res), "the session has it");
    ok_code(vaccel_resource_unregister(&res, &one), VACCEL_OK, "it is unregistered");
    ok(!vaccel_session_has_resource(&one, &res) && vaccel_session_has_resource(&two, &res) &&
           rec->unregisters == 1 && vaccel_resource_refcount(&res) == 1,
       "from that session only");
    ok_code(vaccel_resource_unregister(&res, &one), VACCEL_EINVAL, "once");
    ok_code(vaccel_session_release(&two), VACCEL_OK, "closing a session");
    ok(rec->unregisters == 2 && vaccel_resource_refcount(&res) == 0 &&
           vaccel_list_empty(&res.sessions),
       "unregisters too");

    rec->answer = VACCEL_ENOSPC;
    ok_code(vaccel_resource_register(&res, &one), VACCEL_ENOSPC,
            "the error of the plugin is returned");
    rec->answer = VACCEL_OK;
    ok(!vaccel_session_has_resource(&one, &res) && vaccel_resource_refcount(&res) == 0,
       "and nothing is registered then");
    vaccel_resource_release(&res);
    ok_code(vaccel_resource_register(&res, &one), VACCEL_EINVAL,
            "what was released cannot be registered");
    ok_code(vaccel_resource_register(NULL, &one), VACCEL_EINVAL, "NULL is an error");
    ok_code(vaccel_resource_register(&res, NULL), VACCEL_EINVAL, "for the session too");
    ok(vaccel_resource_refcount(NULL) == -1, "NULL has no sessions");
    vaccel_session_release(&one);
}

static void finding(void)
{
    struct vaccel_session sess;
    struct vaccel_resource model, lib, lib2;
    struct vaccel_resource *found = NULL;
    struct vaccel_resource **all = NULL;
    size_t count = 0;
    char data[] = "data";
    need(!vaccel_session_init(&sess, 0));
    need(!vaccel_resource_init_from_buf(&model, data, 4, VACCEL_RESOURCE_MODEL, NULL, true));
    need(!vaccel_resource_init_from_buf(&lib, data, 4, VACCEL_RESOURCE_LIB, NULL, true));
    need(!vaccel_resource_init_from_buf(&lib2, data, 4, VACCEL_RESOURCE_LIB, NULL, true));

    ok(!vaccel_resource_get_by_id(&found, lib.id) && found == &lib, "found by number");
    ok_code(vaccel_resource_get_by_id(&found, 999999), VACCEL_ENOENT, "or not");
    ok_code(vaccel_resource_get_by_id(&found, -1), VACCEL_ENOENT, "not by a negative number");
    ok(!vaccel_resource_get_by_type(&found, VACCEL_RESOURCE_LIB) && found == &lib,
       "the oldest is found by type");
    ok_code(vaccel_resource_get_by_type(&found, VACCEL_RESOURCE_DATA), VACCEL_ENOENT, "or not");
    ok(!vaccel_resource_get_all_by_type(&all, &count, VACCEL_RESOURCE_LIB) && count == 2 &&
           all[0] == &lib && all[1] == &lib2,
       "all are found by type");
    free(all);

    need(!vaccel_resource_register(&lib2, &sess) && !vaccel_resource_register(&lib, &sess) &&
         !vaccel_resource_register(&model, &sess));
    ok(!vaccel_session_resource_by_id(&sess, &found, lib2.id) && found == &lib2,
       "a session finds by number");
    ok(!vaccel_session_resource_by_type(&sess, &found, VACCEL_RESOURCE_LIB) && found == &lib2,
       "and by type, the first one registered");
    ok(!vaccel_session_resources_by_type(&sess, &all, &count, VACCEL_RESOURCE_LIB) && count == 2 &&
           all[0] == &lib2 && all[1] == &lib,
       "and all, in the order of registration");
    free(all);
    ok_code(vaccel_session_resource_by_type(&sess, &found, VACCEL_RESOURCE_DATA), VACCEL_ENOENT,
            "or none");
    vaccel_resource_unregister(&lib2, &sess);
    ok_code(vaccel_session_resource_by_id(&sess, &found, lib2.id), VACCEL_ENOENT,
            "not what is not registered");
    vaccel_session_release(&sess);
    vaccel_resource_release(&lib2);
    vaccel_resource_release(&lib);
    vaccel_resource_release(&model);
}

static void clean_up(void)
{
    need(!remove(in_dir("a")) && !remove(in_dir("b")) && !rmdir(in_dir("tree/below")));
    need(!rmdir(in_dir("tree")));
    ok(rmdir(dir) == 0, "nothing is left in the directory");
}

int main(void)
{
    struct recorder *rec = recorder_find();
    tap_directory(dir);
    from_files();
    from_directory();
    from_bytes(rec);
    registering(rec);
    finding();
    clean_up();
    return tap_done();
}
