/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions and resources that go through a transport plugin. */
#include "transport.h"

#include <dlfcn.h>
#include <unistd.h>

static struct transport *find(void)
{
    const char *path = getenv("TRANSPORT");
    need(path != NULL);
    void *handle = dlopen(path, RTLD_NOW | RTLD_NOLOAD);
    need(handle != NULL);
    struct transport *found = (struct transport *)dlsym(handle, "transport");
    need(found != NULL);
    dlclose(handle);
    return found;
}

static void sessions(struct transport *t)
{
    struct vaccel_session sess, local;
    uint32_t flags = VACCEL_PLUGIN_REMOTE | VACCEL_PLUGIN_GPU;
    ok_code(vaccel_session_init(&sess, flags), VACCEL_OK, "a remote session is opened");
    ok(sess.is_virtio && sess.remote_id == 101 && !strcmp(sess.plugin->info->name, "transport"),
       "by the transport, which numbers it");
    ok(t->flags == VACCEL_PLUGIN_GPU, "the other side sees the flags without the one for remote");
    ok(sess.hint == flags, "the session remembers all");
    ok_code(vaccel_noop(&sess), VACCEL_OK, "an operation goes there");
    ok_code(vaccel_session_update(&sess, VACCEL_PLUGIN_REMOTE | VACCEL_PLUGIN_CPU), VACCEL_OK,
            "its flags are changed");
    ok(t->flags == VACCEL_PLUGIN_CPU, "on the other side");
    ok_code(vaccel_session_init(&local, 0), VACCEL_OK, "a local session is opened beside it");
    ok(!local.is_virtio && !strcmp(local.plugin->info->name, "recorder"), "by another plugin");
    ok_code(vaccel_session_update(&local, VACCEL_PLUGIN_REMOTE), VACCEL_ENOTSUP,
            "it cannot become a remote one");
    vaccel_session_release(&local);

    t->refuse_release = true;
    ok_code(vaccel_session_release(&sess), VACCEL_OK,
            "a session is closed even when the other side is gone");
    ok(sess.id == 0, "for good");
    t->refuse_release = false;

    t->refuse_session = true;
    ok_code(vaccel_session_init(&sess, VACCEL_PLUGIN_REMOTE), VACCEL_EREMOTEIO,
            "the error of the transport is returned");
    ok(strstr(vaccel_error_message(), "not there") != NULL, "with its words");
    ok(sess.id == 0, "and there is no session");
    t->refuse_session = false;
    ok(t->sessions == 0, "no session is left on the other side");
}

static void resources(struct transport *t)
{
    struct vaccel_session sess;
    struct vaccel_resource res;
    char dir[256], path[300];
    tap_directory(dir);
    snprintf(path, sizeof(path), "%s/model", dir);
    tap_write_file(path, "model", 5);
    need(!vaccel_session_init(&sess, VACCEL_PLUGIN_REMOTE));

    need(!vaccel_resource_init(&res, path, VACCEL_RESOURCE_MODEL));
    ok_code(vaccel_resource_register(&res, &sess), VACCEL_OK, "a resource is registered remotely");
    ok(res.remote_id == 1000 + res.id && t->nr_blobs == 1 && t->mapped,
       "with its bytes in memory and a number of the other side");
    ok_code(vaccel_resource_sync(&res, &sess), VACCEL_EINVAL, "a file is not synced");
    vaccel_resource_release(&res);
    ok(t->unregisters == 1, "releasing it unregisters it there");

    need(!vaccel_resource_init(&res, path, VACCEL_RESOURCE_MODEL));
    t->forget_number = true;
    ok_code(vaccel_resource_register(&res, &sess), VACCEL_EREMOTEIO,
            "a resource without a number of the other side is an error");
    ok(vaccel_resource_refcount(&res) == 0 && !vaccel_session_has_resource(&sess, &res),
       "and is not registered");
    t->forget_number = false;
    vaccel_resource_release(&res);

    ok_code(vaccel_resource_init(&res, "https://example.invalid/model", VACCEL_RESOURCE_MODEL),
            VACCEL_OK, "a URL is a resource");
    ok(res.path_type == VACCEL_PATH_REMOTE_FILE, "of a remote file");
    ok_code(vaccel_resource_register(&res, &sess), VACCEL_OK, "it is registered remotely");
    ok(t->nr_blobs == 0, "without bytes: the other side fetches them");
    vaccel_resource_release(&res);
    ok_code(vaccel_resource_init(&res, "https://", VACCEL_RESOURCE_MODEL), VACCEL_EINVAL,
            "a URL without a host is an error");

    vaccel_session_release(&sess);
    remove(path);
    rmdir(dir);
}

int main(void)
{
    struct transport *t = find();
    sessions(t);
    resources(t);
    return tap_done();
}
