/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a TFLite model with one input of floats.
 *
 *     VACCEL_PLUGINS=libvaccel-tflite.so ./tflite model.tflite 1x224x224x3
 *     VACCEL_PLUGINS=libvaccel-tflite.so ./tflite model.tflite 1x224x224x3 100
 */
#include "example.h"

/* Runs the model once; VACCEL_OK or an error code. */
static int run(struct example_session *s, struct vaccel_tflite_tensor *in, bool print)
{
    uint8_t status = 0;
    struct vaccel_tflite_tensor *out = NULL;
    int ret = vaccel_tflite_model_run(&s->sess, &s->model, &in, 1, &out, 1, &status);
    if (status)
        fprintf(stderr, "TFLite says: status %d\n", status);
    if (ret)
        return ret;
    if (print) {
        char type[VACCEL_ENUM_STR_MAX];
        printf("output: %s, %d dimensions, %zu bytes\n",
               vaccel_tflite_data_type_to_str(out->data_type, type, sizeof(type)), out->nr_dims,
               out->size);
        if (out->data_type == VACCEL_TFLITE_FLOAT32)
            example_print_floats("values", out->data, out->size / sizeof(float));
    }
    return vaccel_tflite_tensor_delete(out);
}

int main(int argc, char **argv)
{
    int64_t dims[8];
    int32_t short_dims[8];
    long iterations = 1;
    if (example_wrong_usage(argc, argv, 2, 3, "MODEL SHAPE [ITERATIONS]"))
        return EXAMPLE_USAGE;
    size_t nr_dims = example_shape(argv[2], dims, 8);
    if (!nr_dims || (argc > 3 && !example_number(argv[3], 1, 1000000, &iterations)))
        return EXAMPLE_USAGE;

    int status = EXIT_FAILURE;
    struct example_session s;
    struct vaccel_tflite_tensor *in = NULL;
    size_t count = example_elements(dims, nr_dims);
    float *values = count > INT32_MAX ? NULL : example_ramp(count);
    if (!count || !values) {
        fprintf(stderr, "the shape is too large\n");
        goto free_values;
    }
    for (size_t i = 0; i < nr_dims; i++)
        short_dims[i] = (int32_t)dims[i];
    if (!example_open(&s, argv[1]))
        goto free_values;

    int ret = vaccel_tflite_model_load(&s.sess, &s.model);
    if (ret) {
        example_fail("loading the model", ret);
        goto close;
    }
    ret = vaccel_tflite_tensor_new(&in, (int)nr_dims, short_dims, VACCEL_TFLITE_FLOAT32);
    if (!ret)
        ret = vaccel_tflite_tensor_set_data(in, values, count * sizeof(*values));
    for (long i = 0; !ret && i < iterations; i++)
        ret = run(&s, in, i == 0);
    if (ret)
        example_fail("running the model", ret);
    else
        status = EXIT_SUCCESS;
    if (in)
        vaccel_tflite_tensor_delete(in);
    ret = vaccel_tflite_model_unload(&s.sess, &s.model);
    if (ret)
        status = example_fail("unloading the model", ret);
close:
    if (!example_close(&s))
        status = EXIT_FAILURE;
free_values:
    free(values);
    return status;
}
