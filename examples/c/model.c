/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Describes a model of any framework and runs it on made-up inputs.
 *
 *     VACCEL_PLUGINS=libvaccel-onnx.so ./model models/digits-8x8/model.onnx
 *     VACCEL_PLUGINS=libvaccel-onnx.so ./model model.onnx threads=2 100
 */
#include "example.h"

static void print_tensor(const char *kind, const struct vaccel_tensor_info *info)
{
    char type[VACCEL_ENUM_STR_MAX];
    printf("%s %s: %s [", kind, info->name, vaccel_dtype_to_str(info->dtype, type, sizeof(type)));
    for (uint32_t d = 0; d < info->rank; d++)
        printf("%s%lld", d ? ", " : "", (long long)info->dims[d]);
    printf("]\n");
}

/* Fills a tensor for an input; dimensions of any length become 1. */
static bool make_input(const struct vaccel_tensor_info *info, struct vaccel_tensor *tensor)
{
    size_t bits = vaccel_dtype_bits(info->dtype);
    tensor->name = info->name;
    tensor->dtype = info->dtype;
    tensor->rank = info->rank;
    for (uint32_t d = 0; d < info->rank; d++)
        tensor->dims[d] = info->dims[d] < 0 ? 1 : info->dims[d];
    size_t count = example_elements(tensor->dims, tensor->rank);
    if (!bits || !count || count > SIZE_MAX / bits) {
        fprintf(stderr, "input '%s' has a type or shape that this program cannot make\n",
                info->name);
        return false;
    }
    tensor->size = (count * bits + 7) / 8;
    tensor->data = info->dtype == VACCEL_DTYPE_F32 ? (void *)example_ramp(count) :
                                                     calloc(1, tensor->size);
    if (!tensor->data)
        fprintf(stderr, "out of memory\n");
    return tensor->data != NULL;
}

/* Runs the model as often as asked and prints the first result; VACCEL_OK or an error code. */
static int run(struct example_session *s, const struct vaccel_model_info *info, long iterations,
               const struct vaccel_tensor *inputs, struct vaccel_tensor *outputs)
{
    int ret = VACCEL_OK;
    uint64_t start = example_now();
    for (long i = 0; !ret && i < iterations; i++) {
        for (size_t o = 0; o < info->nr_outputs; o++) {
            vaccel_tensor_release(&outputs[o]);
            outputs[o] = (struct vaccel_tensor){ .name = info->outputs[o].name };
        }
        ret = vaccel_model_run(&s->sess, &s->model, inputs, info->nr_inputs, outputs,
                               info->nr_outputs);
    }
    if (ret) {
        example_fail("running the model", ret);
        return ret;
    }
    printf("%.3f ms each\n", (double)(example_now() - start) / (double)iterations / 1e6);
    for (size_t o = 0; o < info->nr_outputs; o++) {
        char type[VACCEL_ENUM_STR_MAX];
        printf("%s: %s, %zu bytes\n", outputs[o].name,
               vaccel_dtype_to_str(outputs[o].dtype, type, sizeof(type)), outputs[o].size);
        if (outputs[o].dtype == VACCEL_DTYPE_F32)
            example_print_floats("values", outputs[o].data, outputs[o].size / sizeof(float));
    }
    return VACCEL_OK;
}

/* Describes the loaded model and runs it; VACCEL_OK or an error code. */
static int describe_and_run(struct example_session *s, long iterations)
{
    struct vaccel_model_info info;
    int ret = vaccel_model_info(&s->sess, &s->model, &info);
    if (ret) {
        example_fail("describing the model", ret);
        return ret;
    }
    printf("format %s, backend %s\n", info.format, info.backend);
    for (size_t i = 0; i < info.nr_inputs; i++)
        print_tensor("input", &info.inputs[i]);
    for (size_t o = 0; o < info.nr_outputs; o++)
        print_tensor("output", &info.outputs[o]);

    struct vaccel_tensor *inputs = calloc(info.nr_inputs + 1, sizeof(*inputs));
    struct vaccel_tensor *outputs = calloc(info.nr_outputs + 1, sizeof(*outputs));
    bool made = inputs && outputs;
    for (size_t i = 0; made && i < info.nr_inputs; i++)
        made = make_input(&info.inputs[i], &inputs[i]);
    ret = made ? run(s, &info, iterations, inputs, outputs) : VACCEL_EINVAL;

    for (size_t o = 0; outputs && o < info.nr_outputs; o++)
        vaccel_tensor_release(&outputs[o]);
    for (size_t i = 0; inputs && i < info.nr_inputs; i++)
        free(inputs[i].data);
    free(outputs);
    free(inputs);
    vaccel_model_info_release(&info);
    return ret;
}

int main(int argc, char **argv)
{
    if (example_wrong_usage(argc, argv, 1, 3, "MODEL [OPTIONS [ITERATIONS]]"))
        return EXAMPLE_USAGE;
    long iterations = 1;
    if (argc > 3 && !example_number(argv[3], 1, 1000000, &iterations))
        return EXAMPLE_USAGE;

    struct example_session s;
    if (!example_open(&s, argv[1]))
        return EXIT_FAILURE;

    int status = EXIT_FAILURE;
    int ret = vaccel_model_load(&s.sess, &s.model, argc > 2 ? argv[2] : NULL);
    if (ret) {
        example_fail("loading the model", ret);
    } else {
        if (!describe_and_run(&s, iterations))
            status = EXIT_SUCCESS;
        ret = vaccel_model_unload(&s.sess, &s.model);
        if (ret)
            status = example_fail("unloading the model", ret);
    }
    return example_close(&s) ? status : EXIT_FAILURE;
}
