/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file vaccel/blob.h
 * A blob: one file or buffer of a resource.
 */
#ifndef VACCEL_BLOB_H
#define VACCEL_BLOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vaccel/utils/enum.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Where the bytes of a blob are. */
typedef enum {
    VACCEL_BLOB_FILE = 0,   /**< in a file, read on demand */
    VACCEL_BLOB_BUFFER = 1, /**< in memory */
    VACCEL_BLOB_MAPPED = 2, /**< in a file that is mapped into memory */
    VACCEL_BLOB_MAX = 3     /**< one past the last type */
} vaccel_blob_type_t;

/** One file or buffer. */
struct vaccel_blob {
    vaccel_blob_type_t type; /**< where the bytes are */
    char *name;              /**< file name without directory; malloc'ed */
    char *path;              /**< full path, malloc'ed; NULL for memory alone */
    bool path_owned;         /**< true: the file is removed with the blob */
    uint8_t *data;           /**< the bytes; NULL when not read yet */
    bool data_owned;         /**< true: `data` is freed or unmapped with the blob */
    size_t size;             /**< number of bytes; SIZE_MAX for a file with more */
};

/**
 * Fills a blob for a file. The file is not read yet.
 *
 * @param blob  what to fill; released with vaccel_blob_release()
 * @param path  an existing file
 * @return      VACCEL_OK; VACCEL_EINVAL; VACCEL_ENOENT; VACCEL_ENOMEM
 */
int vaccel_blob_init(struct vaccel_blob *blob, const char *path);

/**
 * Fills a blob with bytes in memory, or with a new file that holds them.
 *
 * @param blob       what to fill; released with vaccel_blob_release()
 * @param buf        the bytes
 * @param size       their number, at least 1
 * @param own        true: `buf` is malloc'ed, and on success the blob takes it
 *                   over; false: it stays the caller's and must stay valid as
 *                   long as the blob, unless a file is written
 * @param name       file name without directory; NULL for `file` and six random
 *                   characters
 * @param dir        NULL: the bytes stay in memory. Else a directory: the bytes
 *                   are written to a new file there, which is mapped, and
 *                   removed with the blob
 * @param randomize  appends `_` and six random characters to the name
 * @return           VACCEL_OK; VACCEL_EINVAL, also for a name that leaves the
 *                   directory; VACCEL_EEXIST; VACCEL_ENOENT; VACCEL_EIO;
 *                   VACCEL_ENOMEM
 */
int vaccel_blob_init_from_buf(struct vaccel_blob *blob, const uint8_t *buf, size_t size, bool own,
                              const char *name, const char *dir, bool randomize);

/** Frees what a blob owns, removes its file if that is owned; does not free the structure. */
int vaccel_blob_release(struct vaccel_blob *blob);

/** Allocates a blob for a file; see vaccel_blob_init(). */
int vaccel_blob_new(struct vaccel_blob **blob, const char *path);

/** Allocates a blob from bytes; see vaccel_blob_init_from_buf(). */
int vaccel_blob_from_buf(struct vaccel_blob **blob, const uint8_t *buf, size_t size, bool own,
                         const char *name, const char *dir, bool randomize);

/** Releases and frees a blob made by vaccel_blob_new() or vaccel_blob_from_buf(). */
int vaccel_blob_delete(struct vaccel_blob *blob);

/**
 * Writes a blob that is in memory to a file. The bytes stay where they are.
 *
 * @param blob       a VACCEL_BLOB_BUFFER; gets a path, and the file is removed
 *                   with the blob
 * @param dir        existing directory
 * @param name       file name without directory; NULL for that of the blob
 * @param randomize  appends `_` and six random characters to the name
 * @return           VACCEL_OK; VACCEL_EINVAL, also for a blob that has a file
 *                   already; VACCEL_EEXIST; VACCEL_ENOENT; VACCEL_EIO
 */
int vaccel_blob_persist(struct vaccel_blob *blob, const char *dir, const char *name,
                        bool randomize);

/** True when the fields of a blob fit together: it has bytes, or a path to read them from. */
bool vaccel_blob_valid(const struct vaccel_blob *blob);

/**
 * Maps the file of a VACCEL_BLOB_FILE, which becomes VACCEL_BLOB_MAPPED.
 *
 * @return  VACCEL_OK, also when it is in memory already; VACCEL_EINVAL;
 *          VACCEL_ENOENT; VACCEL_EIO; VACCEL_ENOMEM
 */
int vaccel_blob_read(struct vaccel_blob *blob);

/**
 * The bytes of a blob. A file is read first; see vaccel_blob_read().
 *
 * @param blob  the blob
 * @param size  gets the number of bytes; may be NULL
 * @return      the blob's own bytes; NULL when it is empty or cannot be read
 */
uint8_t *vaccel_blob_data(struct vaccel_blob *blob, size_t *size);

/** The path of a blob: its own string; NULL when it has no file. */
const char *vaccel_blob_path(struct vaccel_blob *blob);

/** Name of a type, for example `VACCEL_BLOB_FILE`. Static string. */
static inline const char *vaccel_blob_type_name(vaccel_blob_type_t type)
{
    return type == VACCEL_BLOB_FILE   ? "VACCEL_BLOB_FILE" :
           type == VACCEL_BLOB_BUFFER ? "VACCEL_BLOB_BUFFER" :
           type == VACCEL_BLOB_MAPPED ? "VACCEL_BLOB_MAPPED" :
                                        "unknown";
}

/** Writes the name of a type to `buf`; see vaccel_enum_to_str(). */
static inline char *vaccel_blob_type_to_str(vaccel_blob_type_t type, char *buf, size_t size)
{
    return vaccel_enum_to_str(vaccel_blob_type_name(type), buf, size);
}

#ifdef __cplusplus
}
#endif

#endif /* VACCEL_BLOB_H */
