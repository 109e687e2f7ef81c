/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies an array of ints.
 *
 *     VACCEL_PLUGINS=/path/to/plugin.so ./fpga_arraycopy
 *     VACCEL_PLUGINS=/path/to/plugin.so ./fpga_arraycopy 1024
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
    int ret = vaccel_fpga_arraycopy(&s.sess, in, out, count);
    if (ret)
        example_fail("arraycopy", ret);
    else if (right(in, out, count))
        status = EXIT_SUCCESS;
    if (!example_close(&s))
        status = EXIT_FAILURE;
release:
    free(in);
    free(out);
    return status;
}
