/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies an array of ints, with the generic form of the operation.
 *
 *     VACCEL_PLUGINS=/path/to/plugin.so ./fpga_arraycopy_generic
 *     VACCEL_PLUGINS=/path/to/plugin.so ./fpga_arraycopy_generic 1024
 */
#include "example.h"

static bool right(const int *in, const int *out, size_t count)
{
    if (!memcmp(in, out, count * sizeof(*in))) {
        printf("%zu ints are copied\n", count);
        return true;
    }
    fprintf(stderr, "the copy differs\n");
    return false;
}

int main(int argc, char **argv)
{
    if (example_wrong_usage(argc, argv, 0, 1, "[COUNT]"))
        return EXAMPLE_USAGE;
    long n = 16;
    if (argc > 1 && !example_number(argv[1], 1, 1L << 24, &n))
        return EXAMPLE_USAGE;

    int status = EXIT_FAILURE;
    size_t count = (size_t)n;
    int *in = calloc(count, sizeof(int));
    int *out = calloc(count, sizeof(int));
    if (!(in && out)) {
        fprintf(stderr, "out of memory\n");
        goto release;
    }
    for (size_t i = 0; i < count; i++)
        in[i] = (int)i;

    struct example_session s;
    if (!example_open(&s, NULL))
        goto release;
    struct example_call call;
    int ret = example_call_init(&call, VACCEL_OP_FPGA_ARRAYCOPY);
    if (!ret)
        ret = vaccel_arg_array_add_int32_array(&call.read, in, count);
    if (!ret)
        ret = vaccel_arg_array_add_int32_array(&call.write, out, count);
    if (!ret)
        ret = example_call_run(&call, &s.sess);
    if (ret)
        example_fail("arraycopy", ret);
    else if (right(in, out, count))
        status = EXIT_SUCCESS;
    example_call_release(&call);
    if (!example_close(&s))
        status = EXIT_FAILURE;
release:
    free(in);
    free(out);
    return status;
}
