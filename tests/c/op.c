/* SPDX-License-Identifier: Apache-2.0 */
/* Typed calls: every argument reaches the plugin, every answer the caller. */
#include "recorder.h"

static struct recorder *rec;
static struct vaccel_session sess;

static void noop(void)
{
    rec->calls[VACCEL_OP_NOOP] = 0;
    ok_code(vaccel_noop(&sess), VACCEL_OK, "noop is called");
    ok(rec->calls[VACCEL_OP_NOOP] == 1 && rec->session == &sess, "with its session");
    rec->answer = VACCEL_ENOSPC;
    ok_code(vaccel_noop(&sess), VACCEL_ENOSPC, "the error of a plugin is returned");
    ok(strstr(vaccel_error_message(), "told to fail") != NULL, "with what the plugin said");
    rec->answer = VACCEL_OK;
    ok_code(vaccel_noop(NULL), VACCEL_EINVAL, "NULL is an error");
}

static void exec(void)
{
    struct vaccel_resource lib, data;
    char bytes[] = "not a library";
    int32_t in = 7, out = 0;
    struct vaccel_arg read = { &in, sizeof(in), VACCEL_ARG_INT32, 0, false };
    struct vaccel_arg write = { &out, sizeof(out), VACCEL_ARG_INT32, 0, false };

    ok_code(vaccel_exec(&sess, "/lib/x.so", "function", &read, 1, &write, 1), VACCEL_OK,
            "exec is called");
    ok(!strcmp((const char *)rec->pointers[0], "/lib/x.so") &&
           !strcmp((const char *)rec->pointers[1], "function") && rec->pointers[2] == &read &&
           rec->pointers[3] == &write && rec->numbers[0] == 1 && rec->numbers[1] == 1,
       "with its arguments");
    ok(out == 7, "which are written");
    ok_code(vaccel_exec(&sess, "/lib/x.so", "function", NULL, 0, NULL, 0), VACCEL_OK,
            "there may be no arguments");
    ok_code(vaccel_exec(&sess, NULL, "function", NULL, 0, NULL, 0), VACCEL_EINVAL,
            "a library must be named");
    ok_code(vaccel_exec(&sess, "", "function", NULL, 0, NULL, 0), VACCEL_EINVAL,
            "with more than nothing");
    ok_code(vaccel_exec(&sess, "/lib/x.so", NULL, NULL, 0, NULL, 0), VACCEL_EINVAL,
            "a function must be named");
    ok_code(vaccel_exec(&sess, "/lib/x.so", "function", NULL, 1, NULL, 0), VACCEL_EINVAL,
            "arguments that are NULL are an error");

    need(!vaccel_resource_init_from_buf(&lib, bytes, 4, VACCEL_RESOURCE_LIB, NULL, true));
    need(!vaccel_resource_init_from_buf(&data, bytes, 4, VACCEL_RESOURCE_DATA, NULL, true));
    ok_code(vaccel_exec_with_resource(&sess, &lib, "function", &read, 1, &write, 1), VACCEL_EPERM,
            "a library must be registered");
    need(!vaccel_resource_register(&lib, &sess) && !vaccel_resource_register(&data, &sess));
    in = 8;
    ok_code(vaccel_exec_with_resource(&sess, &lib, "function", &read, 1, &write, 1), VACCEL_OK,
            "exec with a resource is called");
    ok(rec->resource == &lib && out == 8, "with that resource");
    ok_code(vaccel_exec_with_resource(&sess, &data, "function", &read, 1, &write, 1),
            VACCEL_EINVAL, "data are no library");
    ok_code(vaccel_exec_with_resource(&sess, NULL, "function", &read, 1, &write, 1),
            VACCEL_EINVAL, "NULL is an error");
    vaccel_resource_release(&data);
    vaccel_resource_release(&lib);
}

static void image(void)
{
    char picture[] = "a picture";
    unsigned char text[32] = "", name[32] = "";
    ok_code(vaccel_image_classification(&sess, picture, text, name, 9, sizeof(text), sizeof(name)),
            VACCEL_OK, "classification is called");
    ok(rec->pointers[0] == picture && rec->numbers[0] == 9 && rec->numbers[1] == 32 &&
           !strcmp((char *)text, "a cat") && !strcmp((char *)name, "cat.png"),
       "with seven arguments");
    ok_code(vaccel_image_classification(&sess, picture, NULL, name, 9, 0, sizeof(name)), VACCEL_OK,
            "without room for text");
    ok(rec->pointers[1] == NULL && rec->pointers[2] == name && rec->numbers[0] == 9 &&
           rec->numbers[1] == 0 && rec->numbers[2] == 32,
       "all seven are passed too");
    ok_code(vaccel_image_classification(&sess, NULL, text, name, 9, 32, 32), VACCEL_EINVAL,
            "no picture is an error");

    struct {
        int (*function)(struct vaccel_session *, const void *, unsigned char *, size_t, size_t);
        const char *answer;
    } calls[] = {
        { vaccel_image_detection, "picture4.png" },
        { vaccel_image_segmentation, "picture5.png" },
        { vaccel_image_pose, "picture6.png" },
        { vaccel_image_depth, "picture7.png" },
    };
    for (size_t i = 0; i < COUNT(calls); i++) {
        memset(name, 0, sizeof(name));
        ok_code(calls[i].function(&sess, picture, name, 9, sizeof(name)), VACCEL_OK,
                "an operation on a picture is called");
        ok(!strcmp((char *)name, calls[i].answer) && rec->numbers[0] == 9 && rec->numbers[1] == 32,
           "the right one");
        ok_code(calls[i].function(&sess, NULL, name, 9, sizeof(name)), VACCEL_EINVAL,
                "no picture is an error");
    }
}

static void numbers(void)
{
    float a[4] = { 2, 3, 4, 5 }, b[6] = { 10, 20, 30, 40, 50, 60 }, c[4] = { 1, 1, 1, 1 }, d[4] = { 0 };
    int ints[3] = { 1, 2, 3 }, copy[3] = { 0 };
    double reals[3] = { -1.5, 0.5, 9 }, clipped[3] = { 0 }, min = 0, max = 0;

    ok_code(vaccel_sgemm(&sess, 1, 2, 3, 0.5f, a, 4, b, 2, 3.0f, c, 6), VACCEL_OK,
            "sgemm is called");
    ok(rec->numbers[0] == 1 && rec->numbers[1] == 2 && rec->numbers[2] == 3 &&
           rec->numbers[3] == 4 && rec->numbers[4] == 2 && rec->numbers[5] == 6 &&
           rec->reals[0] == 0.5 && rec->reals[1] == 3.0 && rec->pointers[0] == a &&
           rec->pointers[1] == b && rec->pointers[2] == c && c[0] == 158.0f,
       "with eleven arguments");
    ok_code(vaccel_sgemm(&sess, 1, 1, 1, 1, NULL, 1, b, 1, 0, c, 1), VACCEL_EINVAL,
            "a matrix that is NULL is an error");

    ok_code(vaccel_fpga_arraycopy(&sess, ints, copy, 3), VACCEL_OK, "arraycopy is called");
    ok(copy[2] == 3 && rec->numbers[0] == 3, "with its arrays");
    ok_code(vaccel_fpga_mmult(&sess, a, b, c, 4), VACCEL_OK, "mmult is called");
    ok(c[3] == 280.0f && rec->numbers[0] == 4, "with its matrices");
    ok_code(vaccel_fpga_parallel(&sess, a, b, c, d, 4), VACCEL_OK, "parallel is called");
    ok(c[1] == 23.0f && d[1] == 60.0f, "with its arrays");
    ok_code(vaccel_fpga_vadd(&sess, a, b, c, 4, 4), VACCEL_OK, "vadd is called");
    ok(c[2] == 34.0f && rec->numbers[0] == 4 && rec->numbers[1] == 4, "with its arrays");
    ok_code(vaccel_fpga_vadd(&sess, NULL, b, c, 4, 4), VACCEL_EINVAL, "NULL is an error");
    ok_code(vaccel_fpga_arraycopy(&sess, ints, NULL, 3), VACCEL_EINVAL, "for the copy too");

    ok_code(vaccel_minmax(&sess, reals, 3, -1, 2, clipped, &min, &max), VACCEL_OK,
            "minmax is called");
    ok(rec->numbers[0] == 3 && rec->numbers[1] == -1 && rec->numbers[2] == 2 && min == -1.5 &&
           max == 9.0 && clipped[0] == -1.0 && clipped[1] == 0.5 && clipped[2] == 2.0,
       "with its numbers");
    ok_code(vaccel_minmax(&sess, reals, 3, -1, 2, clipped, NULL, &max), VACCEL_EINVAL,
            "NULL is an error");
}

static void opencv(void)
{
    int32_t in = 5, out = 0;
    struct vaccel_arg read = { &in, sizeof(in), VACCEL_ARG_INT32, 0, false };
    struct vaccel_arg write = { &out, sizeof(out), VACCEL_ARG_INT32, 0, false };
    ok_code(vaccel_opencv_unpack(&sess, &read, 1, &write, 1), VACCEL_OK, "opencv is called");
    ok(rec->calls[VACCEL_OP_OPENCV] == 1 && out == 5, "with its arguments");
    ok_code(vaccel_opencv_unpack(&sess, NULL, 1, &write, 1), VACCEL_EINVAL, "NULL is an error");
    ok_code(vaccel_opencv_unpack(&sess, &read, -1, &write, 1), VACCEL_EINVAL,
            "a negative number is an error");
}

int main(void)
{
    rec = recorder_find();
    need(!vaccel_session_init(&sess, 0));
    noop();
    exec();
    image();
    numbers();
    opencv();
    bool all = true;
    for (int op = 0; op < VACCEL_OP_MAX; op++)
        all = all && (rec->calls[op] || (op >= VACCEL_OP_TF_MODEL_LOAD && op <= VACCEL_OP_TORCH_SGEMM));
    ok(all, "every operation without a model was called");
    ok_code(vaccel_session_release(&sess), VACCEL_OK, "the session is closed");
    return tap_done();
}
