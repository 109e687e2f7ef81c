/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layouts and numbers that compiled programs and plugins rely on. Everything is
 * checked by the compiler; the program only says so. Compiled as C11 and C++17.
 */
#include <assert.h>
#include <stddef.h>
#include <stdio.h>

#include <vaccel.h>

#define SIZE(type, size, align)                             \
    static_assert(sizeof(type) == (size), "size of " #type); \
    static_assert(alignof(type) == (align), "alignment of " #type)
#define FIELD(type, field, offset, size)                                          \
    static_assert(offsetof(type, field) == (offset), "offset of " #type "." #field); \
    static_assert(sizeof(((type *)0)->field) == (size), "size of " #type "." #field)
#define VALUE(name, value) static_assert((name) == (value), #name)

#ifndef __cplusplus
#include <stdalign.h>
#endif

/*
 * 64-bit machines. The size of a mutex, and with it the layout of sessions and
 * resources, is that of glibc on x86-64 and riscv64.
 */
#if UINTPTR_MAX == UINT64_MAX

SIZE(struct vaccel_arg, 32, 8);
FIELD(struct vaccel_arg, buf, 0, 8);
FIELD(struct vaccel_arg, size, 8, 8);
FIELD(struct vaccel_arg, type, 16, 4);
FIELD(struct vaccel_arg, custom_type_id, 20, 4);
FIELD(struct vaccel_arg, owned, 24, 1);

SIZE(struct vaccel_arg_array, 40, 8);
FIELD(struct vaccel_arg_array, args, 0, 8);
FIELD(struct vaccel_arg_array, count, 8, 8);
FIELD(struct vaccel_arg_array, capacity, 16, 8);
FIELD(struct vaccel_arg_array, position, 24, 8);
FIELD(struct vaccel_arg_array, owned, 32, 1);

SIZE(struct vaccel_arg_list, 32, 8);
FIELD(struct vaccel_arg_list, size, 0, 4);
FIELD(struct vaccel_arg_list, list, 8, 8);
FIELD(struct vaccel_arg_list, curr_idx, 16, 4);
FIELD(struct vaccel_arg_list, idcs_allocated_space, 24, 8);

SIZE(struct SLogConfig, 2312, 4);
FIELD(struct SLogConfig, sFileName, 0, 256);
FIELD(struct SLogConfig, sFilePath, 256, 2048);
FIELD(struct SLogConfig, eColorFormat, 2304, 4);
FIELD(struct SLogConfig, nFlags, 2310, 2);

SIZE(struct vaccel_config, 32, 8);
FIELD(struct vaccel_config, plugins, 0, 8);
FIELD(struct vaccel_config, log_level, 8, 4);
FIELD(struct vaccel_config, log_file, 16, 8);
FIELD(struct vaccel_config, profiling_enabled, 24, 1);
FIELD(struct vaccel_config, version_ignore, 25, 1);

SIZE(struct vaccel_blob, 56, 8);
FIELD(struct vaccel_blob, type, 0, 4);
FIELD(struct vaccel_blob, name, 8, 8);
FIELD(struct vaccel_blob, path, 16, 8);
FIELD(struct vaccel_blob, path_owned, 24, 1);
FIELD(struct vaccel_blob, data, 32, 8);
FIELD(struct vaccel_blob, data_owned, 40, 1);
FIELD(struct vaccel_blob, size, 48, 8);

SIZE(struct vaccel_list_entry, 16, 8);
FIELD(struct vaccel_list_entry, next, 0, 8);
FIELD(struct vaccel_list_entry, prev, 8, 8);

SIZE(struct vaccel_op, 24, 8);
FIELD(struct vaccel_op, type, 0, 4);
FIELD(struct vaccel_op, func, 8, 8);
FIELD(struct vaccel_op, owner, 16, 8);

SIZE(struct vaccel_tf_buffer, 16, 8);
FIELD(struct vaccel_tf_buffer, data, 0, 8);
FIELD(struct vaccel_tf_buffer, size, 8, 8);

SIZE(struct vaccel_tf_node, 16, 8);
FIELD(struct vaccel_tf_node, name, 0, 8);
FIELD(struct vaccel_tf_node, id, 8, 4);

SIZE(struct vaccel_tf_tensor, 40, 8);
FIELD(struct vaccel_tf_tensor, data, 0, 8);
FIELD(struct vaccel_tf_tensor, size, 8, 8);
FIELD(struct vaccel_tf_tensor, owned, 16, 1);
FIELD(struct vaccel_tf_tensor, nr_dims, 20, 4);
FIELD(struct vaccel_tf_tensor, dims, 24, 8);
FIELD(struct vaccel_tf_tensor, data_type, 32, 4);

SIZE(struct vaccel_tf_status, 16, 8);
FIELD(struct vaccel_tf_status, code, 0, 1);
FIELD(struct vaccel_tf_status, message, 8, 8);

SIZE(struct vaccel_tflite_tensor, 40, 8);
FIELD(struct vaccel_tflite_tensor, data, 0, 8);
FIELD(struct vaccel_tflite_tensor, size, 8, 8);
FIELD(struct vaccel_tflite_tensor, owned, 16, 1);
FIELD(struct vaccel_tflite_tensor, nr_dims, 20, 4);
FIELD(struct vaccel_tflite_tensor, dims, 24, 8);
FIELD(struct vaccel_tflite_tensor, data_type, 32, 4);

SIZE(struct vaccel_torch_buffer, 16, 8);
FIELD(struct vaccel_torch_buffer, data, 0, 8);
FIELD(struct vaccel_torch_buffer, size, 8, 8);

SIZE(struct vaccel_torch_tensor, 48, 8);
FIELD(struct vaccel_torch_tensor, data, 0, 8);
FIELD(struct vaccel_torch_tensor, size, 8, 8);
FIELD(struct vaccel_torch_tensor, owned, 16, 1);
FIELD(struct vaccel_torch_tensor, nr_dims, 24, 8);
FIELD(struct vaccel_torch_tensor, dims, 32, 8);
FIELD(struct vaccel_torch_tensor, data_type, 40, 4);

SIZE(struct vaccel_plugin_info, 96, 8);
FIELD(struct vaccel_plugin_info, name, 0, 8);
FIELD(struct vaccel_plugin_info, version, 8, 8);
FIELD(struct vaccel_plugin_info, vaccel_version, 16, 8);
FIELD(struct vaccel_plugin_info, init, 24, 8);
FIELD(struct vaccel_plugin_info, fini, 32, 8);
FIELD(struct vaccel_plugin_info, is_virtio, 40, 1);
FIELD(struct vaccel_plugin_info, type, 44, 4);
FIELD(struct vaccel_plugin_info, session_init, 48, 8);
FIELD(struct vaccel_plugin_info, session_release, 56, 8);
FIELD(struct vaccel_plugin_info, session_update, 64, 8);
FIELD(struct vaccel_plugin_info, resource_register, 72, 8);
FIELD(struct vaccel_plugin_info, resource_unregister, 80, 8);
FIELD(struct vaccel_plugin_info, resource_sync, 88, 8);

SIZE(struct vaccel_plugin, 224, 8);
FIELD(struct vaccel_plugin, dl_handle, 0, 8);
FIELD(struct vaccel_plugin, entry, 8, 16);
FIELD(struct vaccel_plugin, ops, 24, 192);
FIELD(struct vaccel_plugin, info, 216, 8);

SIZE(struct vaccel_prof_sample, 16, 8);
FIELD(struct vaccel_prof_sample, start, 0, 8);
FIELD(struct vaccel_prof_sample, time, 8, 8);

SIZE(struct vaccel_prof_region, 40, 8);
FIELD(struct vaccel_prof_region, name, 0, 8);
FIELD(struct vaccel_prof_region, name_owned, 8, 1);
FIELD(struct vaccel_prof_region, nr_entries, 16, 8);
FIELD(struct vaccel_prof_region, samples, 24, 8);
FIELD(struct vaccel_prof_region, size, 32, 8);

/* Ours: tensors, models and the extension table. */
SIZE(struct vaccel_tensor, 112, 8);
FIELD(struct vaccel_tensor, name, 0, 8);
FIELD(struct vaccel_tensor, dtype, 8, 4);
FIELD(struct vaccel_tensor, rank, 12, 4);
FIELD(struct vaccel_tensor, dims, 16, 64);
FIELD(struct vaccel_tensor, data, 80, 8);
FIELD(struct vaccel_tensor, size, 88, 8);
FIELD(struct vaccel_tensor, flags, 96, 4);
FIELD(struct vaccel_tensor, reserved, 100, 4);
FIELD(struct vaccel_tensor, handle, 104, 8);

SIZE(struct vaccel_tensor_info, 80, 8);
FIELD(struct vaccel_tensor_info, name, 0, 8);
FIELD(struct vaccel_tensor_info, dtype, 8, 4);
FIELD(struct vaccel_tensor_info, rank, 12, 4);
FIELD(struct vaccel_tensor_info, dims, 16, 64);

SIZE(struct vaccel_model_info, 56, 8);
FIELD(struct vaccel_model_info, format, 0, 8);
FIELD(struct vaccel_model_info, backend, 8, 8);
FIELD(struct vaccel_model_info, metadata, 16, 8);
FIELD(struct vaccel_model_info, inputs, 24, 8);
FIELD(struct vaccel_model_info, nr_inputs, 32, 8);
FIELD(struct vaccel_model_info, outputs, 40, 8);
FIELD(struct vaccel_model_info, nr_outputs, 48, 8);

SIZE(struct vaccel_plugin_ext, 160, 8);
FIELD(struct vaccel_plugin_ext, size, 0, 8);
FIELD(struct vaccel_plugin_ext, version, 8, 4);
FIELD(struct vaccel_plugin_ext, model_load, 16, 8);
FIELD(struct vaccel_plugin_ext, model_unload, 24, 8);
FIELD(struct vaccel_plugin_ext, model_run, 32, 8);
FIELD(struct vaccel_plugin_ext, model_info, 40, 8);
FIELD(struct vaccel_plugin_ext, describe, 48, 8);
FIELD(struct vaccel_plugin_ext, buffer_alloc, 56, 8);
FIELD(struct vaccel_plugin_ext, buffer_free, 64, 8);
FIELD(struct vaccel_plugin_ext, tensor_keep, 72, 8);
FIELD(struct vaccel_plugin_ext, tensor_fetch, 80, 8);
FIELD(struct vaccel_plugin_ext, tensor_free, 88, 8);
FIELD(struct vaccel_plugin_ext, call_submit, 96, 8);
FIELD(struct vaccel_plugin_ext, call_cancel, 104, 8);
FIELD(struct vaccel_plugin_ext, call_drive, 112, 8);
FIELD(struct vaccel_plugin_ext, call_watch, 120, 8);
FIELD(struct vaccel_plugin_ext, call_forget, 128, 8);
FIELD(struct vaccel_plugin_ext, session_timeout, 136, 8);
FIELD(struct vaccel_plugin_ext, model_judge, 144, 8);
FIELD(struct vaccel_plugin_ext, session_trace, 152, 8);

SIZE(struct vaccel_call, 48, 8);
FIELD(struct vaccel_call, size, 0, 8);
FIELD(struct vaccel_call, timeout_ms, 8, 8);
FIELD(struct vaccel_call, flags, 16, 4);
FIELD(struct vaccel_call, run, 24, 8);
FIELD(struct vaccel_call, done, 32, 8);
FIELD(struct vaccel_call, priv, 40, 8);

SIZE(struct vaccel_async_options, 32, 8);
FIELD(struct vaccel_async_options, size, 0, 8);
FIELD(struct vaccel_async_options, timeout_ms, 8, 8);
FIELD(struct vaccel_async_options, completed, 16, 8);
FIELD(struct vaccel_async_options, arg, 24, 8);

#if defined(__x86_64__) || defined(__riscv)

SIZE(struct vaccel_resource, 152, 8);
FIELD(struct vaccel_resource, id, 0, 8);
FIELD(struct vaccel_resource, remote_id, 8, 8);
FIELD(struct vaccel_resource, type, 16, 4);
FIELD(struct vaccel_resource, path_type, 20, 4);
FIELD(struct vaccel_resource, paths, 24, 8);
FIELD(struct vaccel_resource, nr_paths, 32, 8);
FIELD(struct vaccel_resource, rundir, 40, 8);
FIELD(struct vaccel_resource, blobs, 48, 8);
FIELD(struct vaccel_resource, nr_blobs, 56, 8);
FIELD(struct vaccel_resource, entry, 64, 16);
FIELD(struct vaccel_resource, sessions, 80, 16);
FIELD(struct vaccel_resource, sessions_lock, 96, 40);
FIELD(struct vaccel_resource, refcount, 136, 4);
FIELD(struct vaccel_resource, plugin_priv, 144, 8);

SIZE(struct vaccel_session, 4264, 8);
FIELD(struct vaccel_session, id, 0, 8);
FIELD(struct vaccel_session, remote_id, 8, 8);
FIELD(struct vaccel_session, hint, 16, 4);
FIELD(struct vaccel_session, is_virtio, 20, 1);
FIELD(struct vaccel_session, rundir, 21, 4096);
FIELD(struct vaccel_session, entry, 4120, 16);
FIELD(struct vaccel_session, resources, 4136, 48);
FIELD(struct vaccel_session, resource_counts, 4184, 24);
FIELD(struct vaccel_session, resources_lock, 4208, 40);
FIELD(struct vaccel_session, plugin, 4248, 8);
FIELD(struct vaccel_session, priv, 4256, 8);

#endif /* __x86_64__ || __riscv */
#endif /* 64 bits */

VALUE(VACCEL_ENUM_STR_MAX, 128);

VALUE(VACCEL_ARG_RAW, 0);
VALUE(VACCEL_ARG_INT8, 1);
VALUE(VACCEL_ARG_INT8_ARRAY, 2);
VALUE(VACCEL_ARG_INT16, 3);
VALUE(VACCEL_ARG_INT16_ARRAY, 4);
VALUE(VACCEL_ARG_INT32, 5);
VALUE(VACCEL_ARG_INT32_ARRAY, 6);
VALUE(VACCEL_ARG_INT64, 7);
VALUE(VACCEL_ARG_INT64_ARRAY, 8);
VALUE(VACCEL_ARG_UINT8, 9);
VALUE(VACCEL_ARG_UINT8_ARRAY, 10);
VALUE(VACCEL_ARG_UINT16, 11);
VALUE(VACCEL_ARG_UINT16_ARRAY, 12);
VALUE(VACCEL_ARG_UINT32, 13);
VALUE(VACCEL_ARG_UINT32_ARRAY, 14);
VALUE(VACCEL_ARG_UINT64, 15);
VALUE(VACCEL_ARG_UINT64_ARRAY, 16);
VALUE(VACCEL_ARG_FLOAT32, 17);
VALUE(VACCEL_ARG_FLOAT32_ARRAY, 18);
VALUE(VACCEL_ARG_FLOAT64, 19);
VALUE(VACCEL_ARG_FLOAT64_ARRAY, 20);
VALUE(VACCEL_ARG_BOOL, 21);
VALUE(VACCEL_ARG_BOOL_ARRAY, 22);
VALUE(VACCEL_ARG_CHAR, 23);
VALUE(VACCEL_ARG_CHAR_ARRAY, 24);
VALUE(VACCEL_ARG_UCHAR, 25);
VALUE(VACCEL_ARG_UCHAR_ARRAY, 26);
VALUE(VACCEL_ARG_STRING, 27);
VALUE(VACCEL_ARG_BUFFER, 28);
VALUE(VACCEL_ARG_CUSTOM, 29);
VALUE(VACCEL_ARG_MAX, 30);

VALUE(SLOG_NOTAG, 1);
VALUE(SLOG_NOTE, 2);
VALUE(SLOG_INFO, 4);
VALUE(SLOG_WARN, 8);
VALUE(SLOG_DEBUG, 16);
VALUE(SLOG_TRACE, 32);
VALUE(SLOG_ERROR, 64);
VALUE(SLOG_FATAL, 128);

VALUE(SLOG_COLOR_DISABLE, 0);
VALUE(SLOG_COLOR_TAG, 1);
VALUE(SLOG_COLOR_FULL, 2);

VALUE(VACCEL_LOG_ERROR, 1);
VALUE(VACCEL_LOG_WARN, 2);
VALUE(VACCEL_LOG_INFO, 3);
VALUE(VACCEL_LOG_DEBUG, 4);
VALUE(VACCEL_LOG_MAX, 5);

VALUE(VACCEL_OK, 0);
VALUE(VACCEL_EINVAL, 22);
VALUE(VACCEL_ENOMEM, 12);
VALUE(VACCEL_ENOTSUP, 95);
VALUE(VACCEL_EINPROGRESS, 115);
VALUE(VACCEL_EBUSY, 16);
VALUE(VACCEL_EEXIST, 17);
VALUE(VACCEL_ENOENT, 2);
VALUE(VACCEL_ELIBBAD, 80);
VALUE(VACCEL_ENODEV, 19);
VALUE(VACCEL_EIO, 5);
VALUE(VACCEL_ESESS, 104);
VALUE(VACCEL_EBACKEND, 71);
VALUE(VACCEL_ENOEXEC, 8);
VALUE(VACCEL_ENAMETOOLONG, 36);
VALUE(VACCEL_EUSERS, 87);
VALUE(VACCEL_EPERM, 1);
VALUE(VACCEL_ELOOP, 40);
VALUE(VACCEL_EMLINK, 31);
VALUE(VACCEL_ENOSPC, 28);
VALUE(VACCEL_ENOTDIR, 20);
VALUE(VACCEL_EROFS, 30);
VALUE(VACCEL_EACCES, 13);
VALUE(VACCEL_EBADF, 9);
VALUE(VACCEL_EREMOTEIO, 121);
VALUE(VACCEL_EFAULT, 14);
VALUE(VACCEL_ERANGE, 34);
VALUE(VACCEL_EAGAIN, 11);
VALUE(VACCEL_ENOSYS, 38);

VALUE(VACCEL_BLOB_FILE, 0);
VALUE(VACCEL_BLOB_BUFFER, 1);
VALUE(VACCEL_BLOB_MAPPED, 2);
VALUE(VACCEL_BLOB_MAX, 3);

VALUE(VACCEL_OP_NOOP, 0);
VALUE(VACCEL_OP_EXEC, 1);
VALUE(VACCEL_OP_EXEC_WITH_RESOURCE, 2);
VALUE(VACCEL_OP_IMAGE_CLASSIFY, 3);
VALUE(VACCEL_OP_IMAGE_DETECT, 4);
VALUE(VACCEL_OP_IMAGE_SEGMENT, 5);
VALUE(VACCEL_OP_IMAGE_POSE, 6);
VALUE(VACCEL_OP_IMAGE_DEPTH, 7);
VALUE(VACCEL_OP_TF_MODEL_LOAD, 8);
VALUE(VACCEL_OP_TF_MODEL_UNLOAD, 9);
VALUE(VACCEL_OP_TF_MODEL_RUN, 10);
VALUE(VACCEL_OP_TFLITE_MODEL_LOAD, 11);
VALUE(VACCEL_OP_TFLITE_MODEL_UNLOAD, 12);
VALUE(VACCEL_OP_TFLITE_MODEL_RUN, 13);
VALUE(VACCEL_OP_TORCH_MODEL_LOAD, 14);
VALUE(VACCEL_OP_TORCH_MODEL_RUN, 15);
VALUE(VACCEL_OP_TORCH_SGEMM, 16);
VALUE(VACCEL_OP_BLAS_SGEMM, 17);
VALUE(VACCEL_OP_FPGA_ARRAYCOPY, 18);
VALUE(VACCEL_OP_FPGA_MMULT, 19);
VALUE(VACCEL_OP_FPGA_PARALLEL, 20);
VALUE(VACCEL_OP_FPGA_VECTORADD, 21);
VALUE(VACCEL_OP_MINMAX, 22);
VALUE(VACCEL_OP_OPENCV, 23);
VALUE(VACCEL_OP_MAX, 24);

VALUE(VACCEL_PATH_LOCAL_FILE, 0);
VALUE(VACCEL_PATH_LOCAL_DIR, 1);
VALUE(VACCEL_PATH_REMOTE_FILE, 2);
VALUE(VACCEL_PATH_MAX, 3);

VALUE(VACCEL_RESOURCE_LIB, 0);
VALUE(VACCEL_RESOURCE_DATA, 1);
VALUE(VACCEL_RESOURCE_MODEL, 2);
VALUE(VACCEL_RESOURCE_MAX, 3);

VALUE(VACCEL_TF_FLOAT, 1);
VALUE(VACCEL_TF_DOUBLE, 2);
VALUE(VACCEL_TF_INT32, 3);
VALUE(VACCEL_TF_UINT8, 4);
VALUE(VACCEL_TF_INT16, 5);
VALUE(VACCEL_TF_INT8, 6);
VALUE(VACCEL_TF_STRING, 7);
VALUE(VACCEL_TF_COMPLEX64, 8);
VALUE(VACCEL_TF_COMPLEX, 8);
VALUE(VACCEL_TF_INT64, 9);
VALUE(VACCEL_TF_BOOL, 10);
VALUE(VACCEL_TF_QINT8, 11);
VALUE(VACCEL_TF_QUINT8, 12);
VALUE(VACCEL_TF_QINT32, 13);
VALUE(VACCEL_TF_BFLOAT16, 14);
VALUE(VACCEL_TF_QINT16, 15);
VALUE(VACCEL_TF_QUINT16, 16);
VALUE(VACCEL_TF_UINT16, 17);
VALUE(VACCEL_TF_COMPLEX128, 18);
VALUE(VACCEL_TF_HALF, 19);
VALUE(VACCEL_TF_RESOURCE, 20);
VALUE(VACCEL_TF_VARIANT, 21);
VALUE(VACCEL_TF_UINT32, 22);
VALUE(VACCEL_TF_UINT64, 23);

VALUE(VACCEL_TFLITE_NOTYPE, 0);
VALUE(VACCEL_TFLITE_FLOAT32, 1);
VALUE(VACCEL_TFLITE_INT32, 2);
VALUE(VACCEL_TFLITE_UINT8, 3);
VALUE(VACCEL_TFLITE_INT64, 4);
VALUE(VACCEL_TFLITE_STRING, 5);
VALUE(VACCEL_TFLITE_BOOL, 6);
VALUE(VACCEL_TFLITE_INT16, 7);
VALUE(VACCEL_TFLITE_COMPLEX64, 8);
VALUE(VACCEL_TFLITE_INT8, 9);
VALUE(VACCEL_TFLITE_FLOAT16, 10);
VALUE(VACCEL_TFLITE_FLOAT64, 11);
VALUE(VACCEL_TFLITE_COMPLEX128, 12);
VALUE(VACCEL_TFLITE_UINT64, 13);
VALUE(VACCEL_TFLITE_RESOURCE, 14);
VALUE(VACCEL_TFLITE_VARIANT, 15);
VALUE(VACCEL_TFLITE_UINT32, 16);
VALUE(VACCEL_TFLITE_UINT16, 17);
VALUE(VACCEL_TFLITE_INT4, 18);

VALUE(VACCEL_TORCH_BYTE, 1);
VALUE(VACCEL_TORCH_CHAR, 2);
VALUE(VACCEL_TORCH_SHORT, 3);
VALUE(VACCEL_TORCH_INT, 4);
VALUE(VACCEL_TORCH_LONG, 5);
VALUE(VACCEL_TORCH_HALF, 6);
VALUE(VACCEL_TORCH_FLOAT, 7);

VALUE(VACCEL_PLUGIN_CPU, 1);
VALUE(VACCEL_PLUGIN_GPU, 2);
VALUE(VACCEL_PLUGIN_FPGA, 4);
VALUE(VACCEL_PLUGIN_SOFTWARE, 8);
VALUE(VACCEL_PLUGIN_TENSORFLOW, 16);
VALUE(VACCEL_PLUGIN_TORCH, 32);
VALUE(VACCEL_PLUGIN_JETSON, 64);
VALUE(VACCEL_PLUGIN_GENERIC, 128);
VALUE(VACCEL_PLUGIN_DEBUG, 256);
VALUE(VACCEL_PLUGIN_REMOTE, 16384);
VALUE(VACCEL_PLUGIN_ALL, 65535);
VALUE(VACCEL_PLUGIN_MAX, 65536);

static_assert(sizeof(vaccel_arg_type_t) == 4, "size of vaccel_arg_type_t");
static_assert(sizeof(vaccel_op_type_t) == 4, "size of vaccel_op_type_t");
static_assert(sizeof(vaccel_log_level_t) == 4, "size of vaccel_log_level_t");
static_assert(sizeof(vaccel_resource_type_t) == 4, "size of vaccel_resource_type_t");
static_assert(sizeof(vaccel_path_type_t) == 4, "size of vaccel_path_type_t");
static_assert(sizeof(vaccel_blob_type_t) == 4, "size of vaccel_blob_type_t");
static_assert(sizeof(vaccel_plugin_type_t) == 4, "size of vaccel_plugin_type_t");
static_assert(sizeof(vaccel_id_t) == 8, "size of vaccel_id_t");
static_assert(sizeof(bool) == 1, "size of bool");
static_assert(sizeof(enum vaccel_tf_data_type) == 4, "size of enum vaccel_tf_data_type");

/* Ours. */
VALUE(VACCEL_ETIMEDOUT, 110);
VALUE(VACCEL_ECANCELED, 125);
VALUE(VACCEL_OP_MODEL_LOAD, 128);
VALUE(VACCEL_OP_MODEL_UNLOAD, 129);
VALUE(VACCEL_OP_MODEL_RUN, 130);
VALUE(VACCEL_OP_MODEL_INFO, 131);
VALUE(VACCEL_DTYPE_UNDEFINED, 0);
VALUE(VACCEL_DTYPE_F32, 1);
VALUE(VACCEL_DTYPE_F64, 2);
VALUE(VACCEL_DTYPE_F16, 3);
VALUE(VACCEL_DTYPE_BF16, 4);
VALUE(VACCEL_DTYPE_I8, 5);
VALUE(VACCEL_DTYPE_U8, 6);
VALUE(VACCEL_DTYPE_I16, 7);
VALUE(VACCEL_DTYPE_U16, 8);
VALUE(VACCEL_DTYPE_I32, 9);
VALUE(VACCEL_DTYPE_U32, 10);
VALUE(VACCEL_DTYPE_I64, 11);
VALUE(VACCEL_DTYPE_U64, 12);
VALUE(VACCEL_DTYPE_BOOL, 13);
VALUE(VACCEL_DTYPE_I4, 14);
VALUE(VACCEL_DTYPE_U4, 15);
VALUE(VACCEL_DTYPE_MAX, 16);
VALUE(VACCEL_TENSOR_OWNED, 1);
VALUE(VACCEL_CUSTOM_TENSOR, 0x54454e53);
VALUE(VACCEL_TENSOR_MAX_RANK, 8);
VALUE(VACCEL_PLUGIN_EXT_VERSION, 1);

int main(void)
{
    printf("ok - structures and numbers are those of the C library\n1..1\n");
    return 0;
}
