/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file vaccel/error.h
 * Error codes: Linux errno numbers under names of their own, the same on every system.
 */
#ifndef VACCEL_ERROR_H
#define VACCEL_ERROR_H

#include <stddef.h>

#include <vaccel/utils/enum.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What functions return: VACCEL_OK or why the call failed. */
enum vaccel_error_code {
    VACCEL_OK = 0,             /**< success */
    VACCEL_EPERM = 1,          /**< operation not permitted, or resource not registered with the session */
    VACCEL_ENOENT = 2,         /**< no such file, plugin or object */
    VACCEL_EIO = 5,            /**< input/output error */
    VACCEL_ENOEXEC = 8,        /**< cannot be executed */
    VACCEL_EBADF = 9,          /**< bad file descriptor */
    VACCEL_EAGAIN = 11,        /**< try again */
    VACCEL_ENOMEM = 12,        /**< out of memory */
    VACCEL_EACCES = 13,        /**< permission denied */
    VACCEL_EFAULT = 14,        /**< bad address */
    VACCEL_EBUSY = 16,         /**< in use */
    VACCEL_EEXIST = 17,        /**< exists already */
    VACCEL_ENODEV = 19,        /**< no such device or plugin */
    VACCEL_ENOTDIR = 20,       /**< not a directory */
    VACCEL_EINVAL = 22,        /**< invalid argument */
    VACCEL_ENOSPC = 28,        /**< no space left */
    VACCEL_EROFS = 30,         /**< read-only file system */
    VACCEL_EMLINK = 31,        /**< too many links */
    VACCEL_ERANGE = 34,        /**< out of range, or a buffer is too small */
    VACCEL_ENAMETOOLONG = 36,  /**< name too long */
    VACCEL_ENOSYS = 38,        /**< not implemented */
    VACCEL_ELOOP = 40,         /**< too many symbolic links */
    VACCEL_EBACKEND = 71,      /**< the library is not initialised */
    VACCEL_ELIBBAD = 80,       /**< not a vaccel plugin, or not a library */
    VACCEL_EUSERS = 87,        /**< too many users */
    VACCEL_ENOTSUP = 95,       /**< no plugin offers this operation */
    VACCEL_ESESS = 104,        /**< session lost, or library not initialised */
    VACCEL_ETIMEDOUT = 110,    /**< the deadline has passed */
    VACCEL_EINPROGRESS = 115,  /**< in progress */
    VACCEL_EREMOTEIO = 121,    /**< error on the remote side */
    VACCEL_ECANCELED = 125     /**< cancelled */
};

/**
 * What went wrong in the last failed call of this thread, in words.
 *
 * @return  a string that is valid until the next call of this thread; never
 *          NULL, empty when nothing has failed yet
 */
const char *vaccel_error_message(void);

/**
 * Sets what vaccel_error_message() returns in this thread.
 *
 * For plugins: call it before an operation returns an error code, and the
 * caller reads why it failed, across transports too.
 *
 * @param message  is copied; NULL clears
 */
void vaccel_error_set(const char *message);

/** Name of a code, for example `VACCEL_EINVAL`; "unknown" for other numbers. Static string. */
const char *vaccel_error_name(int code);

/** Meaning of a code in a few words, for example "invalid argument". Static string. */
const char *vaccel_error_string(int code);

/** Writes the name of a code to `buf`; see vaccel_enum_to_str(). */
static inline char *vaccel_error_code_to_str(int code, char *buf, size_t size)
{
    return vaccel_enum_to_str(vaccel_error_name(code), buf, size);
}

#ifdef __cplusplus
}
#endif

#endif /* VACCEL_ERROR_H */
