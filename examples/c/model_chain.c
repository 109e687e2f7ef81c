/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs models one after the other: the first output of each is the first input of the
 * next, and stays where it was computed. Only the last one is read.
 *
 *     VACCEL_PLUGINS=libvaccel-onnx.so ./model_chain 1x1x8x8 models/digits-8x8/model.onnx
 *     VACCEL_PLUGINS=libvaccel-rpc.so VACCEL_RPC_ADDRESS=... ./model_chain 1024 a.onnx b.onnx c.onnx
 */
#include "example.h"

#define MAX_MODELS 16

struct chain {
    struct vaccel_session sess;
    struct vaccel_resource models[MAX_MODELS];
    size_t loaded;
};

static bool load(struct chain *chain, const char *path)
{
    struct vaccel_resource *model = &chain->models[chain->loaded];
    int ret = vaccel_resource_init(model, path, VACCEL_RESOURCE_MODEL);
    if (ret) {
        example_fail("opening the model", ret);
        return false;
    }
    ret = vaccel_resource_register(model, &chain->sess);
    if (!ret)
        ret = vaccel_model_load(&chain->sess, model, NULL);
    if (ret) {
        example_fail("loading the model", ret);
        vaccel_resource_release(model);
        return false;
    }
    chain->loaded++;
    return true;
}

/* Runs all models; `last` holds the output of the last one, kept. VACCEL_OK or an error code. */
static int run(struct chain *chain, const struct vaccel_tensor *first, struct vaccel_tensor *last)
{
    struct vaccel_tensor input = *first;
    for (size_t i = 0; i < chain->loaded; i++) {
        struct vaccel_tensor output = { .flags = VACCEL_TENSOR_KEEP };
        int ret = vaccel_model_run(&chain->sess, &chain->models[i], &input, 1, &output, 1);
        /* Nobody needs it any more; of the program's own tensor nothing is freed. */
        vaccel_tensor_release(&input);
        if (ret)
            return ret;
        input = output;
        input.name = NULL;
    }
    *last = input;
    return VACCEL_OK;
}

static int run_and_print(struct chain *chain, const struct vaccel_tensor *first)
{
    struct vaccel_tensor last = { 0 };
    struct vaccel_tensor result = { 0 };
    uint64_t start = example_now();
    int ret = run(chain, first, &last);
    if (ret)
        return example_fail("running the models", ret);
    printf("%zu models, %.3f ms\n", chain->loaded, (double)(example_now() - start) / 1e6);
    ret = vaccel_tensor_fetch(&chain->sess, &last, &result);
    if (ret)
        example_fail("reading the result", ret);
    else if (result.dtype == VACCEL_DTYPE_F32)
        example_print_floats("values", result.data, result.size / sizeof(float));
    else
        printf("%zu bytes\n", result.size);
    vaccel_tensor_release(&result);
    vaccel_tensor_release(&last);
    return ret ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    struct vaccel_tensor first = { .dtype = VACCEL_DTYPE_F32 };
    struct chain chain = { .loaded = 0 };
    if (example_wrong_usage(argc, argv, 2, MAX_MODELS + 1, "SHAPE MODEL..."))
        return EXAMPLE_USAGE;
    first.rank = (uint32_t)example_shape(argv[1], first.dims, VACCEL_TENSOR_MAX_RANK);
    size_t count = first.rank ? example_elements(first.dims, first.rank) : 0;
    if (!count)
        return EXAMPLE_USAGE;
    first.data = example_ramp(count);
    first.size = count * sizeof(float);
    if (!first.data) {
        fprintf(stderr, "out of memory\n");
        return EXIT_FAILURE;
    }
    int ret = vaccel_session_init(&chain.sess, 0);
    if (ret) {
        free(first.data);
        return example_fail("opening a session", ret);
    }

    bool loaded = true;
    for (int i = 2; loaded && i < argc; i++)
        loaded = load(&chain, argv[i]);
    int status = loaded ? run_and_print(&chain, &first) : EXIT_FAILURE;

    for (size_t i = 0; i < chain.loaded; i++) {
        vaccel_model_unload(&chain.sess, &chain.models[i]);
        vaccel_resource_release(&chain.models[i]);
    }
    vaccel_session_release(&chain.sess);
    free(first.data);
    return status;
}
