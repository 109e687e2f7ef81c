/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plugin that offers every operation of the fixed table, writes down what it
 * was called with, and gives simple answers.
 */
#include "recorder.h"

__attribute__((visibility("default"))) struct recorder recorder;

static int note(vaccel_op_type_t op, struct vaccel_session *sess, struct vaccel_resource *res)
{
    recorder.calls[op]++;
    recorder.session = sess;
    recorder.resource = res;
    memset(recorder.pointers, 0, sizeof(recorder.pointers));
    memset(recorder.numbers, 0, sizeof(recorder.numbers));
    if (recorder.answer)
        vaccel_error_set("the recorder was told to fail");
    return recorder.answer;
}

static int noop(struct vaccel_session *sess)
{
    return note(VACCEL_OP_NOOP, sess, NULL);
}

static void note_args(struct vaccel_arg *read, size_t nr_read, struct vaccel_arg *write,
                      size_t nr_write)
{
    recorder.pointers[2] = read;
    recorder.pointers[3] = write;
    recorder.numbers[0] = (int64_t)nr_read;
    recorder.numbers[1] = (int64_t)nr_write;
    /* Copies arguments from one list to the other, as many as there are in both. */
    for (size_t i = 0; i < nr_read && i < nr_write; i++)
        if (read[i].size == write[i].size && read[i].buf)
            memcpy(write[i].buf, read[i].buf, read[i].size);
}

static int exec(struct vaccel_session *sess, const char *library, const char *symbol,
                struct vaccel_arg *read, size_t nr_read, struct vaccel_arg *write, size_t nr_write)
{
    int ret = note(VACCEL_OP_EXEC, sess, NULL);
    recorder.pointers[0] = library;
    recorder.pointers[1] = symbol;
    note_args(read, nr_read, write, nr_write);
    return ret;
}

static int exec_with_resource(struct vaccel_session *sess, struct vaccel_resource *res,
                              const char *symbol, struct vaccel_arg *read, size_t nr_read,
                              struct vaccel_arg *write, size_t nr_write)
{
    int ret = note(VACCEL_OP_EXEC_WITH_RESOURCE, sess, res);
    recorder.pointers[1] = symbol;
    note_args(read, nr_read, write, nr_write);
    return ret;
}

static int classify(struct vaccel_session *sess, const void *img, unsigned char *text,
                    unsigned char *imgname, size_t len_img, size_t len_text, size_t len_imgname)
{
    int ret = note(VACCEL_OP_IMAGE_CLASSIFY, sess, NULL);
    recorder.pointers[0] = img;
    recorder.pointers[1] = text;
    recorder.pointers[2] = imgname;
    recorder.numbers[0] = (int64_t)len_img;
    recorder.numbers[1] = (int64_t)len_text;
    recorder.numbers[2] = (int64_t)len_imgname;
    if (text && len_text)
        snprintf((char *)text, len_text, "a cat");
    if (imgname && len_imgname)
        snprintf((char *)imgname, len_imgname, "cat.png");
    return ret;
}

static int picture(vaccel_op_type_t op, struct vaccel_session *sess, const void *img,
                   unsigned char *imgname, size_t len_img, size_t len_imgname)
{
    int ret = note(op, sess, NULL);
    recorder.pointers[0] = img;
    recorder.pointers[1] = imgname;
    recorder.numbers[0] = (int64_t)len_img;
    recorder.numbers[1] = (int64_t)len_imgname;
    if (imgname && len_imgname)
        snprintf((char *)imgname, len_imgname, "picture%d.png", (int)op);
    return ret;
}

#define PICTURE(name, op)                                                                      \
    static int name(struct vaccel_session *sess, const void *img, unsigned char *imgname,      \
                    size_t len_img, size_t len_imgname)                                        \
    {                                                                                          \
        return picture(op, sess, img, imgname, len_img, len_imgname);                          \
    }
PICTURE(detect, VACCEL_OP_IMAGE_DETECT)
PICTURE(segment, VACCEL_OP_IMAGE_SEGMENT)
PICTURE(pose, VACCEL_OP_IMAGE_POSE)
PICTURE(depth, VACCEL_OP_IMAGE_DEPTH)

static int sgemm(struct vaccel_session *sess, int64_t m, int64_t n, int64_t k, float alpha,
                 float *a, int64_t lda, float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    int ret = note(VACCEL_OP_BLAS_SGEMM, sess, NULL);
    int64_t numbers[] = { m, n, k, lda, ldb, ldc };
    memcpy(recorder.numbers, numbers, sizeof(numbers));
    recorder.pointers[0] = a;
    recorder.pointers[1] = b;
    recorder.pointers[2] = c;
    recorder.reals[0] = (double)alpha;
    recorder.reals[1] = (double)beta;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            float sum = 0.0f;
            for (int64_t l = 0; l < k; l++)
                sum += a[i * lda + l] * b[l * ldb + j];
            c[i * ldc + j] = alpha * sum + (beta == 0.0f ? 0.0f : beta * c[i * ldc + j]);
        }
    return ret;
}

static int arraycopy(struct vaccel_session *sess, int *a, int *out, size_t n)
{
    int ret = note(VACCEL_OP_FPGA_ARRAYCOPY, sess, NULL);
    recorder.numbers[0] = (int64_t)n;
    memcpy(out, a, n * sizeof(*a));
    return ret;
}

/* C += A B, where A is m x k and B is k x n. */
static void add_product(const float *a, const float *b, float *c, size_t m, size_t n, size_t k)
{
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++)
            for (size_t l = 0; l < k; l++)
                c[i * n + j] += a[i * k + l] * b[l * n + j];
}

static int mmult(struct vaccel_session *sess, float *a, float *b, float *c, size_t n)
{
    int ret = note(VACCEL_OP_FPGA_MMULT, sess, NULL);
    recorder.numbers[0] = (int64_t)n;
    size_t rows = 0;
    while ((rows + 1) * (rows + 1) <= n)
        rows++;
    memset(c, 0, n * sizeof(*c));
    add_product(a, b, c, rows, rows, rows);
    return ret;
}

static int parallel(struct vaccel_session *sess, float *a, float *b, float *add, float *mult,
                    size_t n)
{
    int ret = note(VACCEL_OP_FPGA_PARALLEL, sess, NULL);
    recorder.numbers[0] = (int64_t)n;
    for (size_t i = 0; i < n; i++) {
        add[i] = a[i] + b[i];
        mult[i] = a[i] * b[i];
    }
    return ret;
}

static int vadd(struct vaccel_session *sess, float *a, float *b, float *c, size_t len_a,
                size_t len_b)
{
    int ret = note(VACCEL_OP_FPGA_VECTORADD, sess, NULL);
    recorder.numbers[0] = (int64_t)len_a;
    recorder.numbers[1] = (int64_t)len_b;
    for (size_t i = 0; i < len_a && i < len_b; i++)
        c[i] = a[i] + b[i];
    return ret;
}

static int minmax(struct vaccel_session *sess, const double *in, int n, int low, int high,
                  double *out, double *min, double *max)
{
    int ret = note(VACCEL_OP_MINMAX, sess, NULL);
    recorder.numbers[0] = n;
    recorder.numbers[1] = low;
    recorder.numbers[2] = high;
    *min = *max = in[0];
    for (int i = 0; i < n; i++) {
        out[i] = in[i] < low ? low : in[i] > high ? high : in[i];
        *min = in[i] < *min ? in[i] : *min;
        *max = in[i] > *max ? in[i] : *max;
    }
    return ret;
}

static int opencv(struct vaccel_session *sess, struct vaccel_arg *read, int nr_read,
                  struct vaccel_arg *write, int nr_write)
{
    int ret = note(VACCEL_OP_OPENCV, sess, NULL);
    note_args(read, (size_t)nr_read, write, (size_t)nr_write);
    return ret;
}

static int tf_status(struct vaccel_tf_status *status, int ret)
{
    if (status) {
        status->code = (uint8_t)(ret ? 3 : 0);
        status->message = strdup(ret ? "bad" : "good");
    }
    return ret;
}

static int tf_load(struct vaccel_session *sess, struct vaccel_resource *res,
                   struct vaccel_tf_status *status)
{
    return tf_status(status, note(VACCEL_OP_TF_MODEL_LOAD, sess, res));
}

static int tf_unload(struct vaccel_session *sess, struct vaccel_resource *res,
                     struct vaccel_tf_status *status)
{
    return tf_status(status, note(VACCEL_OP_TF_MODEL_UNLOAD, sess, res));
}

/* Each output is a copy of the input at the same place. */
#define COPIES(type)                                                                           \
    static int type##_copies(struct vaccel_##type##_tensor *const *in, int nr_in,              \
                             struct vaccel_##type##_tensor **out, int nr_out)                  \
    {                                                                                          \
        for (int i = 0; i < nr_out && i < nr_in; i++) {                                        \
            int ret = vaccel_##type##_tensor_allocate(&out[i], in[i]->nr_dims, in[i]->dims,    \
                                                      in[i]->data_type, in[i]->size);          \
            if (ret)                                                                           \
                return ret;                                                                    \
            memcpy(out[i]->data, in[i]->data, in[i]->size);                                    \
        }                                                                                      \
        return VACCEL_OK;                                                                      \
    }
COPIES(tf)
COPIES(tflite)
COPIES(torch)

static int tf_run(struct vaccel_session *sess, struct vaccel_resource *res,
                  const struct vaccel_tf_buffer *options, const struct vaccel_tf_node *in_nodes,
                  struct vaccel_tf_tensor *const *in, int nr_in,
                  const struct vaccel_tf_node *out_nodes, struct vaccel_tf_tensor **out, int nr_out,
                  struct vaccel_tf_status *status)
{
    int ret = note(VACCEL_OP_TF_MODEL_RUN, sess, res);
    recorder.pointers[0] = options;
    recorder.pointers[1] = in_nodes;
    recorder.pointers[2] = out_nodes;
    recorder.numbers[0] = nr_in;
    recorder.numbers[1] = nr_out;
    if (!ret)
        ret = tf_copies(in, nr_in, out, nr_out);
    return tf_status(status, ret);
}

static int tflite_load(struct vaccel_session *sess, struct vaccel_resource *res)
{
    return note(VACCEL_OP_TFLITE_MODEL_LOAD, sess, res);
}

static int tflite_unload(struct vaccel_session *sess, struct vaccel_resource *res)
{
    return note(VACCEL_OP_TFLITE_MODEL_UNLOAD, sess, res);
}

static int tflite_run(struct vaccel_session *sess, struct vaccel_resource *res,
                      struct vaccel_tflite_tensor *const *in, int nr_in,
                      struct vaccel_tflite_tensor **out, int nr_out, uint8_t *status)
{
    int ret = note(VACCEL_OP_TFLITE_MODEL_RUN, sess, res);
    recorder.numbers[0] = nr_in;
    recorder.numbers[1] = nr_out;
    if (!ret)
        ret = tflite_copies(in, nr_in, out, nr_out);
    if (status)
        *status = (uint8_t)(ret ? 1 : 0);
    return ret;
}

static int torch_load(struct vaccel_session *sess, struct vaccel_resource *res)
{
    return note(VACCEL_OP_TORCH_MODEL_LOAD, sess, res);
}

static int torch_run(struct vaccel_session *sess, struct vaccel_resource *res,
                     const struct vaccel_torch_buffer *options,
                     struct vaccel_torch_tensor *const *in, int nr_in,
                     struct vaccel_torch_tensor **out, int nr_out)
{
    int ret = note(VACCEL_OP_TORCH_MODEL_RUN, sess, res);
    recorder.pointers[0] = options;
    recorder.numbers[0] = nr_in;
    recorder.numbers[1] = nr_out;
    return ret ? ret : torch_copies(in, nr_in, out, nr_out);
}

static int torch_sgemm(struct vaccel_session *sess, struct vaccel_torch_tensor **a,
                       struct vaccel_torch_tensor **b, struct vaccel_torch_tensor **c, int m, int n,
                       int k, struct vaccel_torch_tensor **out)
{
    int ret = note(VACCEL_OP_TORCH_SGEMM, sess, NULL);
    recorder.pointers[0] = *a;
    recorder.pointers[1] = *b;
    recorder.numbers[0] = m;
    recorder.numbers[1] = n;
    recorder.numbers[2] = k;
    if (!ret)
        ret = torch_copies(c, 1, out, 1);
    if (!ret && (*c)->data_type == VACCEL_TORCH_FLOAT)
        add_product((float *)(*a)->data, (float *)(*b)->data, (float *)(*out)->data, (size_t)m,
                    (size_t)n, (size_t)k);
    return ret;
}

static struct vaccel_op ops[] = {
    VACCEL_OP_INIT(ops[0], VACCEL_OP_NOOP, noop),
    VACCEL_OP_INIT(ops[1], VACCEL_OP_EXEC, exec),
    VACCEL_OP_INIT(ops[2], VACCEL_OP_EXEC_WITH_RESOURCE, exec_with_resource),
    VACCEL_OP_INIT(ops[3], VACCEL_OP_IMAGE_CLASSIFY, classify),
    VACCEL_OP_INIT(ops[4], VACCEL_OP_IMAGE_DETECT, detect),
    VACCEL_OP_INIT(ops[5], VACCEL_OP_IMAGE_SEGMENT, segment),
    VACCEL_OP_INIT(ops[6], VACCEL_OP_IMAGE_POSE, pose),
    VACCEL_OP_INIT(ops[7], VACCEL_OP_IMAGE_DEPTH, depth),
    VACCEL_OP_INIT(ops[8], VACCEL_OP_TF_MODEL_LOAD, tf_load),
    VACCEL_OP_INIT(ops[9], VACCEL_OP_TF_MODEL_UNLOAD, tf_unload),
    VACCEL_OP_INIT(ops[10], VACCEL_OP_TF_MODEL_RUN, tf_run),
    VACCEL_OP_INIT(ops[11], VACCEL_OP_TFLITE_MODEL_LOAD, tflite_load),
    VACCEL_OP_INIT(ops[12], VACCEL_OP_TFLITE_MODEL_UNLOAD, tflite_unload),
    VACCEL_OP_INIT(ops[13], VACCEL_OP_TFLITE_MODEL_RUN, tflite_run),
    VACCEL_OP_INIT(ops[14], VACCEL_OP_TORCH_MODEL_LOAD, torch_load),
    VACCEL_OP_INIT(ops[15], VACCEL_OP_TORCH_MODEL_RUN, torch_run),
    VACCEL_OP_INIT(ops[16], VACCEL_OP_TORCH_SGEMM, torch_sgemm),
    VACCEL_OP_INIT(ops[17], VACCEL_OP_BLAS_SGEMM, sgemm),
    VACCEL_OP_INIT(ops[18], VACCEL_OP_FPGA_ARRAYCOPY, arraycopy),
    VACCEL_OP_INIT(ops[19], VACCEL_OP_FPGA_MMULT, mmult),
    VACCEL_OP_INIT(ops[20], VACCEL_OP_FPGA_PARALLEL, parallel),
    VACCEL_OP_INIT(ops[21], VACCEL_OP_FPGA_VECTORADD, vadd),
    VACCEL_OP_INIT(ops[22], VACCEL_OP_MINMAX, minmax),
    VACCEL_OP_INIT(ops[23], VACCEL_OP_OPENCV, opencv),
};

static int init(void)
{
    return vaccel_plugin_register_ops(ops, COUNT(ops));
}

static int fini(void)
{
    return VACCEL_OK;
}

static int session_init(struct vaccel_session *sess, uint32_t flags)
{
    (void)sess;
    (void)flags;
    recorder.sessions++;
    return VACCEL_OK;
}

static int session_release(struct vaccel_session *sess)
{
    (void)sess;
    recorder.sessions--;
    return VACCEL_OK;
}

static int resource_register(struct vaccel_resource *res, struct vaccel_session *sess)
{
    (void)res;
    (void)sess;
    __atomic_add_fetch(&recorder.registers, 1, __ATOMIC_SEQ_CST);
    return recorder.answer;
}

static int resource_unregister(struct vaccel_resource *res, struct vaccel_session *sess)
{
    (void)res;
    (void)sess;
    __atomic_add_fetch(&recorder.unregisters, 1, __ATOMIC_SEQ_CST);
    return VACCEL_OK;
}

/* Changes the first byte. */
static int resource_sync(struct vaccel_resource *res, struct vaccel_session *sess)
{
    (void)sess;
    recorder.syncs++;
    res->blobs[0]->data[0]++;
    return recorder.answer;
}

VACCEL_PLUGIN(.name = "recorder", .version = "1.0.0", .vaccel_version = VACCEL_VERSION,
              .type = VACCEL_PLUGIN_DEBUG, .init = init, .fini = fini,
              .session_init = session_init, .session_release = session_release,
              .resource_register = resource_register, .resource_unregister = resource_unregister,
              .resource_sync = resource_sync)
