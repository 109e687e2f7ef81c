/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs: files and buffers. */
/* Sizes of files have 64 bits on 32-bit machines too. */
#define _FILE_OFFSET_BITS 64
#include "tap.h"

#include <sys/stat.h>
#include <unistd.h>

static bool exists(const char *path)
{
    struct stat st;
    return path && stat(path, &st) == 0;
}

static void file(const char *dir)
{
    struct vaccel_blob blob;
    char path[300];
    size_t size = 0;
    snprintf(path, sizeof(path), "%s/data", dir);
    tap_write_file(path, "0123456789", 10);

    ok_code(vaccel_blob_init(&blob, path), VACCEL_OK, "a blob is made of a file");
    ok(blob.type == VACCEL_BLOB_FILE && !strcmp(blob.name, "data") &&
           !strcmp(vaccel_blob_path(&blob), path) && blob.data == NULL,
       "which is not read yet");
    ok(vaccel_blob_valid(&blob), "it is valid");
    ok_code(vaccel_blob_read(&blob), VACCEL_OK, "it is read");
    uint8_t *data = vaccel_blob_data(&blob, &size);
    ok(size == 10 && data && !memcmp(data, "0123456789", 10), "whole");
    ok(blob.type == VACCEL_BLOB_MAPPED, "by mapping it");
    ok_code(vaccel_blob_read(&blob), VACCEL_OK, "it is read again");
    ok(vaccel_blob_data(&blob, NULL) == data, "from where it is");
    if (data)
        data[0] = 'x';
    ok_code(vaccel_blob_release(&blob), VACCEL_OK, "it is released");
    void *file = NULL;
    need(!fs_file_read(path, &file, &size));
    ok(exists(path) && *(char *)file == '0', "the caller's file stays as it is");
    free(file);

    need(!vaccel_blob_init(&blob, path));
    ok(vaccel_blob_data(&blob, &size) && size == 10, "asking for the data reads the file");
    vaccel_blob_release(&blob);

    tap_write_file(path, "", 0);
    ok_code(vaccel_blob_init(&blob, path), VACCEL_OK, "an empty file is a blob");
    ok_code(vaccel_blob_read(&blob), VACCEL_OK, "which is read");
    vaccel_blob_data(&blob, &size);
    ok(size == 0, "and empty");
    vaccel_blob_release(&blob);
    remove(path);

    ok_code(vaccel_blob_init(&blob, path), VACCEL_ENOENT, "a missing file is an error");
    ok_code(vaccel_blob_init(&blob, dir), VACCEL_EINVAL, "a directory is an error");
    ok_code(vaccel_blob_init(&blob, NULL), VACCEL_EINVAL, "NULL is an error");
    ok_code(vaccel_blob_init(NULL, path), VACCEL_EINVAL, "for the blob too");
}

/* More than any address space holds: the file takes no room on the disk. */
static void too_large(const char *dir)
{
    struct vaccel_blob blob;
    char path[300];
    snprintf(path, sizeof(path), "%s/large", dir);
    tap_write_file(path, "", 0);
    if (truncate(path, (off_t)1 << 52) && truncate(path, (off_t)1 << 43)) {
        ok(true, "# SKIP this file system has no files that large");
        remove(path);
        return;
    }
    int ret = vaccel_blob_init(&blob, path);
    if (!ret) {
        struct stat st;
        need(!stat(path, &st));
        /* 8 TiB can be mapped; 4 PiB cannot. */
        ret = vaccel_blob_read(&blob);
        if ((uint64_t)st.st_size > (uint64_t)1 << 47)
            ok(ret == VACCEL_ENOMEM || ret == VACCEL_EIO, "a file too large to map is an error");
        else
            ok(ret == VACCEL_OK || ret == VACCEL_ENOMEM || ret == VACCEL_EIO,
               "a large file is mapped or refused");
        ok(ret == VACCEL_OK || blob.data == NULL, "without a pointer to nowhere");
        vaccel_blob_release(&blob);
    } else {
        ok(ret == VACCEL_ENOMEM || ret == VACCEL_EIO, "a file too large to map is an error");
    }
    remove(path);
}

static void buffer(const char *dir)
{
    struct vaccel_blob blob;
    struct vaccel_blob *heap = NULL;
    uint8_t bytes[4] = { 1, 2, 3, 4 };
    size_t size = 0;

    ok_code(vaccel_blob_init_from_buf(&blob, bytes, 4, false, "four", NULL, false), VACCEL_OK,
            "a blob is made of bytes");
    ok(blob.type == VACCEL_BLOB_BUFFER && vaccel_blob_data(&blob, &size) == bytes && size == 4 &&
           !blob.data_owned && !strcmp(blob.name, "four") && vaccel_blob_path(&blob) == NULL,
       "which are used as they are");
    ok_code(vaccel_blob_persist(&blob, dir, "kept", false), VACCEL_OK, "it is written to a file");
    char path[300];
    snprintf(path, sizeof(path), "%s/kept", dir);
    ok(exists(path) && blob.path_owned && !strcmp(vaccel_blob_path(&blob), path),
       "which it owns");
    ok_code(vaccel_blob_persist(&blob, dir, "again", false), VACCEL_EINVAL, "once");
    vaccel_blob_release(&blob);
    ok(!exists(path), "the file is removed with the blob");

    uint8_t *malloced = (uint8_t *)malloc(4);
    need(malloced != NULL);
    memcpy(malloced, bytes, 4);
    ok_code(vaccel_blob_from_buf(&heap, malloced, 4, true, NULL, NULL, false), VACCEL_OK,
            "a blob takes malloc'ed bytes over");
    ok(heap && heap->data_owned && heap->data == malloced && !strncmp(heap->name, "file", 4),
       "and owns them, with a name of its own");
    ok_code(vaccel_blob_delete(heap), VACCEL_OK, "it frees them");

    heap = NULL;
    ok_code(vaccel_blob_from_buf(&heap, bytes, 4, false, "on-disk", dir, true), VACCEL_OK,
            "bytes are written to a file");
    ok(heap && heap->type == VACCEL_BLOB_MAPPED && heap->path_owned && exists(heap->path) &&
           strstr(heap->path, "/on-disk_") && vaccel_blob_data(heap, &size) != bytes && size == 4,
       "with random characters in its name, and mapped");
    vaccel_blob_delete(heap);
    ok(rmdir(dir) == 0 && mkdir(dir, 0700) == 0, "no file is left behind");

    const char *bad[] = { "../escape", "a/b", "..", ".", "" };
    for (size_t i = 0; i < COUNT(bad); i++)
        ok_code(vaccel_blob_init_from_buf(&blob, bytes, 4, false, bad[i], dir, false),
                VACCEL_EINVAL, "a name that is no plain file name is refused");
    ok_code(vaccel_blob_init_from_buf(&blob, bytes, 0, false, "x", NULL, false), VACCEL_EINVAL,
            "no bytes are an error");
    ok_code(vaccel_blob_init_from_buf(&blob, NULL, 4, false, "x", NULL, false), VACCEL_EINVAL,
            "NULL is an error");
    ok_code(vaccel_blob_init_from_buf(&blob, bytes, 4, false, "x", "/no/such/dir", false),
            VACCEL_ENOENT, "a missing directory is an error");
    ok_code(vaccel_blob_delete(NULL), VACCEL_EINVAL, "deleting NULL is an error");
    ok(!vaccel_blob_valid(NULL), "NULL is not valid");
}

int main(void)
{
    char dir[256];
    tap_directory(dir);
    file(dir);
    too_large(dir);
    buffer(dir);
    ok(rmdir(dir) == 0, "nothing is left in the directory");
    return tap_done();
}
