/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls a function of a library with a structure that holds a pointer: the
 * structure travels in serialized form.
 *
 *     VACCEL_PLUGINS=libvaccel-exec.so ./exec_serialized ./libmytestlib.so
 */
#include "example.h"
#include "mytestlib.h"

#define NR_VALUES 5

/* Has the library double `in`; fills `out`, whose values the caller frees. */
static int call(struct vaccel_session *sess, const char *library, const struct series *in,
                struct series *out)
{
    /* Room for the serialized answer. */
    unsigned char answer[sizeof(uint32_t) + NR_VALUES * sizeof(int32_t)] = { 0 };
    struct vaccel_arg_array read, write;
    int ret = vaccel_arg_array_init(&read, 1);
    if (ret)
        return ret;
    ret = vaccel_arg_array_init(&write, 1);
    if (ret)
        goto release_read;
    ret = vaccel_arg_array_add_serialized(&read, VACCEL_ARG_BUFFER, 0, in, sizeof(*in),
                                          series_serialize);
    if (!ret)
        ret = vaccel_arg_array_add_buffer(&write, answer, sizeof(answer));
    if (!ret)
        ret = vaccel_exec(sess, library, "mytestfunc_serialized", vaccel_arg_array_raw(&read),
                          vaccel_arg_array_count(&read), vaccel_arg_array_raw(&write),
                          vaccel_arg_array_count(&write));
    if (!ret)
        ret = vaccel_arg_array_get_serialized(&write, VACCEL_ARG_BUFFER, 0, out, sizeof(*out),
                                              series_deserialize);
    vaccel_arg_array_release(&write);
release_read:
    vaccel_arg_array_release(&read);
    return ret;
}

int main(int argc, char **argv)
{
    if (example_wrong_usage(argc, argv, 1, 1, "LIBRARY"))
        return EXAMPLE_USAGE;

    struct example_session s;
    if (!example_open(&s, NULL))
        return EXIT_FAILURE;

    int32_t values[NR_VALUES] = { 1, 2, 3, 5, 8 };
    struct series in = { NR_VALUES, values };
    struct series out = { 0, NULL };
    bool right = false;
    int ret = call(&s.sess, argv[1], &in, &out);
    if (ret) {
        example_fail("exec", ret);
    } else {
        right = out.count == in.count;
        for (uint32_t i = 0; right && i < out.count; i++) {
            printf("%d -> %d\n", in.values[i], out.values[i]);
            right = right && out.values[i] == 2 * in.values[i];
        }
        if (!right)
            fprintf(stderr, "the answer is wrong\n");
        free(out.values);
    }
    return example_close(&s) && right ? EXIT_SUCCESS : EXIT_FAILURE;
}
