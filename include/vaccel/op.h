/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file vaccel/op.h
 * Operations: their codes, and how a plugin offers them.
 */
#ifndef VACCEL_OP_H
#define VACCEL_OP_H

#include <stddef.h>
#include <stdint.h>

#include <vaccel/utils/enum.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vaccel_plugin;

/**
 * Codes of the operations.
 *
 * Those below VACCEL_OP_MAX have a slot in struct vaccel_plugin. Those from
 * VACCEL_OP_MODEL_LOAD on are offered through struct vaccel_plugin_ext; their
 * codes are used by vaccel_genop() alone.
 */
typedef enum {
    VACCEL_OP_NOOP = 0,                 /**< vaccel_noop() */
    VACCEL_OP_EXEC = 1,                 /**< vaccel_exec() */
    VACCEL_OP_EXEC_WITH_RESOURCE = 2,   /**< vaccel_exec_with_resource() */
    VACCEL_OP_IMAGE_CLASSIFY = 3,       /**< vaccel_image_classification() */
    VACCEL_OP_IMAGE_DETECT = 4,         /**< vaccel_image_detection() */
    VACCEL_OP_IMAGE_SEGMENT = 5,        /**< vaccel_image_segmentation() */
    VACCEL_OP_IMAGE_POSE = 6,           /**< vaccel_image_pose() */
    VACCEL_OP_IMAGE_DEPTH = 7,          /**< vaccel_image_depth() */
    VACCEL_OP_TF_MODEL_LOAD = 8,        /**< vaccel_tf_model_load() */
    VACCEL_OP_TF_MODEL_UNLOAD = 9,      /**< vaccel_tf_model_unload() */
    VACCEL_OP_TF_MODEL_RUN = 10,        /**< vaccel_tf_model_run() */
    VACCEL_OP_TFLITE_MODEL_LOAD = 11,   /**< vaccel_tflite_model_load() */
    VACCEL_OP_TFLITE_MODEL_UNLOAD = 12, /**< vaccel_tflite_model_unload() */
    VACCEL_OP_TFLITE_MODEL_RUN = 13,    /**< vaccel_tflite_model_run() */
    VACCEL_OP_TORCH_MODEL_LOAD = 14,    /**< vaccel_torch_model_load() */
    VACCEL_OP_TORCH_MODEL_RUN = 15,     /**< vaccel_torch_model_run() */
    VACCEL_OP_TORCH_SGEMM = 16,         /**< vaccel_torch_sgemm() */
    VACCEL_OP_BLAS_SGEMM = 17,          /**< vaccel_sgemm() */
    VACCEL_OP_FPGA_ARRAYCOPY = 18,      /**< vaccel_fpga_arraycopy() */
    VACCEL_OP_FPGA_MMULT = 19,          /**< vaccel_fpga_mmult() */
    VACCEL_OP_FPGA_PARALLEL = 20,       /**< vaccel_fpga_parallel() */
    VACCEL_OP_FPGA_VECTORADD = 21,      /**< vaccel_fpga_vadd() */
    VACCEL_OP_MINMAX = 22,              /**< vaccel_minmax() */
    VACCEL_OP_OPENCV = 23,              /**< vaccel_opencv_unpack() */
    VACCEL_OP_MAX = 24,                 /**< slots in struct vaccel_plugin; never changes */
    VACCEL_OP_MODEL_LOAD = 128,         /**< vaccel_model_load() */
    VACCEL_OP_MODEL_UNLOAD = 129,       /**< vaccel_model_unload() */
    VACCEL_OP_MODEL_RUN = 130,          /**< vaccel_model_run() */
    VACCEL_OP_MODEL_INFO = 131          /**< vaccel_model_info() */
} vaccel_op_type_t;

/** An operation that a plugin offers. */
struct vaccel_op {
    vaccel_op_type_t type;       /**< which one, below VACCEL_OP_MAX */
    void *func;                  /**< the function, with the signature of the operation */
    struct vaccel_plugin *owner; /**< the plugin */
};

/**
 * Initialises one struct vaccel_op of a plugin's table:
 *
 *     static struct vaccel_op ops[] = {
 *         VACCEL_OP_INIT(ops[0], VACCEL_OP_NOOP, my_noop),
 *     };
 *
 * @param name       the entry that is initialised; for the reader only
 * @param op_type    VACCEL_OP_*
 * @param op_func    function with the signature of the operation
 */
#define VACCEL_OP_INIT(name, op_type, op_func) \
    { (op_type), (void *)(uintptr_t)(op_func), &vaccel_this_plugin }

/** Name of an operation's code, for example `VACCEL_OP_NOOP`. Static string. */
static inline const char *vaccel_op_type_name(vaccel_op_type_t type)
{
    return type == VACCEL_OP_NOOP                ? "VACCEL_OP_NOOP" :
           type == VACCEL_OP_EXEC                ? "VACCEL_OP_EXEC" :
           type == VACCEL_OP_EXEC_WITH_RESOURCE  ? "VACCEL_OP_EXEC_WITH_RESOURCE" :
           type == VACCEL_OP_IMAGE_CLASSIFY      ? "VACCEL_OP_IMAGE_CLASSIFY" :
           type == VACCEL_OP_IMAGE_DETECT        ? "VACCEL_OP_IMAGE_DETECT" :
           type == VACCEL_OP_IMAGE_SEGMENT       ? "VACCEL_OP_IMAGE_SEGMENT" :
           type == VACCEL_OP_IMAGE_POSE          ? "VACCEL_OP_IMAGE_POSE" :
           type == VACCEL_OP_IMAGE_DEPTH         ? "VACCEL_OP_IMAGE_DEPTH" :
           type == VACCEL_OP_TF_MODEL_LOAD       ? "VACCEL_OP_TF_MODEL_LOAD" :
           type == VACCEL_OP_TF_MODEL_UNLOAD     ? "VACCEL_OP_TF_MODEL_UNLOAD" :
           type == VACCEL_OP_TF_MODEL_RUN        ? "VACCEL_OP_TF_MODEL_RUN" :
           type == VACCEL_OP_TFLITE_MODEL_LOAD   ? "VACCEL_OP_TFLITE_MODEL_LOAD" :
           type == VACCEL_OP_TFLITE_MODEL_UNLOAD ? "VACCEL_OP_TFLITE_MODEL_UNLOAD" :
           type == VACCEL_OP_TFLITE_MODEL_RUN    ? "VACCEL_OP_TFLITE_MODEL_RUN" :
           type == VACCEL_OP_TORCH_MODEL_LOAD    ? "VACCEL_OP_TORCH_MODEL_LOAD" :
           type == VACCEL_OP_TORCH_MODEL_RUN     ? "VACCEL_OP_TORCH_MODEL_RUN" :
           type == VACCEL_OP_TORCH_SGEMM         ? "VACCEL_OP_TORCH_SGEMM" :
           type == VACCEL_OP_BLAS_SGEMM          ? "VACCEL_OP_BLAS_SGEMM" :
           type == VACCEL_OP_FPGA_ARRAYCOPY      ? "VACCEL_OP_FPGA_ARRAYCOPY" :
           type == VACCEL_OP_FPGA_MMULT          ? "VACCEL_OP_FPGA_MMULT" :
           type == VACCEL_OP_FPGA_PARALLEL       ? "VACCEL_OP_FPGA_PARALLEL" :
           type == VACCEL_OP_FPGA_VECTORADD      ? "VACCEL_OP_FPGA_VECTORADD" :
           type == VACCEL_OP_MINMAX              ? "VACCEL_OP_MINMAX" :
           type == VACCEL_OP_OPENCV              ? "VACCEL_OP_OPENCV" :
           type == VACCEL_OP_MODEL_LOAD          ? "VACCEL_OP_MODEL_LOAD" :
           type == VACCEL_OP_MODEL_UNLOAD        ? "VACCEL_OP_MODEL_UNLOAD" :
           type == VACCEL_OP_MODEL_RUN           ? "VACCEL_OP_MODEL_RUN" :
           type == VACCEL_OP_MODEL_INFO          ? "VACCEL_OP_MODEL_INFO" :
           "unknown";
}

/** Writes the name of an operation's code to `buf`; see vaccel_enum_to_str(). */
static inline char *vaccel_op_type_to_str(vaccel_op_type_t type, char *buf, size_t size)
{
    return vaccel_enum_to_str(vaccel_op_type_name(type), buf, size);
}

#ifdef __cplusplus
}
#endif

#endif /* VACCEL_OP_H */
