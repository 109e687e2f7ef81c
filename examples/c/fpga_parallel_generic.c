/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Adds and multiplies two arrays, with the generic form of the operation.
 *
 *     VACCEL_PLUGINS=/path/to/plugin.so ./fpga_parallel_generic
 *     VACCEL_PLUGINS=/path/to/plugin.so ./fpga_parallel_generic 1024
 */
#include "example.h"

static bool right(const float *a, const float *b, const float *sums, const float *products,
                  size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (sums[i] != a[i] + b[i] || products[i] != a[i] * b[i]) {
            fprintf(stderr, "of %g and %g, the sum is not %g or the product not %g\n",
                    (double)a[i], (double)b[i], (double)sums[i], (double)products[i]);
            return false;
        }
    }
    example_print_floats("sums", sums, count);
    example_print_floats("products", products, count);
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
    float *sums = calloc(count, sizeof(float));
    float *products = calloc(count, sizeof(float));
    if (!(a && b && sums && products)) {
        fprintf(stderr, "out of memory\n");
        goto release;
    }

    struct example_session s;
    if (!example_open(&s, NULL))
        goto release;
    struct example_call call;
    int ret = example_call_init(&call, VACCEL_OP_FPGA_PARALLEL);
    if (!ret)
        ret = vaccel_arg_array_add_float_array(&call.read, a, count);
    if (!ret)
        ret = vaccel_arg_array_add_float_array(&call.read, b, count);
    if (!ret)
        ret = vaccel_arg_array_add_float_array(&call.write, sums, count);
    if (!ret)
        ret = vaccel_arg_array_add_float_array(&call.write, products, count);
    if (!ret)
        ret = example_call_run(&call, &s.sess);
    if (ret)
        example_fail("parallel", ret);
    else if (right(a, b, sums, products, count))
        status = EXIT_SUCCESS;
    example_call_release(&call);
    if (!example_close(&s))
        status = EXIT_FAILURE;
release:
    free(a);
    free(b);
    free(sums);
    free(products);
    return status;
}
