/* SPDX-License-Identifier: Apache-2.0 */
/* Error codes and messages, names of enum values, sizes of types. */
#include "tap.h"

#include <pthread.h>

static void *other_thread(void *message)
{
    *(bool *)message = *vaccel_error_message() == '\0';
    vaccel_error_set("of the other thread");
    return NULL;
}

static void messages(void)
{
    struct vaccel_session sess;
    vaccel_error_set("of this thread");
    ok(!strcmp(vaccel_error_message(), "of this thread"), "a message that was set is read");

    bool empty = false;
    pthread_t thread;
    need(!pthread_create(&thread, NULL, other_thread, &empty) && !pthread_join(thread, NULL));
    ok(empty, "a new thread has no message");
    ok(!strcmp(vaccel_error_message(), "of this thread"), "a message belongs to its thread");

    vaccel_error_set(NULL);
    ok(*vaccel_error_message() == '\0', "NULL clears the message");

    memset(&sess, 0, sizeof(sess));
    ok_code(vaccel_noop(&sess), VACCEL_EINVAL, "a call on a session that is not open fails");
    ok(strstr(vaccel_error_message(), "session") != NULL, "its message names the session");
}

static void codes(void)
{
    ok(!strcmp(vaccel_error_name(VACCEL_EINVAL), "VACCEL_EINVAL"), "a code has a name");
    ok(!strcmp(vaccel_error_name(VACCEL_OK), "VACCEL_OK"), "0 has a name");
    ok(!strcmp(vaccel_error_name(VACCEL_ECANCELED), "VACCEL_ECANCELED"), "the newest codes too");
    ok(!strcmp(vaccel_error_string(VACCEL_EINVAL), "invalid argument"), "a code has a meaning");
    ok(!strcmp(vaccel_error_name(-1), "unknown") && !strcmp(vaccel_error_name(12345), "unknown"),
       "other numbers are unknown");
    ok(*vaccel_error_string(12345) != '\0', "other numbers have a meaning too");
}

static void enums(void)
{
    char buf[VACCEL_ENUM_STR_MAX];
    ok(!strcmp(vaccel_op_type_to_str(VACCEL_OP_BLAS_SGEMM, buf, sizeof(buf)),
               "VACCEL_OP_BLAS_SGEMM"),
       "an operation has a name");
    ok(!strcmp(vaccel_op_type_name(VACCEL_OP_MODEL_INFO), "VACCEL_OP_MODEL_INFO"),
       "an operation of the extension has a name");
    ok(!strcmp(vaccel_arg_type_to_str(VACCEL_ARG_INT64_ARRAY, buf, sizeof(buf)),
               "VACCEL_ARG_INT64_ARRAY"),
       "a type of argument has a name");
    ok(!strcmp(vaccel_blob_type_name(VACCEL_BLOB_MAPPED), "VACCEL_BLOB_MAPPED") &&
           !strcmp(vaccel_resource_type_name(VACCEL_RESOURCE_MODEL), "VACCEL_RESOURCE_MODEL") &&
           !strcmp(vaccel_path_type_name(VACCEL_PATH_LOCAL_DIR), "VACCEL_PATH_LOCAL_DIR") &&
           !strcmp(vaccel_log_level_name(VACCEL_LOG_DEBUG), "VACCEL_LOG_DEBUG") &&
           !strcmp(vaccel_plugin_type_name(VACCEL_PLUGIN_REMOTE), "VACCEL_PLUGIN_REMOTE"),
       "blobs, resources, paths, levels and plugins have names");
    ok(!strcmp(vaccel_tf_data_type_name(VACCEL_TF_UINT64), "VACCEL_TF_UINT64") &&
           !strcmp(vaccel_tflite_data_type_name(VACCEL_TFLITE_INT4), "VACCEL_TFLITE_INT4") &&
           !strcmp(vaccel_torch_data_type_name(VACCEL_TORCH_HALF), "VACCEL_TORCH_HALF") &&
           !strcmp(vaccel_dtype_name(VACCEL_DTYPE_BF16), "VACCEL_DTYPE_BF16"),
       "types of tensors have names");
    ok(!strcmp(vaccel_arg_type_name((vaccel_arg_type_t)99), "unknown"),
       "another number is unknown");
    ok(!strcmp(vaccel_error_code_to_str(VACCEL_EINVAL, buf, sizeof(buf)), "VACCEL_EINVAL"),
       "an error code is written to a buffer");

    char small[6] = "xxxxx";
    vaccel_op_type_to_str(VACCEL_OP_NOOP, small, sizeof(small));
    ok(!strcmp(small, "VACCE"), "a name is cut to the buffer");
    small[0] = 'x';
    vaccel_op_type_to_str(VACCEL_OP_NOOP, small, 0);
    ok(small[0] == 'x', "nothing is written to no room");
}

static void dtypes(void)
{
    ok(vaccel_dtype_bits(VACCEL_DTYPE_U4) == 4 && vaccel_dtype_bits(VACCEL_DTYPE_BOOL) == 8 &&
           vaccel_dtype_bits(VACCEL_DTYPE_BF16) == 16 && vaccel_dtype_bits(VACCEL_DTYPE_F32) == 32 &&
           vaccel_dtype_bits(VACCEL_DTYPE_I64) == 64,
       "types have sizes");
    ok(vaccel_dtype_bits(VACCEL_DTYPE_UNDEFINED) == 0 && vaccel_dtype_bits(VACCEL_DTYPE_MAX) == 0,
       "what is no type has none");
}

static void versions(void)
{
    ok(!strcmp(vaccel_version(), VACCEL_VERSION), "headers and library have the same version");
    char text[32];
    snprintf(text, sizeof(text), "%d.%d.%d", VACCEL_VERSION_MAJOR, VACCEL_VERSION_MINOR,
             VACCEL_VERSION_PATCH);
    ok(!strcmp(text, VACCEL_VERSION), "the numbers of the version are those of the text");
}

static void strings(void)
{
    char buf[8] = "xxxxxxx";
    char *allocated = NULL;
    ok_code(vaccel_str_to_lower("CPU-1", buf, sizeof(buf), NULL), VACCEL_OK,
            "a string is turned into lower case");
    ok(!strcmp(buf, "cpu-1"), "letters only");
    ok_code(vaccel_str_to_lower("GPU", NULL, 0, &allocated), VACCEL_OK,
            "a new string is made on request");
    ok(allocated && !strcmp(allocated, "gpu"), "with the same content");
    free(allocated);
    ok(vaccel_str_to_lower("TOO LONG", buf, 3, NULL) != VACCEL_OK, "a small buffer is an error");
    ok(!strcmp(buf, "cpu-1"), "which leaves the buffer alone");
    ok_code(vaccel_str_to_lower(NULL, buf, sizeof(buf), NULL), VACCEL_EINVAL, "NULL is an error");
    ok_code(vaccel_str_to_lower("X", NULL, 0, NULL), VACCEL_EINVAL, "nowhere is an error");
}

static void files(void)
{
    char dir[256];
    char path[300];
    void *data = NULL;
    size_t size = 0;
    tap_directory(dir);
    snprintf(path, sizeof(path), "%s/file", dir);
    tap_write_file(path, "0123456789", 10);
    ok_code(fs_file_read(path, &data, &size), VACCEL_OK, "a file is read");
    ok(size == 10 && !memcmp(data, "0123456789", 10), "whole");
    free(data);
    remove(path);
    ok_code(fs_file_read(path, &data, &size), VACCEL_ENOENT, "a missing file is an error");
    ok_code(fs_file_read(NULL, &data, &size), VACCEL_EINVAL, "NULL is an error");
    remove(dir);
}

int main(void)
{
    messages();
    codes();
    enums();
    dtypes();
    versions();
    strings();
    files();
    return tap_done();
}
