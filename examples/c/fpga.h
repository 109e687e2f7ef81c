/* SPDX-License-Identifier: Apache-2.0 */
/* What the programs for operations of FPGA plugins share: the arrays and the checks. */
#ifndef EXAMPLE_FPGA_H
#define EXAMPLE_FPGA_H

#include "example.h"

/* Arrays of `count` elements; `c`, `d` and `copy` take results. */
struct fpga {
    struct vaccel_session *sess;
    size_t rows; /* of a square matrix; `count` is its square */
    size_t count;
    float *a, *b, *c, *d;
    int *ints, *copy;
};

/* The operation on `a` and `b` in generic form, with the result in `c`, and `d` when there are two. */
static inline int fpga_generic(struct fpga *f, vaccel_op_type_t op, int results)
{
    struct example_call call;
    int ret = example_call_init(&call, op);
    if (!ret)
        ret = vaccel_arg_array_add_float_array(&call.read, f->a, f->count);
    if (!ret)
        ret = vaccel_arg_array_add_float_array(&call.read, f->b, f->count);
    if (!ret)
        ret = vaccel_arg_array_add_float_array(&call.write, f->c, f->count);
    if (!ret && results > 1)
        ret = vaccel_arg_array_add_float_array(&call.write, f->d, f->count);
    if (!ret)
        ret = example_call_run(&call, f->sess);
    example_call_release(&call);
    return ret;
}

/* Each of these prints the result; false, with a message, when it is wrong. */

static inline bool fpga_copied(const struct fpga *f)
{
    if (!memcmp(f->ints, f->copy, f->count * sizeof(*f->ints))) {
        printf("%zu ints are copied\n", f->count);
        return true;
    }
    fprintf(stderr, "the copy differs\n");
    return false;
}

static inline bool fpga_added(const struct fpga *f)
{
    for (size_t i = 0; i < f->count; i++) {
        float sum = f->a[i] + f->b[i];
        if (f->c[i] != sum) {
            fprintf(stderr, "sum %zu is %g, not %g\n", i, (double)f->c[i], (double)sum);
            return false;
        }
    }
    example_print_floats("sums", f->c, f->count);
    return true;
}

static inline bool fpga_added_and_multiplied(const struct fpga *f)
{
    for (size_t i = 0; i < f->count; i++) {
        if (f->d[i] != f->a[i] * f->b[i]) {
            fprintf(stderr, "product %zu is %g, not %g\n", i, (double)f->d[i],
                    (double)(f->a[i] * f->b[i]));
            return false;
        }
    }
    if (!fpga_added(f))
        return false;
    example_print_floats("products", f->d, f->count);
    return true;
}

static inline bool fpga_multiplied(const struct fpga *f)
{
    size_t n = f->rows;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            double sum = 0.0;
            for (size_t k = 0; k < n; k++)
                sum += (double)f->a[i * n + k] * (double)f->b[k * n + j];
            /* All terms are positive, so that the error is relative to the sum. */
            double got = (double)f->c[i * n + j];
            if (!(got - sum <= 1e-4 * sum + 1e-6 && sum - got <= 1e-4 * sum + 1e-6)) {
                fprintf(stderr, "C[%zu][%zu] is %g, not %g\n", i, j, got, sum);
                return false;
            }
        }
    }
    example_print_floats("C", f->c, f->count);
    return true;
}

/* Makes the arrays, makes the call and checks the result. */
static inline int fpga_main(int argc, char **argv, const char *what, bool square,
                            int (*call)(struct fpga *), bool (*right)(const struct fpga *))
{
    if (example_wrong_usage(argc, argv, 0, 1, square ? "[ROWS]" : "[COUNT]"))
        return EXAMPLE_USAGE;
    long n = 16;
    if (argc > 1 && !example_number(argv[1], 1, square ? 2048 : 1L << 24, &n))
        return EXAMPLE_USAGE;

    int status = EXIT_FAILURE;
    struct fpga f = { .rows = (size_t)n, .count = square ? (size_t)n * (size_t)n : (size_t)n };
    f.a = example_ramp(f.count);
    f.b = example_ramp(f.count);
    f.c = calloc(f.count, sizeof(*f.c));
    f.d = calloc(f.count, sizeof(*f.d));
    f.ints = calloc(f.count, sizeof(*f.ints));
    f.copy = calloc(f.count, sizeof(*f.copy));
    if (!(f.a && f.b && f.c && f.d && f.ints && f.copy)) {
        fprintf(stderr, "out of memory\n");
        goto release;
    }
    for (size_t i = 0; i < f.count; i++)
        f.ints[i] = (int)i;

    struct example_session s;
    if (!example_open(&s, NULL))
        goto release;
    f.sess = &s.sess;
    int ret = call(&f);
    if (ret)
        example_fail(what, ret);
    else if (right(&f))
        status = EXIT_SUCCESS;
    if (!example_close(&s))
        status = EXIT_FAILURE;
release:
    free(f.a);
    free(f.b);
    free(f.c);
    free(f.d);
    free(f.ints);
    free(f.copy);
    return status;
}

#endif /* EXAMPLE_FPGA_H */
