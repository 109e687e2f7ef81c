/* SPDX-License-Identifier: Apache-2.0 */
/* Operations in generic form: right lists reach the plugin, wrong ones are refused. */
#include "recorder.h"

#define MAX_ARGS 16

static struct recorder *rec;
static struct vaccel_session sess;

/* Lists under construction. */
static struct vaccel_arg reads[MAX_ARGS], writes[MAX_ARGS];
static int nr_reads, nr_writes;
static uint8_t code;

static void begin(vaccel_op_type_t op)
{
    code = (uint8_t)op;
    reads[0] = (struct vaccel_arg){ &code, 1, VACCEL_ARG_UINT8, 0, false };
    nr_reads = 1;
    nr_writes = 0;
}

static void reading(vaccel_arg_type_t type, void *buf, size_t size)
{
    need(nr_reads < MAX_ARGS);
    reads[nr_reads++] = (struct vaccel_arg){ buf, size, type, 0, false };
}

static void writing(vaccel_arg_type_t type, void *buf, size_t size)
{
    need(nr_writes < MAX_ARGS);
    writes[nr_writes++] = (struct vaccel_arg){ buf, size, type, 0, false };
}

static int call(void)
{
    return vaccel_genop(&sess, reads, nr_reads, nr_writes ? writes : NULL, nr_writes);
}

/* Every list that lacks its last argument, of both lists, is refused without a call. */
static void refuses_fewer(vaccel_op_type_t op, const char *name)
{
    int calls = rec->calls[op];
    bool refused = true;
    for (int fewer = 1; fewer < nr_reads; fewer++)
        refused = refused &&
                  vaccel_genop(&sess, reads, fewer, writes, nr_writes) == VACCEL_EINVAL;
    for (int fewer = 0; fewer < nr_writes; fewer++)
        refused = refused && vaccel_genop(&sess, reads, nr_reads, writes, fewer) == VACCEL_EINVAL;
    ok(refused && rec->calls[op] == calls, name);
}

static void noop_and_codes(void)
{
    begin(VACCEL_OP_NOOP);
    ok_code(call(), VACCEL_OK, "noop works in generic form");
    ok(rec->calls[VACCEL_OP_NOOP] == 1, "and reaches the plugin");
    begin(VACCEL_OP_MAX);
    ok(call() != VACCEL_OK, "a code past the last is refused");
    begin((vaccel_op_type_t)255);
    ok(call() != VACCEL_OK, "the largest code too");
    begin(VACCEL_OP_NOOP);
    reads[0].type = VACCEL_ARG_INT64;
    ok_code(call(), VACCEL_EINVAL, "a code of another type is refused");
    begin(VACCEL_OP_NOOP);
    reads[0].buf = NULL;
    ok_code(call(), VACCEL_EINVAL, "a code that is NULL is refused");
    ok_code(vaccel_genop(&sess, NULL, 0, NULL, 0), VACCEL_EINVAL, "a code is needed");
    ok_code(vaccel_genop(&sess, NULL, 1, NULL, 0), VACCEL_EINVAL, "NULL is an error");
    ok_code(vaccel_genop(&sess, reads, -1, NULL, 0), VACCEL_EINVAL, "a negative number too");
    begin(VACCEL_OP_NOOP);
    ok_code(vaccel_genop(&sess, reads, 1, NULL, 3), VACCEL_EINVAL, "and write arguments of NULL");
    ok_code(vaccel_genop(NULL, reads, 1, NULL, 0), VACCEL_EINVAL, "and a session of NULL");
}

static void exec(void)
{
    char lib[] = "/lib/x.so", symbol[] = "function", endless[4] = { 'a', 'b', 'c', 'd' };
    int32_t in = 3, out = 0;
    struct vaccel_resource res;
    begin(VACCEL_OP_EXEC);
    reading(VACCEL_ARG_STRING, lib, sizeof(lib));
    reading(VACCEL_ARG_STRING, symbol, sizeof(symbol));
    refuses_fewer(VACCEL_OP_EXEC, "exec needs library and symbol");
    ok_code(call(), VACCEL_OK, "exec works without arguments");
    ok(rec->pointers[2] == NULL && rec->numbers[0] == 0, "which are NULL then");
    reading(VACCEL_ARG_INT32, &in, sizeof(in));
    writing(VACCEL_ARG_INT32, &out, sizeof(out));
    ok_code(call(), VACCEL_OK, "exec works with arguments");
    ok(!strcmp((const char *)rec->pointers[0], lib) &&
           !strcmp((const char *)rec->pointers[1], symbol) && rec->numbers[0] == 1 && out == 3,
       "which are passed through");
    begin(VACCEL_OP_EXEC);
    reading(VACCEL_ARG_STRING, lib, sizeof(lib));
    reading(VACCEL_ARG_STRING, endless, sizeof(endless));
    ok_code(call(), VACCEL_EINVAL, "a string without its zero is refused");
    begin(VACCEL_OP_EXEC);
    reading(VACCEL_ARG_BUFFER, lib, sizeof(lib));
    reading(VACCEL_ARG_STRING, symbol, sizeof(symbol));
    ok_code(call(), VACCEL_EINVAL, "a buffer is no string");

    need(!vaccel_resource_init_from_buf(&res, lib, 4, VACCEL_RESOURCE_LIB, NULL, true));
    need(!vaccel_resource_register(&res, &sess));
    begin(VACCEL_OP_EXEC_WITH_RESOURCE);
    reading(VACCEL_ARG_INT64, &res.id, sizeof(res.id));
    reading(VACCEL_ARG_STRING, symbol, sizeof(symbol));
    reading(VACCEL_ARG_INT32, &in, sizeof(in));
    writing(VACCEL_ARG_INT32, &out, sizeof(out));
    in = 4;
    ok_code(call(), VACCEL_OK, "exec with a resource works");
    ok(rec->resource == &res && out == 4, "with the resource of that number");
    int64_t nobody = 123456;
    reads[1].buf = &nobody;
    ok(call() != VACCEL_OK, "a number of no resource is refused");
    vaccel_resource_release(&res);
}

static void image(void)
{
    char picture[] = "a picture";
    unsigned char name[32] = "", text[32] = "";
    begin(VACCEL_OP_IMAGE_CLASSIFY);
    reading(VACCEL_ARG_BUFFER, picture, sizeof(picture));
    writing(VACCEL_ARG_UCHAR_ARRAY, name, sizeof(name));
    writing(VACCEL_ARG_UCHAR_ARRAY, text, sizeof(text));
    ok_code(call(), VACCEL_OK, "classification works");
    ok(!strcmp((char *)name, "cat.png") && !strcmp((char *)text, "a cat"),
       "the name of the picture comes first");
    nr_reads = 1;
    ok_code(call(), VACCEL_EINVAL, "classification needs a picture");
    nr_reads = 2;
    nr_writes = 1;
    ok(call() == VACCEL_OK && rec->pointers[1] == NULL && rec->pointers[2] == name,
       "the text may be left out");
    nr_writes = 2;
    writing(VACCEL_ARG_UCHAR_ARRAY, text, sizeof(text));
    ok_code(call(), VACCEL_EINVAL, "and no others");

    vaccel_op_type_t ops[] = { VACCEL_OP_IMAGE_DETECT, VACCEL_OP_IMAGE_SEGMENT,
                               VACCEL_OP_IMAGE_POSE, VACCEL_OP_IMAGE_DEPTH };
    for (size_t i = 0; i < COUNT(ops); i++) {
        char wanted[32];
        snprintf(wanted, sizeof(wanted), "picture%d.png", (int)ops[i]);
        begin(ops[i]);
        reading(VACCEL_ARG_BUFFER, picture, sizeof(picture));
        writing(VACCEL_ARG_UCHAR_ARRAY, name, sizeof(name));
        ok(call() == VACCEL_OK && !strcmp((char *)name, wanted), "an operation on a picture works");
        reads[1].type = VACCEL_ARG_STRING;
        ok_code(call(), VACCEL_EINVAL, "with a buffer only");
    }
}

static void sgemm(void)
{
    int64_t m = 1, n = 1, k = 1, lda = 1, ldb = 1, ldc = 1;
    float alpha = 2, beta = 3, a = 5, b = 7, c = 11;
    begin(VACCEL_OP_BLAS_SGEMM);
    reading(VACCEL_ARG_INT64, &m, 8);
    reading(VACCEL_ARG_INT64, &n, 8);
    reading(VACCEL_ARG_INT64, &k, 8);
    reading(VACCEL_ARG_FLOAT32, &alpha, 4);
    reading(VACCEL_ARG_FLOAT32_ARRAY, &a, 4);
    reading(VACCEL_ARG_INT64, &lda, 8);
    reading(VACCEL_ARG_FLOAT32_ARRAY, &b, 4);
    reading(VACCEL_ARG_INT64, &ldb, 8);
    reading(VACCEL_ARG_FLOAT32, &beta, 4);
    reading(VACCEL_ARG_INT64, &ldc, 8);
    writing(VACCEL_ARG_FLOAT32_ARRAY, &c, 4);
    ok_code(call(), VACCEL_OK, "sgemm works");
    ok(c == 103.0f, "with C read and written");
    refuses_fewer(VACCEL_OP_BLAS_SGEMM, "sgemm needs all eleven arguments");
    m = 2;
    ok_code(call(), VACCEL_EINVAL, "matrices smaller than their dimensions are refused");
    m = 1;
    reads[1].type = VACCEL_ARG_INT32;
    ok_code(call(), VACCEL_EINVAL, "a number of another type is refused");
}

/* What lies behind a write argument that is too short must stay as it is. */
static void fpga(void)
{
    int ints[4] = { 1, 2, 3, 4 }, out[4] = { 0, 0, 9, 9 };
    float a[4] = { 1, 2, 3, 4 }, b[4] = { 10, 20, 30, 40 };
    float c[4] = { 9, 9, 9, 9 }, d[4] = { 9, 9, 9, 9 };

    begin(VACCEL_OP_FPGA_ARRAYCOPY);
    reading(VACCEL_ARG_INT32_ARRAY, ints, 16);
    writing(VACCEL_ARG_INT32_ARRAY, out, 8);
    ok_code(call(), VACCEL_EINVAL, "arraycopy refuses a short copy");
    ok(out[0] == 0 && out[2] == 9, "and writes nothing");
    writes[0].size = 16;
    ok(call() == VACCEL_OK && out[3] == 4 && rec->numbers[0] == 4, "arraycopy works");
    reads[1].type = VACCEL_ARG_BUFFER;
    ok_code(call(), VACCEL_OK, "with any type");
    refuses_fewer(VACCEL_OP_FPGA_ARRAYCOPY, "arraycopy needs both arrays");

    begin(VACCEL_OP_FPGA_VECTORADD);
    reading(VACCEL_ARG_FLOAT32_ARRAY, a, 16);
    reading(VACCEL_ARG_FLOAT32_ARRAY, b, 16);
    writing(VACCEL_ARG_FLOAT32_ARRAY, c, 12);
    ok(call() == VACCEL_EINVAL && c[0] == 9.0f && c[3] == 9.0f, "vadd refuses a short sum");
    writes[0].size = 16;
    ok(call() == VACCEL_OK && c[3] == 44.0f, "vadd works");
    refuses_fewer(VACCEL_OP_FPGA_VECTORADD, "vadd needs all arrays");

    begin(VACCEL_OP_FPGA_MMULT);
    reading(VACCEL_ARG_FLOAT32_ARRAY, a, 16);
    reading(VACCEL_ARG_FLOAT32_ARRAY, b, 12);
    writing(VACCEL_ARG_FLOAT32_ARRAY, c, 16);
    ok_code(call(), VACCEL_EINVAL, "mmult refuses a short matrix");
    reads[2].size = 16;
    ok(call() == VACCEL_OK && c[3] == 220.0f, "mmult works");
    refuses_fewer(VACCEL_OP_FPGA_MMULT, "mmult needs all matrices");

    begin(VACCEL_OP_FPGA_PARALLEL);
    reading(VACCEL_ARG_FLOAT32_ARRAY, a, 16);
    reading(VACCEL_ARG_FLOAT32_ARRAY, b, 16);
    writing(VACCEL_ARG_FLOAT32_ARRAY, c, 16);
    writing(VACCEL_ARG_FLOAT32_ARRAY, d, 8);
    ok(call() == VACCEL_EINVAL && d[0] == 9.0f && d[2] == 9.0f, "parallel refuses a short product");
    writes[1].size = 16;
    ok(call() == VACCEL_OK && c[0] == 11.0f && d[1] == 40.0f, "parallel works");
    refuses_fewer(VACCEL_OP_FPGA_PARALLEL, "parallel needs all arrays");
}

static void minmax(void)
{
    double in[3] = { 1, 2, 3 }, out[3] = { 9, 9, 9 }, min = 0, max = 0;
    int n = 3, low = 0, high = 5;
    begin(VACCEL_OP_MINMAX);
    reading(VACCEL_ARG_FLOAT64_ARRAY, in, sizeof(in));
    reading(VACCEL_ARG_INT32, &n, 4);
    reading(VACCEL_ARG_INT32, &low, 4);
    reading(VACCEL_ARG_INT32, &high, 4);
    writing(VACCEL_ARG_FLOAT64_ARRAY, out, sizeof(out));
    writing(VACCEL_ARG_FLOAT64, &min, 8);
    writing(VACCEL_ARG_FLOAT64, &max, 8);
    ok(call() == VACCEL_OK && min == 1.0 && max == 3.0 && out[2] == 3.0, "minmax works");
    refuses_fewer(VACCEL_OP_MINMAX, "minmax needs all seven arguments");
    n = 4;
    ok_code(call(), VACCEL_EINVAL, "more numbers than there are are refused");
    n = -1;
    ok_code(call(), VACCEL_EINVAL, "a negative number of them too");
    n = 3;
    writes[0].size = 16;
    ok_code(call(), VACCEL_EINVAL, "room for fewer is refused");
    writes[0].size = sizeof(out);
    writes[1].size = 4;
    ok_code(call(), VACCEL_EINVAL, "and room for half a minimum");
    writes[1].size = 8;
    reads[2].size = 2;
    ok_code(call(), VACCEL_EINVAL, "and half a number");
}

static void others(void)
{
    int32_t in = 6, out = 0;
    begin(VACCEL_OP_OPENCV);
    reading(VACCEL_ARG_INT32, &in, 4);
    writing(VACCEL_ARG_INT32, &out, 4);
    ok(call() == VACCEL_OK && out == 6, "opencv works");
    nr_reads = 1;
    ok_code(call(), VACCEL_EINVAL, "with at least one argument");

    vaccel_op_type_t typed_only[] = { VACCEL_OP_TF_MODEL_RUN, VACCEL_OP_TFLITE_MODEL_RUN,
                                      VACCEL_OP_TORCH_MODEL_RUN };
    for (size_t i = 0; i < COUNT(typed_only); i++) {
        begin(typed_only[i]);
        int calls = rec->calls[typed_only[i]];
        ok(call() != VACCEL_OK && rec->calls[typed_only[i]] == calls,
           "models of a framework are not called with nothing");
    }
}

int main(void)
{
    rec = recorder_find();
    need(!vaccel_session_init(&sess, 0));
    noop_and_codes();
    exec();
    image();
    sgemm();
    fpga();
    minmax();
    others();
    vaccel_session_release(&sess);
    begin(VACCEL_OP_NOOP);
    ok_code(call(), VACCEL_EINVAL, "a closed session is an error");
    return tap_done();
}
