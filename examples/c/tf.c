/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a TensorFlow model, a SavedModel directory or a frozen graph, with one
 * input of floats. Nodes are named OPERATION or OPERATION:INDEX.
 *
 *     VACCEL_PLUGINS=libvaccel-tf.so ./tf saved_model serving_default_input StatefulPartitionedCall 1x224x224x3
 */
#include "example.h"

/* Makes a node of OPERATION:INDEX; VACCEL_OK or an error code. */
static int node(struct vaccel_tf_node *node, const char *text)
{
    char name[256];
    const char *colon = strrchr(text, ':');
    size_t length = colon ? (size_t)(colon - text) : strlen(text);
    long index = 0;
    if (length >= sizeof(name) || (colon && !example_number(colon + 1, 0, 1000, &index)))
        return VACCEL_EINVAL;
    memcpy(name, text, length);
    name[length] = '\0';
    return vaccel_tf_node_init(node, name, (int)index);
}

/* Reports an error with what TensorFlow said of it. */
static void fail(const char *what, int ret, const struct vaccel_tf_status *status)
{
    example_fail(what, ret);
    if (status->message && *status->message)
        fprintf(stderr, "TensorFlow says: %s (%d)\n", status->message, status->code);
}

/* Runs the model once; VACCEL_OK or an error code. */
static int run(struct example_session *s, const struct vaccel_tf_node *in_node,
               struct vaccel_tf_tensor *in, const struct vaccel_tf_node *out_node)
{
    struct vaccel_tf_status status = { 0, NULL };
    struct vaccel_tf_tensor *out = NULL;
    int ret = vaccel_tf_model_run(&s->sess, &s->model, NULL, in_node, &in, 1, out_node, &out, 1,
                                  &status);
    if (ret) {
        fail("running the model", ret, &status);
    } else {
        char type[VACCEL_ENUM_STR_MAX];
        printf("output: %s, %d dimensions, %zu bytes\n",
               vaccel_tf_data_type_to_str(out->data_type, type, sizeof(type)), out->nr_dims,
               out->size);
        if (out->data_type == VACCEL_TF_FLOAT)
            example_print_floats("values", out->data, out->size / sizeof(float));
        vaccel_tf_tensor_delete(out);
    }
    if (status.message)
        vaccel_tf_status_release(&status);
    return ret;
}

/* Loads, runs and unloads the model; VACCEL_OK or an error code. */
static int load_and_run(struct example_session *s, const struct vaccel_tf_node *in_node,
                        struct vaccel_tf_tensor *in, const struct vaccel_tf_node *out_node)
{
    struct vaccel_tf_status status = { 0, NULL };
    int ret = vaccel_tf_model_load(&s->sess, &s->model, &status);
    if (ret)
        fail("loading the model", ret, &status);
    if (status.message)
        vaccel_tf_status_release(&status);
    if (ret)
        return ret;

    ret = run(s, in_node, in, out_node);

    status = (struct vaccel_tf_status){ 0, NULL };
    int unloaded = vaccel_tf_model_unload(&s->sess, &s->model, &status);
    if (unloaded)
        fail("unloading the model", unloaded, &status);
    if (status.message)
        vaccel_tf_status_release(&status);
    return ret ? ret : unloaded;
}

int main(int argc, char **argv)
{
    int64_t dims[8];
    if (example_wrong_usage(argc, argv, 4, 4, "MODEL INPUT_NODE OUTPUT_NODE SHAPE"))
        return EXAMPLE_USAGE;
    size_t nr_dims = example_shape(argv[4], dims, 8);
    if (!nr_dims)
        return EXAMPLE_USAGE;

    int status = EXIT_FAILURE;
    struct example_session s;
    struct vaccel_tf_node in_node = { NULL, 0 }, out_node = { NULL, 0 };
    struct vaccel_tf_tensor *in = NULL;
    size_t count = example_elements(dims, nr_dims);
    float *values = example_ramp(count);
    if (!count || !values) {
        fprintf(stderr, "the shape is too large\n");
        goto release;
    }
    int ret = node(&in_node, argv[2]);
    if (!ret)
        ret = node(&out_node, argv[3]);
    if (!ret)
        ret = vaccel_tf_tensor_new(&in, (int)nr_dims, dims, VACCEL_TF_FLOAT);
    if (!ret)
        ret = vaccel_tf_tensor_set_data(in, values, count * sizeof(*values));
    if (ret) {
        example_fail("preparing the input", ret);
        goto release;
    }
    if (!example_open(&s, argv[1]))
        goto release;
    if (!load_and_run(&s, &in_node, in, &out_node))
        status = EXIT_SUCCESS;
    if (!example_close(&s))
        status = EXIT_FAILURE;
release:
    if (in)
        vaccel_tf_tensor_delete(in);
    if (out_node.name)
        vaccel_tf_node_release(&out_node);
    if (in_node.name)
        vaccel_tf_node_release(&in_node);
    free(values);
    return status;
}
