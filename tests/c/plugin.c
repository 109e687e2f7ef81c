/* SPDX-License-Identifier: Apache-2.0 */
/* Loading plugins, right and wrong ones, and ending the library under a session. */
#include "recorder.h"

static const char *built(const char *name)
{
    static char path[512];
    const char *out = getenv("OUT");
    need(out != NULL);
    snprintf(path, sizeof(path), "%s/%s", out, name);
    return path;
}

static void refuses(int fault, int wanted, const char *name)
{
    char file[64];
    snprintf(file, sizeof(file), "libvaccel-bad%d.so", fault);
    ok_code(vaccel_plugin_load(built(file)), wanted, name);
    ok(strstr(vaccel_error_message(), file) != NULL, "its message names the file");
}

static void wrong_ones(void)
{
    refuses(1, VACCEL_EINVAL, "a plugin without a name is refused");
    refuses(2, VACCEL_EINVAL, "one without init");
    refuses(3, VACCEL_EINVAL, "one without the version it was made for");
    refuses(4, VACCEL_EINVAL, "one for another major version");
    refuses(6, VACCEL_ENODEV, "one whose init fails, with its error");
    ok(strstr(vaccel_error_message(), "there is no device") != NULL, "and its words");
    refuses(7, VACCEL_EINVAL, "one with an operation past the last");
    refuses(8, VACCEL_EINVAL, "one with more operations than there are");
    refuses(9, VACCEL_EINVAL, "one with an operation without a function");

    ok_code(vaccel_plugin_load("/no/such/plugin.so"), VACCEL_ENOENT, "a missing file");
    ok(strstr(vaccel_error_message(), "/no/such/plugin.so") != NULL, "its message names the file");
    ok_code(vaccel_plugin_load("libc.so.6"), VACCEL_ELIBBAD, "a library that is no plugin");
    ok_code(vaccel_plugin_load(NULL), VACCEL_EINVAL, "NULL");
    ok_code(vaccel_plugin_parse_and_load(NULL), VACCEL_EINVAL, "and a list that is NULL");
    ok_code(vaccel_plugin_register_ops(NULL, 1), VACCEL_EINVAL, "operations that are NULL");
    struct vaccel_plugin stranger;
    memset(&stranger, 0, sizeof(stranger));
    struct vaccel_op op = { VACCEL_OP_NOOP, (void *)&stranger, &stranger };
    ok_code(vaccel_plugin_register_ops(&op, 1), VACCEL_EINVAL, "operations of no loaded plugin");
}

static void right_ones(void)
{
    struct vaccel_session sess;
    ok_code(vaccel_plugin_load(getenv("RECORDER")), VACCEL_EEXIST,
            "a plugin is not loaded twice");
    ok_code(vaccel_plugin_load(built("libvaccel-bad5.so")), VACCEL_OK,
            "a plugin for another minor version is loaded");
    ok_code(vaccel_plugin_parse_and_load(built("libvaccel-example-c.so")), VACCEL_OK,
            "a list of one plugin is loaded");

    ok_code(vaccel_session_init(&sess, VACCEL_PLUGIN_CPU), VACCEL_OK, "a session is opened");
    ok(!strcmp(sess.plugin->info->name, "example-c"), "with the plugin of that kind");
    ok_code(vaccel_minmax(&sess, NULL, 0, 0, 0, NULL, NULL, NULL), VACCEL_EINVAL,
            "arguments are checked first");
    char picture[] = "x";
    unsigned char name[8];
    ok_code(vaccel_image_depth(&sess, picture, name, 1, sizeof(name)), VACCEL_ENOTSUP,
            "an operation that a plugin does not offer is an error");
    ok(strstr(vaccel_error_message(), "recorder") != NULL, "whose message names a plugin that does");
    ok_code(vaccel_session_update(&sess, VACCEL_PLUGIN_DEBUG), VACCEL_OK,
            "a session changes its plugin");
    ok(!strcmp(sess.plugin->info->name, "recorder"), "to the one of the new kind");
    vaccel_session_release(&sess);
    ok_code(vaccel_session_init(&sess, VACCEL_PLUGIN_FPGA), VACCEL_OK,
            "where no plugin is of a kind");
    ok(!strcmp(sess.plugin->info->name, "recorder"), "the first one is taken");
    vaccel_session_release(&sess);
}

/* The code of the plugin must not be called, nor its memory read, after it was unloaded. */
static void ending_under_a_session(void)
{
    struct vaccel_session sess;
    struct vaccel_resource res;
    char data[] = "data";
    need(!vaccel_session_init(&sess, 0));
    need(!vaccel_resource_init_from_buf(&res, data, 4, VACCEL_RESOURCE_DATA, NULL, true));
    need(!vaccel_resource_register(&res, &sess));
    int ret = vaccel_cleanup();
    ok(ret == VACCEL_OK || ret == VACCEL_EBUSY, "ending the library under a session is survived");
    if (ret == VACCEL_OK) {
        ok(vaccel_noop(&sess) != VACCEL_OK, "a call fails then");
        ok(vaccel_bootstrap() == VACCEL_OK, "the library starts again");
        ret = vaccel_noop(&sess);
        /* The same library may have been mapped all the time. */
        ok(ret == VACCEL_OK || ret == VACCEL_ENODEV || ret == VACCEL_ESESS ||
               ret == VACCEL_EINVAL,
           "the old session finds its plugin again, or says that it is gone");
    }
    ok_code(vaccel_resource_release(&res), VACCEL_OK, "its resource can be released");
    ok_code(vaccel_session_release(&sess), VACCEL_OK, "and itself closed");
    need(!vaccel_session_init(&sess, 0));
    ok_code(vaccel_noop(&sess), VACCEL_OK, "a new session works");
    vaccel_session_release(&sess);
}

int main(void)
{
    wrong_ones();
    right_ones();
    ending_under_a_session();
    return tap_done();
}
