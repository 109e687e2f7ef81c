/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multiplies two square matrices.
 *
 *     VACCEL_PLUGINS=/path/to/plugin.so ./fpga_mmult
 *     VACCEL_PLUGINS=/path/to/plugin.so ./fpga_mmult 64
 */
#include "example.h"

static bool right(const float *a, const float *b, const float *c, size_t rows)
{
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < rows; j++) {
            double sum = 0.0;
            for (size_t k = 0; k < rows; k++)
                sum += (double)a[i * rows + k] * (double)b[k * rows + j];
            /* All terms are positive, so that the error is relative to the sum. */
            double difference = (double)c[i * rows + j] - sum;
            if (!(difference <= 1e-4 * sum + 1e-6 && difference >= -1e-4 * sum - 1e-6)) {
                fprintf(stderr, "C[%zu][%zu] is %g, not %g\n", i, j, (double)c[i * rows + j], sum);
                return false;
            }
        }
    }
    example_print_floats("C", c, rows * rows);
    return true;
}

int main(int argc, char **argv)
{
    if (example_wrong_usage(argc, argv, 0, 1, "[ROWS]"))
        return EXAMPLE_USAGE;
    long n = 16;
    if (argc > 1 && !example_number(argv[1], 1, 2048, &n))
        return EXAMPLE_USAGE;

    int status = EXIT_FAILURE;
    size_t count = (size_t)n * (size_t)n;
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
    int ret = vaccel_fpga_mmult(&s.sess, a, b, c, count);
    if (ret)
        example_fail("mmult", ret);
    else if (right(a, b, c, (size_t)n))
        status = EXIT_SUCCESS;
    if (!example_close(&s))
        status = EXIT_FAILURE;
release:
    free(a);
    free(b);
    free(c);
    return status;
}
