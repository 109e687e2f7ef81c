/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions: opening, finding, choosing a plugin, closing. */
#include "recorder.h"

#include <sys/stat.h>
#include <unistd.h>

#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
#endif

static bool is_directory(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static void life(struct recorder *rec)
{
    struct vaccel_session sess;
    struct vaccel_session *found = NULL;
    /* What a stack holds before must not matter. */
    memset(&sess, 0xa5, sizeof(sess));
    ok_code(vaccel_session_init(&sess, VACCEL_PLUGIN_DEBUG), VACCEL_OK, "a session is opened");
    ok(vaccel_id_valid(sess.id), "it has a number");
    ok(sess.hint == VACCEL_PLUGIN_DEBUG && !sess.is_virtio && sess.priv == NULL,
       "it remembers what was asked for");
    ok(sess.plugin && !strcmp(sess.plugin->info->name, "recorder"), "it has a plugin");
    ok(is_directory(sess.rundir) && strstr(sess.rundir, vaccel_rundir()) == sess.rundir,
       "it has a directory in that of the process");
    struct stat st;
    ok(stat(sess.rundir, &st) == 0 && (st.st_mode & 0777) == 0700, "which is private");
    for (int type = 0; type < VACCEL_RESOURCE_MAX; type++)
        ok(vaccel_list_empty(&sess.resources[type]) && sess.resource_counts[type] == 0,
           "it has no resources of a type");
    ok(rec->sessions == 1, "the plugin knows it");
    ok_code(vaccel_session_get_by_id(&found, sess.id), VACCEL_OK, "it is found by its number");
    ok(found == &sess, "as the caller's own structure");
    ok_code(vaccel_noop(&sess), VACCEL_OK, "it can be used");
    ok(rec->calls[VACCEL_OP_NOOP] == 1 && rec->session == &sess, "by its plugin");

    /* A leftover file must not keep the directory, or the number, for ever. */
    vaccel_id_t id = sess.id;
    char rundir[sizeof(sess.rundir)], left[sizeof(sess.rundir) + 8];
    strcpy(rundir, sess.rundir);
    snprintf(left, sizeof(left), "%s/left", rundir);
    tap_write_file(left, "x", 1);
    ok_code(vaccel_session_release(&sess), VACCEL_OK, "it is closed");
    ok(sess.id == 0 && sess.plugin == NULL, "and empty");
    ok(!is_directory(rundir), "its directory is removed with what is in it");
    ok(rec->sessions == 0, "the plugin knows");
    ok_code(vaccel_session_get_by_id(&found, id), VACCEL_ENOENT, "it is not found any more");
    ok_code(vaccel_session_release(&sess), VACCEL_EINVAL, "it cannot be closed twice");
    ok_code(vaccel_noop(&sess), VACCEL_EINVAL, "nor used");
}

static void heap(void)
{
    struct vaccel_session *sess = NULL;
    ok_code(vaccel_session_new(&sess, 0), VACCEL_OK, "a session is allocated");
    ok(sess && vaccel_id_valid(sess->id), "and open");
    ok_code(vaccel_session_update(sess, VACCEL_PLUGIN_CPU), VACCEL_OK, "its flags are changed");
    ok(sess && sess->hint == VACCEL_PLUGIN_CPU, "and remembered");
    ok_code(vaccel_session_delete(sess), VACCEL_OK, "it is deleted");
    ok_code(vaccel_session_new(NULL, 0), VACCEL_EINVAL, "NULL is an error");
    ok_code(vaccel_session_delete(NULL), VACCEL_EINVAL, "for deleting too");
    ok_code(vaccel_session_init(NULL, 0), VACCEL_EINVAL, "and for opening");
    ok_code(vaccel_session_release(NULL), VACCEL_EINVAL, "and for closing");
    ok_code(vaccel_session_update(NULL, 0), VACCEL_EINVAL, "and for changing");
}

static void remote(void)
{
    struct vaccel_session sess;
    ok_code(vaccel_session_init(&sess, VACCEL_PLUGIN_REMOTE), VACCEL_ENOTSUP,
            "without a transport there are no remote sessions");
    ok(sess.id == 0, "a session that was not opened has no number");
    ok(*vaccel_error_message() != '\0', "and there is a message");
}

/* More than the 1024 of the C library, from its number and directory to its end. */
static void many(void)
{
    enum { MANY = 3000 };
    struct vaccel_session **all =
        (struct vaccel_session **)calloc(MANY, sizeof(struct vaccel_session *));
    need(all != NULL);
    int opened = 0;
    while (opened < MANY && !vaccel_session_new(&all[opened], 0))
        opened++;
    ok(opened == MANY, "3000 sessions can be open");
    struct vaccel_session *found = NULL;
    ok(opened > 0 && !vaccel_session_get_by_id(&found, all[opened - 1]->id) &&
           found == all[opened - 1],
       "the last one is found");
    int closed = 0;
    while (closed < opened && !vaccel_session_delete(all[closed]))
        closed++;
    ok(closed == opened, "all are closed");
    free(all);
}

static void deprecated(void)
{
    struct vaccel_session sess;
    struct vaccel_resource res;
    char data[] = "data";
    ok_code(vaccel_sess_init(&sess, 0), VACCEL_OK, "vaccel_sess_init opens");
    ok_code(vaccel_sess_update(&sess, VACCEL_PLUGIN_DEBUG), VACCEL_OK, "vaccel_sess_update changes");
    need(!vaccel_resource_init_from_buf(&res, data, 4, VACCEL_RESOURCE_DATA, NULL, true));
    ok(!vaccel_sess_has_resource(&sess, &res), "vaccel_sess_has_resource says no");
    need(!vaccel_resource_register(&res, &sess));
    ok(vaccel_sess_has_resource(&sess, &res), "vaccel_sess_has_resource says yes");
    ok_code(vaccel_sess_update(&sess, VACCEL_PLUGIN_CPU), VACCEL_ENOTSUP,
            "a session with resources keeps its plugin");
    ok_code(vaccel_sess_free(&sess), VACCEL_OK, "vaccel_sess_free closes");
    ok(vaccel_resource_refcount(&res) == 0, "and unregisters");
    vaccel_resource_release(&res);
}

int main(void)
{
    struct recorder *rec = recorder_find();
    life(rec);
    heap();
    remote();
    many();
    deprecated();
    ok(rec->sessions == 0, "no session is left open");
    return tap_done();
}
