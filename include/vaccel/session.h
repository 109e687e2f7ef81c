/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file vaccel/session.h
 * Sessions: what a program opens to call operations.
 *
 * A session is bound to one plugin, chosen when it is opened. Several threads
 * may call operations of one session at the same time.
 */
#ifndef VACCEL_SESSION_H
#define VACCEL_SESSION_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vaccel/id.h>
#include <vaccel/list.h>
#include <vaccel/resource.h>

/** Bytes of `rundir` in struct vaccel_session, the terminating zero included. */
#define VACCEL_SESSION_RUNDIR_MAX 4096

#ifdef __cplusplus
extern "C" {
#endif

struct vaccel_plugin;

/**
 * A session.
 *
 * The caller owns the structure and must not move it while it lives. Fields
 * are for reading; the library writes them.
 */
struct vaccel_session {
    vaccel_id_t id;                              /**< number of the session, positive while it lives */
    vaccel_id_t remote_id;                       /**< number on the remote side, set by a transport plugin */
    uint32_t hint;                               /**< the VACCEL_PLUGIN_* bits it was opened with */
    bool is_virtio;                              /**< true: operations go through a transport plugin */
    char rundir[VACCEL_SESSION_RUNDIR_MAX];      /**< private directory */
    struct vaccel_list_entry entry;              /**< the library's own */
    vaccel_list_t resources[VACCEL_RESOURCE_MAX]; /**< registered resources of each type; empty or not is public */
    size_t resource_counts[VACCEL_RESOURCE_MAX]; /**< their numbers */
    pthread_mutex_t resources_lock;              /**< guards the lists */
    struct vaccel_plugin *plugin;                /**< the plugin that serves this session */
    void *priv;                                  /**< the plugin's own data */
};

/**
 * Opens a session.
 *
 * With VACCEL_PLUGIN_REMOTE in `flags` the first transport plugin serves it.
 * Otherwise the first plugin that has one of the bits in its type does, else
 * the first plugin that is not a transport, else the only plugin there is.
 *
 * @param sess   what to fill; released with vaccel_session_release()
 * @param flags  VACCEL_PLUGIN_* bits of vaccel/plugin.h: what is preferred; 0 for any
 * @return       VACCEL_OK; VACCEL_EINVAL; VACCEL_ESESS when the library is not
 *               initialised; VACCEL_ENOTSUP when no plugin fits; VACCEL_EUSERS
 *               when there are too many sessions; or the error of the plugin
 */
int vaccel_session_init(struct vaccel_session *sess, uint32_t flags);

/**
 * Chooses another plugin for a session.
 *
 * @param sess   an open session
 * @param flags  as for vaccel_session_init()
 * @return       VACCEL_OK; VACCEL_EINVAL; VACCEL_ENOTSUP for a local session that
 *               has resources or would become remote, and when no plugin fits
 */
int vaccel_session_update(struct vaccel_session *sess, uint32_t flags);

/** Unregisters all resources and closes a session. Does not free the structure; `id` becomes 0. */
int vaccel_session_release(struct vaccel_session *sess);

/** Allocates and opens a session; see vaccel_session_init(). */
int vaccel_session_new(struct vaccel_session **sess, uint32_t flags);

/** Closes and frees a session made by vaccel_session_new(). */
int vaccel_session_delete(struct vaccel_session *sess);

/** Finds an open session by its number: the caller's own structure. VACCEL_ENOENT. */
int vaccel_session_get_by_id(struct vaccel_session **sess, vaccel_id_t id);

/** True when a resource is registered with a session. */
bool vaccel_session_has_resource(struct vaccel_session *sess, struct vaccel_resource *res);

/** Finds a resource of a session by its number. VACCEL_ENOENT when there is none. */
int vaccel_session_resource_by_id(struct vaccel_session *sess, struct vaccel_resource **res,
                                  vaccel_id_t id);

/** Finds the first resource of a type of a session. VACCEL_ENOENT when there is none. */
int vaccel_session_resource_by_type(struct vaccel_session *sess, struct vaccel_resource **res,
                                    vaccel_resource_type_t type);

/**
 * Finds all resources of a type of a session.
 *
 * @param sess          an open session
 * @param resources     gets a malloc'ed array, to be freed with free(); what it
 *                      points at stays with its owners
 * @param nr_resources  gets their number
 * @param type          which ones
 * @return              VACCEL_OK; VACCEL_ENOENT when there is none;
 *                      VACCEL_EINVAL; VACCEL_ENOMEM
 */
int vaccel_session_resources_by_type(struct vaccel_session *sess,
                                     struct vaccel_resource ***resources, size_t *nr_resources,
                                     vaccel_resource_type_t type);

/**
 * Allocates memory that calls of the session need not copy.
 *
 * Where the session reaches its agent through shared memory the buffer lies there, and
 * arguments inside of it at multiples of 64 bytes are used by both sides as they are;
 * elsewhere it is ordinary memory. Its content is undefined. After a call that ended
 * with VACCEL_ETIMEDOUT an output in it may still be written.
 *
 * @param sess  an open session
 * @param size  bytes, at least 1
 * @param buf   gets the address, a multiple of 64
 * @return      VACCEL_OK; VACCEL_EINVAL; VACCEL_ENOMEM
 */
int vaccel_buffer_alloc(struct vaccel_session *sess, size_t size, void **buf);

/**
 * Frees memory of vaccel_buffer_alloc(); to be called before the session is released.
 *
 * @param sess  the session it was allocated with
 * @param buf   the address, or NULL
 * @return      VACCEL_OK; VACCEL_EINVAL
 */
int vaccel_buffer_free(struct vaccel_session *sess, void *buf);

/**
 * Sets how long calls of a session may take, those that are waited for too.
 *
 * Over a transport a call is over then, with VACCEL_ETIMEDOUT. In this process it is
 * the time in which calls of vaccel/async.h must have begun. By default it is what the
 * environment says in VACCEL_TIMEOUT, in seconds.
 *
 * @param sess        an open session
 * @param timeout_ms  milliseconds; 0 for the default
 * @return            VACCEL_OK; VACCEL_EINVAL; the error of the plugin
 */
int vaccel_session_set_timeout(struct vaccel_session *sess, uint64_t timeout_ms);

/**
 * Says which span the operations of a session are called in from now on, as a distributed
 * trace calls it: those that begin later, on any thread, until it is said anew.
 *
 * A transport tells it to an agent that records traces; a plugin that runs operations in this
 * process has nobody to tell. By default it is what the environment says in TRACEPARENT.
 *
 * @param sess         an open session
 * @param traceparent  a W3C `traceparent`, such as
 *                     "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", which is copied;
 *                     NULL for the default
 * @return             VACCEL_OK; VACCEL_EINVAL, also for what is none; the error of the plugin
 */
int vaccel_session_set_trace(struct vaccel_session *sess, const char *traceparent);

/** Deprecated name of vaccel_session_init(). */
int vaccel_sess_init(struct vaccel_session *sess, uint32_t flags) __attribute__((deprecated));

/** Deprecated name of vaccel_session_update(). */
int vaccel_sess_update(struct vaccel_session *sess, uint32_t flags) __attribute__((deprecated));

/** Deprecated name of vaccel_session_release(). */
int vaccel_sess_free(struct vaccel_session *sess) __attribute__((deprecated));

/** Deprecated name of vaccel_session_has_resource(). */
bool vaccel_sess_has_resource(struct vaccel_session *sess, struct vaccel_resource *res) __attribute__((deprecated));

#ifdef __cplusplus
}
#endif

#endif /* VACCEL_SESSION_H */
