/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file vaccel/resource.h
 * Resources: the models, libraries and data that operations use.
 *
 * A resource is made from paths, URLs, bytes in memory or blobs, then
 * registered with each session that uses it. Registration loads the bytes and,
 * where the session is remote, sends them there.
 */
#ifndef VACCEL_RESOURCE_H
#define VACCEL_RESOURCE_H

#include <pthread.h>
#ifndef __cplusplus
#include <stdatomic.h>
#endif
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vaccel/blob.h>
#include <vaccel/id.h>
#include <vaccel/list.h>
#include <vaccel/utils/enum.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vaccel_session;

/** What a resource is for. */
typedef enum {
    VACCEL_RESOURCE_LIB = 0,   /**< a shared library */
    VACCEL_RESOURCE_DATA = 1,  /**< data */
    VACCEL_RESOURCE_MODEL = 2, /**< a model */
    VACCEL_RESOURCE_MAX = 3    /**< one past the last type */
} vaccel_resource_type_t;

/** Where the bytes of a resource come from. */
typedef enum {
    VACCEL_PATH_LOCAL_FILE = 0,  /**< files of this machine */
    VACCEL_PATH_LOCAL_DIR = 1,   /**< a directory of this machine, with all below it */
    VACCEL_PATH_REMOTE_FILE = 2, /**< URLs to download */
    VACCEL_PATH_MAX = 3          /**< one past the last type; also that of bytes in memory */
} vaccel_path_type_t;

/**
 * A resource.
 *
 * The caller owns the structure and must not move it while it lives. Fields
 * are for reading; the library writes them.
 */
struct vaccel_resource {
    vaccel_id_t id;                 /**< number of the resource, positive while it lives */
    vaccel_id_t remote_id;          /**< number on the remote side, set by a transport plugin */
    vaccel_resource_type_t type;    /**< what it is for */
    vaccel_path_type_t path_type;   /**< where its bytes come from */
    char **paths;                   /**< `nr_paths` malloc'ed strings, or NULL */
    size_t nr_paths;                /**< their number */
    char *rundir;                   /**< private directory, or NULL while none is needed */
    struct vaccel_blob **blobs;     /**< `nr_blobs` blobs, or NULL before registration */
    size_t nr_blobs;                /**< their number */
    struct vaccel_list_entry entry; /**< the library's own */
    vaccel_list_t sessions;         /**< sessions it is registered with; empty or not is public */
    pthread_mutex_t sessions_lock;  /**< guards `sessions` */
#ifdef __cplusplus
    unsigned int refcount;          /**< number of registrations; atomic: vaccel_resource_refcount() */
#else
    atomic_uint refcount;           /**< number of registrations */
#endif
    void *plugin_priv;              /**< the plugin's own data */
};

/**
 * Fills a resource for one path or URL.
 *
 * @param res   what to fill; released with vaccel_resource_release()
 * @param path  a file or a directory, also as `file://...`, or a `http://`,
 *              `https://` or `ftp://` URL, which the remote side downloads
 * @param type  what it is for
 * @return      VACCEL_OK; VACCEL_EINVAL; VACCEL_ENOENT for a path that does not
 *              exist; VACCEL_EACCES; VACCEL_ENOMEM; VACCEL_ESESS when the
 *              library is not initialised
 */
int vaccel_resource_init(struct vaccel_resource *res, const char *path,
                         vaccel_resource_type_t type);

/**
 * Fills a resource for several files or several URLs.
 *
 * @param res       what to fill; released with vaccel_resource_release()
 * @param paths     the paths; all files or all URLs, or a single directory
 * @param nr_paths  their number, at least 1
 * @param type      what it is for
 * @return          as vaccel_resource_init(); VACCEL_ENOTSUP for several
 *                  directories; VACCEL_EINVAL for a mixture
 */
int vaccel_resource_init_multi(struct vaccel_resource *res, const char **paths, size_t nr_paths,
                               vaccel_resource_type_t type);

/**
 * Fills a resource with bytes in memory.
 *
 * @param res       what to fill; released with vaccel_resource_release()
 * @param buf       the bytes
 * @param nr_bytes  their number, at least 1
 * @param type      what it is for
 * @param filename  a file name without directory, or NULL for a random one
 * @param mem_only  true: `buf` is used as it is and must stay valid as long as
 *                  the resource; false: the bytes are copied to a file in the
 *                  private directory of the resource
 * @return          VACCEL_OK; VACCEL_EINVAL, also for a name with a `/`;
 *                  VACCEL_ENOMEM; VACCEL_EIO; VACCEL_ESESS when the library is
 *                  not initialised
 */
int vaccel_resource_init_from_buf(struct vaccel_resource *res, const void *buf, size_t nr_bytes,
                                  vaccel_resource_type_t type, const char *filename,
                                  bool mem_only);

/**
 * Fills a resource with copies of blobs.
 *
 * @param res       what to fill; released with vaccel_resource_release()
 * @param blobs     the blobs; the caller still releases its own
 * @param nr_blobs  their number, at least 1
 * @param type      what it is for
 */
int vaccel_resource_init_from_blobs(struct vaccel_resource *res, const struct vaccel_blob **blobs,
                                    size_t nr_blobs, vaccel_resource_type_t type);

/**
 * Unregisters a resource from all sessions and frees what it holds.
 *
 * Files of its own are removed. The structure is not freed; its `id` becomes 0.
 */
int vaccel_resource_release(struct vaccel_resource *res);

/** Allocates a resource for one path or URL; see vaccel_resource_init(). */
int vaccel_resource_new(struct vaccel_resource **res, const char *path,
                        vaccel_resource_type_t type);

/** Allocates a resource for several paths; see vaccel_resource_init_multi(). */
int vaccel_resource_multi_new(struct vaccel_resource **res, const char **paths, size_t nr_paths,
                              vaccel_resource_type_t type);

/** Allocates a resource with bytes in memory; see vaccel_resource_init_from_buf(). */
int vaccel_resource_from_buf(struct vaccel_resource **res, const void *buf, size_t nr_bytes,
                             vaccel_resource_type_t type, const char *filename, bool mem_only);

/** Allocates a resource with copies of blobs; see vaccel_resource_init_from_blobs(). */
int vaccel_resource_from_blobs(struct vaccel_resource **res, const struct vaccel_blob **blobs,
                               size_t nr_blobs, vaccel_resource_type_t type);

/** Releases and frees a resource made by vaccel_resource_new() or its kin. */
int vaccel_resource_delete(struct vaccel_resource *res);

/**
 * Registers a resource with a session, so that operations of the session can use it.
 *
 * Registering it again is harmless and does nothing.
 *
 * @return  VACCEL_OK; VACCEL_EINVAL, also for a directory without files;
 *          VACCEL_ENOENT, VACCEL_EIO or VACCEL_ENOMEM when the bytes cannot be
 *          loaded; VACCEL_ENOTSUP for a URL in a local session;
 *          VACCEL_EREMOTEIO when the remote side gave it no number; or the
 *          error of the plugin
 */
int vaccel_resource_register(struct vaccel_resource *res, struct vaccel_session *sess);

/** Undoes vaccel_resource_register(). VACCEL_EINVAL when it is not registered. */
int vaccel_resource_unregister(struct vaccel_resource *res, struct vaccel_session *sess);

/**
 * Brings bytes in memory up to date with what the remote side made of them.
 *
 * @param res   a resource of vaccel_resource_init_from_buf() with `mem_only`
 * @param sess  a session that it is registered with
 * @return      VACCEL_OK; VACCEL_EPERM when it is not registered; VACCEL_EINVAL
 *              when its bytes are not in memory; or the error of the plugin
 */
int vaccel_resource_sync(struct vaccel_resource *res, struct vaccel_session *sess);

/** Number of sessions that a resource is registered with; -1 for NULL. */
long int vaccel_resource_refcount(const struct vaccel_resource *res);

/**
 * The directory of a resource: itself, that of its first file, or its private one.
 *
 * @param res         the resource
 * @param out_path    room for the path, or NULL
 * @param max_len     bytes at `out_path`, the terminating zero included
 * @param alloc_path  gets a malloc'ed string, to be freed with free(); or NULL
 * @return            VACCEL_OK; VACCEL_EINVAL; VACCEL_ENAMETOOLONG; VACCEL_ENOENT
 *                    when it has no directory; VACCEL_ENOMEM
 */
int vaccel_resource_directory(struct vaccel_resource *res, char *out_path, size_t max_len,
                              char **alloc_path);

/** Finds a living resource by its number: the caller's own structure. VACCEL_ENOENT. */
int vaccel_resource_get_by_id(struct vaccel_resource **res, vaccel_id_t id);

/** Finds the first living resource of a type. VACCEL_ENOENT when there is none. */
int vaccel_resource_get_by_type(struct vaccel_resource **res, vaccel_resource_type_t type);

/**
 * Finds all living resources of a type.
 *
 * @param resources     gets a malloc'ed array, to be freed with free(); what it
 *                      points at stays with its owners
 * @param nr_resources  gets their number
 * @param type          which ones
 * @return              VACCEL_OK; VACCEL_ENOENT when there is none;
 *                      VACCEL_EINVAL; VACCEL_ENOMEM
 */
int vaccel_resource_get_all_by_type(struct vaccel_resource ***resources, size_t *nr_resources,
                                    vaccel_resource_type_t type);

/** Name of a type, for example `VACCEL_RESOURCE_LIB`. Static string. */
static inline const char *vaccel_resource_type_name(vaccel_resource_type_t type)
{
    return type == VACCEL_RESOURCE_LIB   ? "VACCEL_RESOURCE_LIB" :
           type == VACCEL_RESOURCE_DATA  ? "VACCEL_RESOURCE_DATA" :
           type == VACCEL_RESOURCE_MODEL ? "VACCEL_RESOURCE_MODEL" :
                                           "unknown";
}

/** Writes the name of a type to `buf`; see vaccel_enum_to_str(). */
static inline char *vaccel_resource_type_to_str(vaccel_resource_type_t type, char *buf, size_t size)
{
    return vaccel_enum_to_str(vaccel_resource_type_name(type), buf, size);
}

/**
 * Told how far files and memory on their way have come.
 *
 * @param user   as given to vaccel_progress_set()
 * @param name   what is on its way; only during the call
 * @param done   bytes that were sent, or have arrived
 * @param total  of how many; 0 when that is not known
 */
typedef void (*vaccel_progress_fn)(void *user, const char *name, uint64_t done, uint64_t total);

/**
 * Sets the function that calls of this thread tell of downloads and of what they send to
 * an agent, for a progress bar.
 *
 * It is called on this thread, may not call the library, and comes at least
 * once for each MiB.
 *
 * @param progress  the function, or NULL for none
 * @param user      passed to it
 * @return          VACCEL_OK
 */
int vaccel_progress_set(vaccel_progress_fn progress, void *user);

/** For plugins: tells the function of vaccel_progress_set(), if there is one. */
void vaccel_progress_report(const char *name, uint64_t done, uint64_t total);

/** Name of a path type, for example `VACCEL_PATH_LOCAL_FILE`. Static string. */
static inline const char *vaccel_path_type_name(vaccel_path_type_t type)
{
    return type == VACCEL_PATH_LOCAL_FILE  ? "VACCEL_PATH_LOCAL_FILE" :
           type == VACCEL_PATH_LOCAL_DIR   ? "VACCEL_PATH_LOCAL_DIR" :
           type == VACCEL_PATH_REMOTE_FILE ? "VACCEL_PATH_REMOTE_FILE" :
                                             "unknown";
}

/** Writes the name of a path type to `buf`; see vaccel_enum_to_str(). */
static inline char *vaccel_path_type_to_str(vaccel_path_type_t type, char *buf, size_t size)
{
    return vaccel_enum_to_str(vaccel_path_type_name(type), buf, size);
}

#ifdef __cplusplus
}
#endif

#endif /* VACCEL_RESOURCE_H */
