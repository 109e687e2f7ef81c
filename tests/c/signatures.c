/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every function of the C library, declared a second time with the types that
 * compiled programs use. The compiler refuses a declaration that differs from
 * the one of the headers; taking the addresses makes the linker look for each.
 */
#include <stdio.h>

#include <vaccel.h>

#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
#endif

void slog_config_get(SLogConfig *);
void slog_config_set(SLogConfig *);
void slog_destroy(void);
void slog_disable(SLOG_FLAGS_E);
void slog_enable(SLOG_FLAGS_E);
void slog_init(const char *, uint16_t, uint8_t);
void slog_print(SLOG_FLAGS_E, uint8_t, const char *, ...);
const char *slog_version(uint8_t);
int vaccel_add_nonserial_arg(struct vaccel_arg_list *, void *, uint32_t, void *(*) (void *, uint32_t *));
int vaccel_add_serial_arg(struct vaccel_arg_list *, void *, uint32_t);
int vaccel_arg_array_add_all(struct vaccel_arg_array *, const struct vaccel_arg_array *, bool);
int vaccel_arg_array_add_bool(struct vaccel_arg_array *, bool *);
int vaccel_arg_array_add_bool_array(struct vaccel_arg_array *, bool *, size_t);
int vaccel_arg_array_add_buffer(struct vaccel_arg_array *, void *, size_t);
int vaccel_arg_array_add_char(struct vaccel_arg_array *, char *);
int vaccel_arg_array_add_char_array(struct vaccel_arg_array *, char *, size_t);
int vaccel_arg_array_add_custom(struct vaccel_arg_array *, uint32_t, void *, size_t, vaccel_arg_type_validator_fn);
int vaccel_arg_array_add_double(struct vaccel_arg_array *, double *);
int vaccel_arg_array_add_double_array(struct vaccel_arg_array *, double *, size_t);
int vaccel_arg_array_add_float(struct vaccel_arg_array *, float *);
int vaccel_arg_array_add_float_array(struct vaccel_arg_array *, float *, size_t);
int vaccel_arg_array_add_int16(struct vaccel_arg_array *, int16_t *);
int vaccel_arg_array_add_int16_array(struct vaccel_arg_array *, int16_t *, size_t);
int vaccel_arg_array_add_int32(struct vaccel_arg_array *, int32_t *);
int vaccel_arg_array_add_int32_array(struct vaccel_arg_array *, int32_t *, size_t);
int vaccel_arg_array_add_int64(struct vaccel_arg_array *, int64_t *);
int vaccel_arg_array_add_int64_array(struct vaccel_arg_array *, int64_t *, size_t);
int vaccel_arg_array_add_int8(struct vaccel_arg_array *, int8_t *);
int vaccel_arg_array_add_int8_array(struct vaccel_arg_array *, int8_t *, size_t);
int vaccel_arg_array_add_range(struct vaccel_arg_array *, const struct vaccel_arg_array *, size_t, size_t, bool);
int vaccel_arg_array_add_raw(struct vaccel_arg_array *, void *, size_t);
int vaccel_arg_array_add_remaining(struct vaccel_arg_array *, const struct vaccel_arg_array *, bool);
int vaccel_arg_array_add_serialized(struct vaccel_arg_array *, vaccel_arg_type_t, uint32_t, const void *, size_t, vaccel_arg_serializer_fn);
int vaccel_arg_array_add_string(struct vaccel_arg_array *, char *);
int vaccel_arg_array_add_uchar(struct vaccel_arg_array *, unsigned char *);
int vaccel_arg_array_add_uchar_array(struct vaccel_arg_array *, unsigned char *, size_t);
int vaccel_arg_array_add_uint16(struct vaccel_arg_array *, uint16_t *);
int vaccel_arg_array_add_uint16_array(struct vaccel_arg_array *, uint16_t *, size_t);
int vaccel_arg_array_add_uint32(struct vaccel_arg_array *, uint32_t *);
int vaccel_arg_array_add_uint32_array(struct vaccel_arg_array *, uint32_t *, size_t);
int vaccel_arg_array_add_uint64(struct vaccel_arg_array *, uint64_t *);
int vaccel_arg_array_add_uint64_array(struct vaccel_arg_array *, uint64_t *, size_t);
int vaccel_arg_array_add_uint8(struct vaccel_arg_array *, uint8_t *);
int vaccel_arg_array_add_uint8_array(struct vaccel_arg_array *, uint8_t *, size_t);
void vaccel_arg_array_clear(struct vaccel_arg_array *);
size_t vaccel_arg_array_count(const struct vaccel_arg_array *);
int vaccel_arg_array_delete(struct vaccel_arg_array *);
int vaccel_arg_array_get_bool(struct vaccel_arg_array *, bool *);
int vaccel_arg_array_get_bool_array(struct vaccel_arg_array *, bool **, size_t *);
int vaccel_arg_array_get_buffer(struct vaccel_arg_array *, void **, size_t *);
int vaccel_arg_array_get_char(struct vaccel_arg_array *, char *);
int vaccel_arg_array_get_char_array(struct vaccel_arg_array *, char **, size_t *);
int vaccel_arg_array_get_custom(struct vaccel_arg_array *, uint32_t, void **, size_t *, vaccel_arg_type_validator_fn);
int vaccel_arg_array_get_double(struct vaccel_arg_array *, double *);
int vaccel_arg_array_get_double_array(struct vaccel_arg_array *, double **, size_t *);
int vaccel_arg_array_get_float(struct vaccel_arg_array *, float *);
int vaccel_arg_array_get_float_array(struct vaccel_arg_array *, float **, size_t *);
int vaccel_arg_array_get_int16(struct vaccel_arg_array *, int16_t *);
int vaccel_arg_array_get_int16_array(struct vaccel_arg_array *, int16_t **, size_t *);
int vaccel_arg_array_get_int32(struct vaccel_arg_array *, int32_t *);
int vaccel_arg_array_get_int32_array(struct vaccel_arg_array *, int32_t **, size_t *);
int vaccel_arg_array_get_int64(struct vaccel_arg_array *, int64_t *);
int vaccel_arg_array_get_int64_array(struct vaccel_arg_array *, int64_t **, size_t *);
int vaccel_arg_array_get_int8(struct vaccel_arg_array *, int8_t *);
int vaccel_arg_array_get_int8_array(struct vaccel_arg_array *, int8_t **, size_t *);
int vaccel_arg_array_get_raw(struct vaccel_arg_array *, void **, size_t *);
int vaccel_arg_array_get_remaining(struct vaccel_arg_array *, struct vaccel_arg **, size_t *);
int vaccel_arg_array_get_serialized(struct vaccel_arg_array *, vaccel_arg_type_t, uint32_t, void *, size_t, vaccel_arg_deserializer_fn);
int vaccel_arg_array_get_string(struct vaccel_arg_array *, char **);
int vaccel_arg_array_get_uchar(struct vaccel_arg_array *, unsigned char *);
int vaccel_arg_array_get_uchar_array(struct vaccel_arg_array *, unsigned char **, size_t *);
int vaccel_arg_array_get_uint16(struct vaccel_arg_array *, uint16_t *);
int vaccel_arg_array_get_uint16_array(struct vaccel_arg_array *, uint16_t **, size_t *);
int vaccel_arg_array_get_uint32(struct vaccel_arg_array *, uint32_t *);
int vaccel_arg_array_get_uint32_array(struct vaccel_arg_array *, uint32_t **, size_t *);
int vaccel_arg_array_get_uint64(struct vaccel_arg_array *, uint64_t *);
int vaccel_arg_array_get_uint64_array(struct vaccel_arg_array *, uint64_t **, size_t *);
int vaccel_arg_array_get_uint8(struct vaccel_arg_array *, uint8_t *);
int vaccel_arg_array_get_uint8_array(struct vaccel_arg_array *, uint8_t **, size_t *);
int vaccel_arg_array_init(struct vaccel_arg_array *, size_t);
int vaccel_arg_array_new(struct vaccel_arg_array **, size_t);
size_t vaccel_arg_array_position(const struct vaccel_arg_array *);
struct vaccel_arg *vaccel_arg_array_raw(struct vaccel_arg_array *);
int vaccel_arg_array_release(struct vaccel_arg_array *);
size_t vaccel_arg_array_remaining_count(const struct vaccel_arg_array *);
void vaccel_arg_array_reset_position(struct vaccel_arg_array *);
int vaccel_arg_array_set_bool(struct vaccel_arg_array *, bool *);
int vaccel_arg_array_set_bool_array(struct vaccel_arg_array *, bool *, size_t);
int vaccel_arg_array_set_buffer(struct vaccel_arg_array *, void *, size_t);
int vaccel_arg_array_set_char(struct vaccel_arg_array *, char *);
int vaccel_arg_array_set_char_array(struct vaccel_arg_array *, char *, size_t);
int vaccel_arg_array_set_custom(struct vaccel_arg_array *, uint32_t, void *, size_t, vaccel_arg_type_validator_fn);
int vaccel_arg_array_set_double(struct vaccel_arg_array *, double *);
int vaccel_arg_array_set_double_array(struct vaccel_arg_array *, double *, size_t);
int vaccel_arg_array_set_float(struct vaccel_arg_array *, float *);
int vaccel_arg_array_set_float_array(struct vaccel_arg_array *, float *, size_t);
int vaccel_arg_array_set_int16(struct vaccel_arg_array *, int16_t *);
int vaccel_arg_array_set_int16_array(struct vaccel_arg_array *, int16_t *, size_t);
int vaccel_arg_array_set_int32(struct vaccel_arg_array *, int32_t *);
int vaccel_arg_array_set_int32_array(struct vaccel_arg_array *, int32_t *, size_t);
int vaccel_arg_array_set_int64(struct vaccel_arg_array *, int64_t *);
int vaccel_arg_array_set_int64_array(struct vaccel_arg_array *, int64_t *, size_t);
int vaccel_arg_array_set_int8(struct vaccel_arg_array *, int8_t *);
int vaccel_arg_array_set_int8_array(struct vaccel_arg_array *, int8_t *, size_t);
void vaccel_arg_array_set_position(struct vaccel_arg_array *, size_t);
int vaccel_arg_array_set_raw(struct vaccel_arg_array *, void *, size_t);
int vaccel_arg_array_set_serialized(struct vaccel_arg_array *, vaccel_arg_type_t, uint32_t, void *, size_t, vaccel_arg_serializer_fn);
int vaccel_arg_array_set_string(struct vaccel_arg_array *, char *);
int vaccel_arg_array_set_uchar(struct vaccel_arg_array *, unsigned char *);
int vaccel_arg_array_set_uchar_array(struct vaccel_arg_array *, unsigned char *, size_t);
int vaccel_arg_array_set_uint16(struct vaccel_arg_array *, uint16_t *);
int vaccel_arg_array_set_uint16_array(struct vaccel_arg_array *, uint16_t *, size_t);
int vaccel_arg_array_set_uint32(struct vaccel_arg_array *, uint32_t *);
int vaccel_arg_array_set_uint32_array(struct vaccel_arg_array *, uint32_t *, size_t);
int vaccel_arg_array_set_uint64(struct vaccel_arg_array *, uint64_t *);
int vaccel_arg_array_set_uint64_array(struct vaccel_arg_array *, uint64_t *, size_t);
int vaccel_arg_array_set_uint8(struct vaccel_arg_array *, uint8_t *);
int vaccel_arg_array_set_uint8_array(struct vaccel_arg_array *, uint8_t *, size_t);
int vaccel_arg_array_wrap(struct vaccel_arg_array *, struct vaccel_arg *, size_t);
int vaccel_arg_delete(struct vaccel_arg *);
int vaccel_arg_from_buf(struct vaccel_arg **, void *, size_t, vaccel_arg_type_t, uint32_t);
int vaccel_arg_init(struct vaccel_arg *, const void *, size_t, vaccel_arg_type_t, uint32_t);
int vaccel_arg_init_from_buf(struct vaccel_arg *, void *, size_t, vaccel_arg_type_t, uint32_t);
int vaccel_arg_new(struct vaccel_arg **, const void *, size_t, vaccel_arg_type_t, uint32_t);
int vaccel_arg_release(struct vaccel_arg *);
struct vaccel_arg_list *vaccel_args_init(uint32_t);
uint8_t *vaccel_blob_data(struct vaccel_blob *, size_t *);
int vaccel_blob_delete(struct vaccel_blob *);
int vaccel_blob_from_buf(struct vaccel_blob **, const uint8_t *, size_t, bool, const char *, const char *, bool);
int vaccel_blob_init(struct vaccel_blob *, const char *);
int vaccel_blob_init_from_buf(struct vaccel_blob *, const uint8_t *, size_t, bool, const char *, const char *, bool);
int vaccel_blob_new(struct vaccel_blob **, const char *);
const char *vaccel_blob_path(struct vaccel_blob *);
int vaccel_blob_persist(struct vaccel_blob *, const char *, const char *, bool);
int vaccel_blob_read(struct vaccel_blob *);
int vaccel_blob_release(struct vaccel_blob *);
bool vaccel_blob_valid(const struct vaccel_blob *);
int vaccel_bootstrap(void);
int vaccel_bootstrap_with_config(struct vaccel_config *);
int vaccel_cleanup(void);
const struct vaccel_config *vaccel_config(void);
int vaccel_config_delete(struct vaccel_config *);
int vaccel_config_from(struct vaccel_config **, struct vaccel_config *);
int vaccel_config_from_env(struct vaccel_config **);
int vaccel_config_init(struct vaccel_config *, const char *, vaccel_log_level_t, const char *, bool, bool);
int vaccel_config_init_from(struct vaccel_config *, struct vaccel_config *);
int vaccel_config_init_from_env(struct vaccel_config *);
int vaccel_config_new(struct vaccel_config **, const char *, vaccel_log_level_t, const char *, bool, bool);
void vaccel_config_print_debug(struct vaccel_config *);
int vaccel_config_release(struct vaccel_config *);
int vaccel_delete_args(struct vaccel_arg_list *);
int vaccel_exec(struct vaccel_session *, const char *, const char *, struct vaccel_arg *, size_t, struct vaccel_arg *, size_t);
int vaccel_exec_with_resource(struct vaccel_session *, struct vaccel_resource *, const char *, struct vaccel_arg *, size_t, struct vaccel_arg *, size_t);
int vaccel_expect_nonserial_arg(struct vaccel_arg_list *, uint32_t);
int vaccel_expect_serial_arg(struct vaccel_arg_list *, void *, uint32_t);
void *vaccel_extract_nonserial_arg(struct vaccel_arg *, int, void *(*) (void *, uint32_t));
void *vaccel_extract_serial_arg(struct vaccel_arg *, int);
int vaccel_fpga_arraycopy(struct vaccel_session *, int *, int *, size_t);
int vaccel_fpga_mmult(struct vaccel_session *, float *, float *, float *, size_t);
int vaccel_fpga_parallel(struct vaccel_session *, float *, float *, float *, float *, size_t);
int vaccel_fpga_vadd(struct vaccel_session *, float *, float *, float *, size_t, size_t);
int vaccel_genop(struct vaccel_session *, struct vaccel_arg *, int, struct vaccel_arg *, int);
int vaccel_image_classification(struct vaccel_session *, const void *, unsigned char *, unsigned char *, size_t, size_t, size_t);
int vaccel_image_depth(struct vaccel_session *, const void *, unsigned char *, size_t, size_t);
int vaccel_image_detection(struct vaccel_session *, const void *, unsigned char *, size_t, size_t);
int vaccel_image_pose(struct vaccel_session *, const void *, unsigned char *, size_t, size_t);
int vaccel_image_segmentation(struct vaccel_session *, const void *, unsigned char *, size_t, size_t);
bool vaccel_is_initialized(void);
int vaccel_log_init(void);
int vaccel_log_shutdown(void);
int vaccel_minmax(struct vaccel_session *, const double *, int, int, int, double *, double *, double *);
int vaccel_noop(struct vaccel_session *);
int vaccel_opencv_unpack(struct vaccel_session *, struct vaccel_arg *, int, struct vaccel_arg *, int);
int vaccel_plugin_load(const char *);
int vaccel_plugin_parse_and_load(const char *);
int vaccel_plugin_register_ops(struct vaccel_op *, size_t);
bool vaccel_prof_enabled(void);
int vaccel_prof_region_init(struct vaccel_prof_region *, const char *);
int vaccel_prof_region_print(const struct vaccel_prof_region *);
int vaccel_prof_region_release(struct vaccel_prof_region *);
int vaccel_prof_region_start(struct vaccel_prof_region *);
int vaccel_prof_region_stop(const struct vaccel_prof_region *);
int vaccel_prof_regions_init(struct vaccel_prof_region *, int);
int vaccel_prof_regions_print_all(struct vaccel_prof_region *, int);
int vaccel_prof_regions_print_all_to_buf(char **, size_t, struct vaccel_prof_region *, int);
int vaccel_prof_regions_release(struct vaccel_prof_region *, int);
int vaccel_prof_regions_start_by_name(struct vaccel_prof_region *, int, const char *);
int vaccel_prof_regions_stop_by_name(struct vaccel_prof_region *, int, const char *);
int vaccel_resource_delete(struct vaccel_resource *);
int vaccel_resource_directory(struct vaccel_resource *, char *, size_t, char **);
int vaccel_resource_from_blobs(struct vaccel_resource **, const struct vaccel_blob **, size_t, vaccel_resource_type_t);
int vaccel_resource_from_buf(struct vaccel_resource **, const void *, size_t, vaccel_resource_type_t, const char *, bool);
int vaccel_resource_get_all_by_type(struct vaccel_resource ***, size_t *, vaccel_resource_type_t);
int vaccel_resource_get_by_id(struct vaccel_resource **, vaccel_id_t);
int vaccel_resource_get_by_type(struct vaccel_resource **, vaccel_resource_type_t);
int vaccel_resource_init(struct vaccel_resource *, const char *, vaccel_resource_type_t);
int vaccel_resource_init_from_blobs(struct vaccel_resource *, const struct vaccel_blob **, size_t, vaccel_resource_type_t);
int vaccel_resource_init_from_buf(struct vaccel_resource *, const void *, size_t, vaccel_resource_type_t, const char *, bool);
int vaccel_resource_init_multi(struct vaccel_resource *, const char **, size_t, vaccel_resource_type_t);
int vaccel_resource_multi_new(struct vaccel_resource **, const char **, size_t, vaccel_resource_type_t);
int vaccel_resource_new(struct vaccel_resource **, const char *, vaccel_resource_type_t);
long int vaccel_resource_refcount(const struct vaccel_resource *);
int vaccel_resource_register(struct vaccel_resource *, struct vaccel_session *);
int vaccel_resource_release(struct vaccel_resource *);
int vaccel_resource_sync(struct vaccel_resource *, struct vaccel_session *);
int vaccel_resource_unregister(struct vaccel_resource *, struct vaccel_session *);
const char *vaccel_rundir(void);
int vaccel_sess_free(struct vaccel_session *);
bool vaccel_sess_has_resource(struct vaccel_session *, struct vaccel_resource *);
int vaccel_sess_init(struct vaccel_session *, uint32_t);
int vaccel_sess_update(struct vaccel_session *, uint32_t);
int vaccel_session_delete(struct vaccel_session *);
int vaccel_session_get_by_id(struct vaccel_session **, vaccel_id_t);
bool vaccel_session_has_resource(struct vaccel_session *, struct vaccel_resource *);
int vaccel_session_init(struct vaccel_session *, uint32_t);
int vaccel_session_new(struct vaccel_session **, uint32_t);
int vaccel_session_release(struct vaccel_session *);
int vaccel_session_resource_by_id(struct vaccel_session *, struct vaccel_resource **, vaccel_id_t);
int vaccel_session_resource_by_type(struct vaccel_session *, struct vaccel_resource **, vaccel_resource_type_t);
int vaccel_session_resources_by_type(struct vaccel_session *, struct vaccel_resource ***, size_t *, vaccel_resource_type_t);
int vaccel_session_update(struct vaccel_session *, uint32_t);
int vaccel_sgemm(struct vaccel_session *, int64_t, int64_t, int64_t, float, float *, int64_t, float *, int64_t, float, float *, int64_t);
int vaccel_str_to_lower(const char *, char *, size_t, char **);
int vaccel_tf_buffer_delete(struct vaccel_tf_buffer *);
int vaccel_tf_buffer_init(struct vaccel_tf_buffer *, void *, size_t);
int vaccel_tf_buffer_new(struct vaccel_tf_buffer **, void *, size_t);
int vaccel_tf_buffer_release(struct vaccel_tf_buffer *);
int vaccel_tf_buffer_take_data(struct vaccel_tf_buffer *, void **, size_t *);
int vaccel_tf_model_load(struct vaccel_session *, struct vaccel_resource *, struct vaccel_tf_status *);
int vaccel_tf_model_run(struct vaccel_session *, struct vaccel_resource *, const struct vaccel_tf_buffer *, const struct vaccel_tf_node *, struct vaccel_tf_tensor *const *, int, const struct vaccel_tf_node *, struct vaccel_tf_tensor **, int, struct vaccel_tf_status *);
int vaccel_tf_model_unload(struct vaccel_session *, struct vaccel_resource *, struct vaccel_tf_status *);
int vaccel_tf_node_delete(struct vaccel_tf_node *);
int vaccel_tf_node_init(struct vaccel_tf_node *, const char *, int);
int vaccel_tf_node_new(struct vaccel_tf_node **, const char *, int);
int vaccel_tf_node_release(struct vaccel_tf_node *);
int vaccel_tf_status_delete(struct vaccel_tf_status *);
int vaccel_tf_status_init(struct vaccel_tf_status *, uint8_t, const char *);
int vaccel_tf_status_new(struct vaccel_tf_status **, uint8_t, const char *);
int vaccel_tf_status_release(struct vaccel_tf_status *);
int vaccel_tf_tensor_allocate(struct vaccel_tf_tensor **, int, const int64_t *, enum vaccel_tf_data_type, size_t);
int vaccel_tf_tensor_delete(struct vaccel_tf_tensor *);
int vaccel_tf_tensor_init(struct vaccel_tf_tensor *, int, const int64_t *, enum vaccel_tf_data_type);
int vaccel_tf_tensor_new(struct vaccel_tf_tensor **, int, const int64_t *, enum vaccel_tf_data_type);
int vaccel_tf_tensor_release(struct vaccel_tf_tensor *);
int vaccel_tf_tensor_set_data(struct vaccel_tf_tensor *, void *, size_t);
int vaccel_tf_tensor_take_data(struct vaccel_tf_tensor *, void **, size_t *);
int vaccel_tflite_model_load(struct vaccel_session *, struct vaccel_resource *);
int vaccel_tflite_model_run(struct vaccel_session *, struct vaccel_resource *, struct vaccel_tflite_tensor *const *, int, struct vaccel_tflite_tensor **, int, uint8_t *);
int vaccel_tflite_model_unload(struct vaccel_session *, struct vaccel_resource *);
int vaccel_tflite_tensor_allocate(struct vaccel_tflite_tensor **, int, const int32_t *, enum vaccel_tflite_data_type, size_t);
int vaccel_tflite_tensor_delete(struct vaccel_tflite_tensor *);
int vaccel_tflite_tensor_init(struct vaccel_tflite_tensor *, int, const int32_t *, enum vaccel_tflite_data_type);
int vaccel_tflite_tensor_new(struct vaccel_tflite_tensor **, int, const int32_t *, enum vaccel_tflite_data_type);
int vaccel_tflite_tensor_release(struct vaccel_tflite_tensor *);
int vaccel_tflite_tensor_set_data(struct vaccel_tflite_tensor *, void *, size_t);
int vaccel_tflite_tensor_take_data(struct vaccel_tflite_tensor *, void **, size_t *);
int vaccel_torch_buffer_delete(struct vaccel_torch_buffer *);
int vaccel_torch_buffer_init(struct vaccel_torch_buffer *, char *, size_t);
int vaccel_torch_buffer_new(struct vaccel_torch_buffer **, char *, size_t);
int vaccel_torch_buffer_release(struct vaccel_torch_buffer *);
int vaccel_torch_buffer_take_data(struct vaccel_torch_buffer *, void **, size_t *);
int vaccel_torch_model_load(struct vaccel_session *, struct vaccel_resource *);
int vaccel_torch_model_run(struct vaccel_session *, struct vaccel_resource *, const struct vaccel_torch_buffer *, struct vaccel_torch_tensor *const *, int, struct vaccel_torch_tensor **, int);
int vaccel_torch_sgemm(struct vaccel_session *, struct vaccel_torch_tensor **, struct vaccel_torch_tensor **, struct vaccel_torch_tensor **, int, int, int, struct vaccel_torch_tensor **);
int vaccel_torch_tensor_allocate(struct vaccel_torch_tensor **, int64_t, const int64_t *, enum vaccel_torch_data_type, size_t);
int vaccel_torch_tensor_delete(struct vaccel_torch_tensor *);
int vaccel_torch_tensor_init(struct vaccel_torch_tensor *, int64_t, const int64_t *, enum vaccel_torch_data_type);
int vaccel_torch_tensor_new(struct vaccel_torch_tensor **, int64_t, const int64_t *, enum vaccel_torch_data_type);
int vaccel_torch_tensor_release(struct vaccel_torch_tensor *);
int vaccel_torch_tensor_set_data(struct vaccel_torch_tensor *, void *, size_t);
int vaccel_torch_tensor_take_data(struct vaccel_torch_tensor *, void **, size_t *);
int vaccel_write_nonserial_arg(struct vaccel_arg *, int, void *, void *(*) (void *, uint32_t *));
int vaccel_write_serial_arg(struct vaccel_arg *, int, void *);

typedef void (*function)(void);

/* Those of the C library first, then ours. */
static const function functions[] = {
    (function)slog_config_get, (function)slog_config_set, (function)slog_destroy,
    (function)slog_disable, (function)slog_enable, (function)slog_init, (function)slog_print,
    (function)slog_version, (function)vaccel_add_nonserial_arg, (function)vaccel_add_serial_arg,
    (function)vaccel_arg_array_add_all, (function)vaccel_arg_array_add_bool,
    (function)vaccel_arg_array_add_bool_array, (function)vaccel_arg_array_add_buffer,
    (function)vaccel_arg_array_add_char, (function)vaccel_arg_array_add_char_array,
    (function)vaccel_arg_array_add_custom, (function)vaccel_arg_array_add_double,
    (function)vaccel_arg_array_add_double_array, (function)vaccel_arg_array_add_float,
    (function)vaccel_arg_array_add_float_array, (function)vaccel_arg_array_add_int16,
    (function)vaccel_arg_array_add_int16_array, (function)vaccel_arg_array_add_int32,
    (function)vaccel_arg_array_add_int32_array, (function)vaccel_arg_array_add_int64,
    (function)vaccel_arg_array_add_int64_array, (function)vaccel_arg_array_add_int8,
    (function)vaccel_arg_array_add_int8_array, (function)vaccel_arg_array_add_range,
    (function)vaccel_arg_array_add_raw, (function)vaccel_arg_array_add_remaining,
    (function)vaccel_arg_array_add_serialized, (function)vaccel_arg_array_add_string,
    (function)vaccel_arg_array_add_uchar, (function)vaccel_arg_array_add_uchar_array,
    (function)vaccel_arg_array_add_uint16, (function)vaccel_arg_array_add_uint16_array,
    (function)vaccel_arg_array_add_uint32, (function)vaccel_arg_array_add_uint32_array,
    (function)vaccel_arg_array_add_uint64, (function)vaccel_arg_array_add_uint64_array,
    (function)vaccel_arg_array_add_uint8, (function)vaccel_arg_array_add_uint8_array,
    (function)vaccel_arg_array_clear, (function)vaccel_arg_array_count,
    (function)vaccel_arg_array_delete, (function)vaccel_arg_array_get_bool,
    (function)vaccel_arg_array_get_bool_array, (function)vaccel_arg_array_get_buffer,
    (function)vaccel_arg_array_get_char, (function)vaccel_arg_array_get_char_array,
    (function)vaccel_arg_array_get_custom, (function)vaccel_arg_array_get_double,
    (function)vaccel_arg_array_get_double_array, (function)vaccel_arg_array_get_float,
    (function)vaccel_arg_array_get_float_array, (function)vaccel_arg_array_get_int16,
    (function)vaccel_arg_array_get_int16_array, (function)vaccel_arg_array_get_int32,
    (function)vaccel_arg_array_get_int32_array, (function)vaccel_arg_array_get_int64,
    (function)vaccel_arg_array_get_int64_array, (function)vaccel_arg_array_get_int8,
    (function)vaccel_arg_array_get_int8_array, (function)vaccel_arg_array_get_raw,
    (function)vaccel_arg_array_get_remaining, (function)vaccel_arg_array_get_serialized,
    (function)vaccel_arg_array_get_string, (function)vaccel_arg_array_get_uchar,
    (function)vaccel_arg_array_get_uchar_array, (function)vaccel_arg_array_get_uint16,
    (function)vaccel_arg_array_get_uint16_array, (function)vaccel_arg_array_get_uint32,
    (function)vaccel_arg_array_get_uint32_array, (function)vaccel_arg_array_get_uint64,
    (function)vaccel_arg_array_get_uint64_array, (function)vaccel_arg_array_get_uint8,
    (function)vaccel_arg_array_get_uint8_array, (function)vaccel_arg_array_init,
    (function)vaccel_arg_array_new, (function)vaccel_arg_array_position,
    (function)vaccel_arg_array_raw, (function)vaccel_arg_array_release,
    (function)vaccel_arg_array_remaining_count, (function)vaccel_arg_array_reset_position,
    (function)vaccel_arg_array_set_bool, (function)vaccel_arg_array_set_bool_array,
    (function)vaccel_arg_array_set_buffer, (function)vaccel_arg_array_set_char,
    (function)vaccel_arg_array_set_char_array, (function)vaccel_arg_array_set_custom,
    (function)vaccel_arg_array_set_double, (function)vaccel_arg_array_set_double_array,
    (function)vaccel_arg_array_set_float, (function)vaccel_arg_array_set_float_array,
    (function)vaccel_arg_array_set_int16, (function)vaccel_arg_array_set_int16_array,
    (function)vaccel_arg_array_set_int32, (function)vaccel_arg_array_set_int32_array,
    (function)vaccel_arg_array_set_int64, (function)vaccel_arg_array_set_int64_array,
    (function)vaccel_arg_array_set_int8, (function)vaccel_arg_array_set_int8_array,
    (function)vaccel_arg_array_set_position, (function)vaccel_arg_array_set_raw,
    (function)vaccel_arg_array_set_serialized, (function)vaccel_arg_array_set_string,
    (function)vaccel_arg_array_set_uchar, (function)vaccel_arg_array_set_uchar_array,
    (function)vaccel_arg_array_set_uint16, (function)vaccel_arg_array_set_uint16_array,
    (function)vaccel_arg_array_set_uint32, (function)vaccel_arg_array_set_uint32_array,
    (function)vaccel_arg_array_set_uint64, (function)vaccel_arg_array_set_uint64_array,
    (function)vaccel_arg_array_set_uint8, (function)vaccel_arg_array_set_uint8_array,
    (function)vaccel_arg_array_wrap, (function)vaccel_arg_delete, (function)vaccel_arg_from_buf,
    (function)vaccel_arg_init, (function)vaccel_arg_init_from_buf, (function)vaccel_arg_new,
    (function)vaccel_arg_release, (function)vaccel_args_init, (function)vaccel_blob_data,
    (function)vaccel_blob_delete, (function)vaccel_blob_from_buf, (function)vaccel_blob_init,
    (function)vaccel_blob_init_from_buf, (function)vaccel_blob_new, (function)vaccel_blob_path,
    (function)vaccel_blob_persist, (function)vaccel_blob_read, (function)vaccel_blob_release,
    (function)vaccel_blob_valid, (function)vaccel_bootstrap, (function)vaccel_bootstrap_with_config,
    (function)vaccel_cleanup, (function)vaccel_config, (function)vaccel_config_delete,
    (function)vaccel_config_from, (function)vaccel_config_from_env, (function)vaccel_config_init,
    (function)vaccel_config_init_from, (function)vaccel_config_init_from_env,
    (function)vaccel_config_new, (function)vaccel_config_print_debug,
    (function)vaccel_config_release, (function)vaccel_delete_args, (function)vaccel_exec,
    (function)vaccel_exec_with_resource, (function)vaccel_expect_nonserial_arg,
    (function)vaccel_expect_serial_arg, (function)vaccel_extract_nonserial_arg,
    (function)vaccel_extract_serial_arg, (function)vaccel_fpga_arraycopy,
    (function)vaccel_fpga_mmult, (function)vaccel_fpga_parallel, (function)vaccel_fpga_vadd,
    (function)vaccel_genop, (function)vaccel_image_classification, (function)vaccel_image_depth,
    (function)vaccel_image_detection, (function)vaccel_image_pose,
    (function)vaccel_image_segmentation, (function)vaccel_is_initialized, (function)vaccel_log_init,
    (function)vaccel_log_shutdown, (function)vaccel_minmax, (function)vaccel_noop,
    (function)vaccel_opencv_unpack, (function)vaccel_plugin_load,
    (function)vaccel_plugin_parse_and_load, (function)vaccel_plugin_register_ops,
    (function)vaccel_prof_enabled, (function)vaccel_prof_region_init,
    (function)vaccel_prof_region_print, (function)vaccel_prof_region_release,
    (function)vaccel_prof_region_start, (function)vaccel_prof_region_stop,
    (function)vaccel_prof_regions_init, (function)vaccel_prof_regions_print_all,
    (function)vaccel_prof_regions_print_all_to_buf, (function)vaccel_prof_regions_release,
    (function)vaccel_prof_regions_start_by_name, (function)vaccel_prof_regions_stop_by_name,
    (function)vaccel_resource_delete, (function)vaccel_resource_directory,
    (function)vaccel_resource_from_blobs, (function)vaccel_resource_from_buf,
    (function)vaccel_resource_get_all_by_type, (function)vaccel_resource_get_by_id,
    (function)vaccel_resource_get_by_type, (function)vaccel_resource_init,
    (function)vaccel_resource_init_from_blobs, (function)vaccel_resource_init_from_buf,
    (function)vaccel_resource_init_multi, (function)vaccel_resource_multi_new,
    (function)vaccel_resource_new, (function)vaccel_resource_refcount,
    (function)vaccel_resource_register, (function)vaccel_resource_release,
    (function)vaccel_resource_sync, (function)vaccel_resource_unregister, (function)vaccel_rundir,
    (function)vaccel_sess_free, (function)vaccel_sess_has_resource, (function)vaccel_sess_init,
    (function)vaccel_sess_update, (function)vaccel_session_delete,
    (function)vaccel_session_get_by_id, (function)vaccel_session_has_resource,
    (function)vaccel_session_init, (function)vaccel_session_new, (function)vaccel_session_release,
    (function)vaccel_session_resource_by_id, (function)vaccel_session_resource_by_type,
    (function)vaccel_session_resources_by_type, (function)vaccel_session_update,
    (function)vaccel_sgemm, (function)vaccel_str_to_lower, (function)vaccel_tf_buffer_delete,
    (function)vaccel_tf_buffer_init, (function)vaccel_tf_buffer_new,
    (function)vaccel_tf_buffer_release, (function)vaccel_tf_buffer_take_data,
    (function)vaccel_tf_model_load, (function)vaccel_tf_model_run, (function)vaccel_tf_model_unload,
    (function)vaccel_tf_node_delete, (function)vaccel_tf_node_init, (function)vaccel_tf_node_new,
    (function)vaccel_tf_node_release, (function)vaccel_tf_status_delete,
    (function)vaccel_tf_status_init, (function)vaccel_tf_status_new,
    (function)vaccel_tf_status_release, (function)vaccel_tf_tensor_allocate,
    (function)vaccel_tf_tensor_delete, (function)vaccel_tf_tensor_init,
    (function)vaccel_tf_tensor_new, (function)vaccel_tf_tensor_release,
    (function)vaccel_tf_tensor_set_data, (function)vaccel_tf_tensor_take_data,
    (function)vaccel_tflite_model_load, (function)vaccel_tflite_model_run,
    (function)vaccel_tflite_model_unload, (function)vaccel_tflite_tensor_allocate,
    (function)vaccel_tflite_tensor_delete, (function)vaccel_tflite_tensor_init,
    (function)vaccel_tflite_tensor_new, (function)vaccel_tflite_tensor_release,
    (function)vaccel_tflite_tensor_set_data, (function)vaccel_tflite_tensor_take_data,
    (function)vaccel_torch_buffer_delete, (function)vaccel_torch_buffer_init,
    (function)vaccel_torch_buffer_new, (function)vaccel_torch_buffer_release,
    (function)vaccel_torch_buffer_take_data, (function)vaccel_torch_model_load,
    (function)vaccel_torch_model_run, (function)vaccel_torch_sgemm,
    (function)vaccel_torch_tensor_allocate, (function)vaccel_torch_tensor_delete,
    (function)vaccel_torch_tensor_init, (function)vaccel_torch_tensor_new,
    (function)vaccel_torch_tensor_release, (function)vaccel_torch_tensor_set_data,
    (function)vaccel_torch_tensor_take_data, (function)vaccel_write_nonserial_arg,
    (function)vaccel_write_serial_arg, (function)fs_file_read, (function)vaccel_describe,
    (function)vaccel_error_message, (function)vaccel_error_name, (function)vaccel_error_set,
    (function)vaccel_error_string, (function)vaccel_model_info, (function)vaccel_model_info_release,
    (function)vaccel_model_load, (function)vaccel_model_run, (function)vaccel_model_unload,
    (function)vaccel_tensor_release, (function)vaccel_version,
};

int main(void)
{
    size_t count = sizeof(functions) / sizeof(functions[0]);
    for (size_t i = 0; i < count; i++) {
        if (!functions[i]) {
            printf("not ok - function %zu is missing\n", i);
            return 1;
        }
    }
    printf("ok - %zu functions have the types of the C library and are there\n1..1\n", count);
    return 0;
}
