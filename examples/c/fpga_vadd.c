/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Adds two arrays.
 *
 *     VACCEL_PLUGINS=/path/to/plugin.so ./fpga_vadd
 *     VACCEL_PLUGINS=/path/to/plugin.so ./fpga_vadd 1024
 */
#include "example.h"

static bool right(const float *a, const float *b, const float *c, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (c[i] != a[i] + b[i]) {
            fprintf(stderr, "sum %zu is %g, not %g\n", i, (double)c[i], (double)(a[i] + b[i]));
            return false;
        }
    }
    example_print_floats("sums", c, count);
    return true;
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
    float *a = example_ramp(count);
    float *b = example_ramp(count);
    float *c = calloc(count, sizeof(float));
    if (!(a && b && c)) {
        fprintf(stderr, "out of memory\n");
        goto release;
    }

    struct example_session s;
    if (!example_open(&s, NULL))
        goto release;
    int ret = vaccel_fpga_vadd(&s.sess, a, b, c, count, count);
    if (ret)
        example_fail("vadd", ret);
    else if (right(a, b, c, count))
        status = EXIT_SUCCESS;
    if (!example_close(&s))
        status = EXIT_FAILURE;
release:
    free(a);
    free(b);
    free(c);
    return status;
}
