/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file vaccel/utils/fs.h
 * Files.
 */
#ifndef VACCEL_UTILS_FS_H
#define VACCEL_UTILS_FS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Reads a whole file into memory.
 *
 * @param path  file to read
 * @param data  gets the malloc'ed bytes, to be freed with free()
 * @param size  gets their number
 * @return      VACCEL_OK; VACCEL_EINVAL for NULL; VACCEL_ENOENT; VACCEL_EACCES;
 *              VACCEL_EIO; VACCEL_ENOMEM
 */
int fs_file_read(const char *path, void **data, size_t *size);

#ifdef __cplusplus
}
#endif

#endif /* VACCEL_UTILS_FS_H */
