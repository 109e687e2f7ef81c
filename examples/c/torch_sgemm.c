/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multiplies two matrices with Torch, and compares with the result of a plain loop.
 *
 *     VACCEL_PLUGINS=libvaccel-torch.so ./torch_sgemm
 *     VACCEL_PLUGINS=libvaccel-torch.so ./torch_sgemm 512 512 512 10
 */
#include "sgemm.h"

/* Makes a tensor that uses the floats of a matrix. */
static int matrix(struct vaccel_torch_tensor **tensor, int64_t rows, int64_t columns, float *data)
{
    int64_t dims[2] = { rows, columns };
    int ret = vaccel_torch_tensor_new(tensor, 2, dims, VACCEL_TORCH_FLOAT);
    if (ret)
        return ret;
    ret = vaccel_torch_tensor_set_data(*tensor, data, (size_t)(rows * columns) * sizeof(float));
    if (ret) {
        vaccel_torch_tensor_delete(*tensor);
        *tensor = NULL;
    }
    return ret;
}

/* Takes the result over. */
static int take(struct sgemm *g, const struct vaccel_torch_tensor *out)
{
    size_t size = (size_t)(g->m * g->n) * sizeof(float);
    if (out->size != size)
        return VACCEL_ERANGE;
    memcpy(g->c, out->data, size);
    return VACCEL_OK;
}

int main(int argc, char **argv)
{
    struct sgemm g;
    if (example_wrong_usage(argc, argv, 0, 4, "[M [N [K [ITERATIONS]]]]") ||
        !sgemm_parse(&g, argc, argv))
        return EXAMPLE_USAGE;
    if (!sgemm_allocate(&g))
        return EXIT_FAILURE;

    int status = EXIT_FAILURE;
    struct vaccel_torch_tensor *a = NULL, *b = NULL, *c = NULL;
    struct example_session s;
    if (!example_open(&s, NULL))
        goto release;

    int ret = matrix(&a, g.m, g.k, g.a);
    if (!ret)
        ret = matrix(&b, g.k, g.n, g.b);
    if (!ret)
        ret = matrix(&c, g.m, g.n, g.c);
    uint64_t start = example_now();
    for (long i = 0; !ret && i < g.iterations; i++) {
        struct vaccel_torch_tensor *out = NULL;
        ret = vaccel_torch_sgemm(&s.sess, &a, &b, &c, (int)g.m, (int)g.n, (int)g.k, &out);
        /* C, which is added to the product, is zero until the last result is taken over. */
        if (!ret && i + 1 == g.iterations)
            ret = take(&g, out);
        if (out)
            vaccel_torch_tensor_delete(out);
    }
    uint64_t time = example_now() - start;
    if (ret)
        example_fail("torch sgemm", ret);
    else if (sgemm_report(&g, time))
        status = EXIT_SUCCESS;

    if (a)
        vaccel_torch_tensor_delete(a);
    if (b)
        vaccel_torch_tensor_delete(b);
    if (c)
        vaccel_torch_tensor_delete(c);
    if (!example_close(&s))
        status = EXIT_FAILURE;
release:
    sgemm_release(&g);
    return status;
}
