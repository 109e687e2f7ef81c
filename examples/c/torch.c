/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a TorchScript model with one input of floats.
 *
 *     VACCEL_PLUGINS=libvaccel-torch.so ./torch model.pt 1x3x224x224
 *     VACCEL_PLUGINS=libvaccel-torch.so ./torch model.pt 1x3x224x224 100
 */
#include "example.h"

/* Runs the model once; VACCEL_OK or an error code. */
static int run(struct example_session *s, struct vaccel_torch_tensor *in, bool print)
{
    struct vaccel_torch_tensor *out = NULL;
    int ret = vaccel_torch_model_run(&s->sess, &s->model, NULL, &in, 1, &out, 1);
    if (ret)
        return ret;
    if (print) {
        char type[VACCEL_ENUM_STR_MAX];
        printf("output: %s, %lld dimensions, %zu bytes\n",
               vaccel_torch_data_type_to_str(out->data_type, type, sizeof(type)),
               (long long)out->nr_dims, out->size);
        if (out->data_type == VACCEL_TORCH_FLOAT)
            example_print_floats("values", out->data, out->size / sizeof(float));
    }
    return vaccel_torch_tensor_delete(out);
}

int main(int argc, char **argv)
{
    int64_t dims[8];
    long iterations = 1;
    if (example_wrong_usage(argc, argv, 2, 3, "MODEL SHAPE [ITERATIONS]"))
        return EXAMPLE_USAGE;
    size_t nr_dims = example_shape(argv[2], dims, 8);
    if (!nr_dims || (argc > 3 && !example_number(argv[3], 1, 1000000, &iterations)))
        return EXAMPLE_USAGE;

    int status = EXIT_FAILURE;
    struct example_session s;
    struct vaccel_torch_tensor *in = NULL;
    size_t count = example_elements(dims, nr_dims);
    float *values = example_ramp(count);
    if (!count || !values) {
        fprintf(stderr, "the shape is too large\n");
        goto free_values;
    }
    if (!example_open(&s, argv[1]))
        goto free_values;

    int ret = vaccel_torch_model_load(&s.sess, &s.model);
    if (ret) {
        example_fail("loading the model", ret);
        goto close;
    }
    ret = vaccel_torch_tensor_new(&in, (int64_t)nr_dims, dims, VACCEL_TORCH_FLOAT);
    if (!ret)
        ret = vaccel_torch_tensor_set_data(in, values, count * sizeof(*values));
    for (long i = 0; !ret && i < iterations; i++)
        ret = run(&s, in, i == 0);
    if (ret)
        example_fail("running the model", ret);
    else
        status = EXIT_SUCCESS;
    if (in)
        vaccel_torch_tensor_delete(in);
close:
    if (!example_close(&s))
        status = EXIT_FAILURE;
free_values:
    free(values);
    return status;
}
