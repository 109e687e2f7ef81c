/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file vaccel/ops/genop.h
 * Any operation in generic form: a code and lists of arguments.
 *
 * read[0] is a VACCEL_ARG_UINT8 with a VACCEL_OP_* code. What follows depends on it:
 *
 * | code | further read arguments | write arguments |
 * | --- | --- | --- |
 * | NOOP | | |
 * | EXEC | STRING library, STRING symbol, any others | any |
 * | EXEC_WITH_RESOURCE | INT64 number of the resource, STRING symbol, any others | any |
 * | IMAGE_CLASSIFY | BUFFER image | UCHAR_ARRAY out_imgname [, UCHAR_ARRAY out_text] |
 * | IMAGE_DETECT, _SEGMENT, _POSE, _DEPTH | BUFFER image | UCHAR_ARRAY out_imgname |
 * | TF_MODEL_LOAD, _UNLOAD | INT64 model | UINT8 status [, CHAR_ARRAY message] |
 * | TF_MODEL_RUN | INT64 model [, BUFFER options], tensors | UINT8 status [, CHAR_ARRAY message], tensors |
 * | TFLITE_MODEL_LOAD, _UNLOAD | INT64 model | |
 * | TFLITE_MODEL_RUN | INT64 model, tensors | UINT8 status, tensors |
 * | TORCH_MODEL_LOAD | INT64 model | |
 * | TORCH_MODEL_RUN | INT64 model [, BUFFER options], tensors | tensors |
 * | TORCH_SGEMM | INT32 M, N, K, tensors A, B, C | tensor |
 * | BLAS_SGEMM | INT64 m, n, k, FLOAT32 alpha, FLOAT32_ARRAY a, INT64 lda, FLOAT32_ARRAY b, INT64 ldb, FLOAT32 beta, INT64 ldc | FLOAT32_ARRAY c |
 * | FPGA_ARRAYCOPY | ints | ints |
 * | FPGA_MMULT, FPGA_VECTORADD | floats a, floats b | floats c |
 * | FPGA_PARALLEL | floats a, floats b | floats sums, floats products |
 * | MINMAX | doubles, int ndata, int low, int high | doubles, double min, double max |
 * | OPENCV | any | any |
 * | MODEL_LOAD | INT64 model [, STRING options] | |
 * | MODEL_UNLOAD | INT64 model | |
 * | MODEL_RUN | INT64 model, tensors | tensors |
 * | MODEL_INFO | INT64 model | tensor: gets u8 JSON |
 *
 * The types of FPGA_*, MINMAX and OPENCV arguments are not looked at, only their
 * sizes. A model is the number of its resource. A tensor is a CUSTOM argument with
 * the type VACCEL_CUSTOM_TENSOR, whose bytes are one struct vaccel_tensor; for TF_*,
 * TFLITE_* and TORCH_* its `dtype` is a number of the framework's own types, and for
 * TF_* its `name` is `node:index`.
 */
#ifndef VACCEL_OPS_GENOP_H
#define VACCEL_OPS_GENOP_H

#include <vaccel/arg.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vaccel_session;

/**
 * Calls an operation in generic form.
 *
 * @param sess      an open session
 * @param read      arguments to read, the code first
 * @param nr_read   their number, at least 1
 * @param write     arguments to write: their bytes are changed in place; may be
 *                  NULL when `nr_write` is 0
 * @param nr_write  their number
 * @return          VACCEL_OK; VACCEL_EINVAL for a wrong code, and for missing,
 *                  wrong or too short arguments, before anything is written;
 *                  VACCEL_ENOTSUP when the operation has no generic form or the
 *                  plugin does not offer it; or the error of the plugin
 */
int vaccel_genop(struct vaccel_session *sess, struct vaccel_arg *read, int nr_read,
                 struct vaccel_arg *write, int nr_write);

#ifdef __cplusplus
}
#endif

#endif /* VACCEL_OPS_GENOP_H */
