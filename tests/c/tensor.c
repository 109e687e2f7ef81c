/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors, nodes, buffers and status of the frameworks, and running their models. */
#include "recorder.h"

static struct recorder *rec;
static struct vaccel_session sess;
static struct vaccel_resource model;

/* The tensors of the three frameworks differ in the types of rank and dimensions only. */
#define CHECK_TENSOR(fw, dim_type, dtype, other_rank)                                             \
    do {                                                                                          \
        struct vaccel_##fw##_tensor tensor;                                                       \
        struct vaccel_##fw##_tensor *heap = NULL;                                                 \
        dim_type dims[2] = { 2, 3 };                                                              \
        float data[6] = { 1, 2, 3, 4, 5, 6 };                                                     \
        void *taken = NULL;                                                                       \
        size_t size = 0;                                                                          \
        ok_code(vaccel_##fw##_tensor_init(&tensor, 2, dims, dtype), VACCEL_OK, #fw ": made");     \
        ok(tensor.nr_dims == 2 && tensor.dims != dims && tensor.dims[1] == 3 &&                   \
               tensor.data == NULL && tensor.size == 0 && !tensor.owned &&                        \
               tensor.data_type == dtype,                                                         \
           #fw ": with a copy of its shape and no data");                                         \
        ok_code(vaccel_##fw##_tensor_set_data(&tensor, data, sizeof(data)), VACCEL_OK,            \
                #fw ": given data");                                                              \
        ok(tensor.data == data && tensor.size == 24 && !tensor.owned, #fw ": not a copy");        \
        ok(!vaccel_##fw##_tensor_take_data(&tensor, &taken, &size) && taken == data &&            \
               size == 24 && tensor.data == NULL && tensor.size == 0,                             \
           #fw ": data are taken out");                                                           \
        ok_code(vaccel_##fw##_tensor_release(&tensor), VACCEL_OK, #fw ": released");              \
        ok_code(vaccel_##fw##_tensor_new(&heap, 2, dims, dtype), VACCEL_OK, #fw ": allocated");   \
        ok_code(vaccel_##fw##_tensor_delete(heap), VACCEL_OK, #fw ": deleted");                   \
        heap = NULL;                                                                              \
        ok_code(vaccel_##fw##_tensor_allocate(&heap, 2, dims, dtype, 24), VACCEL_OK,              \
                #fw ": allocated with data");                                                     \
        ok(heap && heap->owned && heap->size == 24 && heap->data != NULL, #fw ": which it owns"); \
        ok_code(vaccel_##fw##_tensor_set_data(heap, data, sizeof(data)), VACCEL_OK,               \
                #fw ": other data take their place");                                             \
        ok(heap && heap->data == data && !heap->owned, #fw ": and its own are freed");            \
        vaccel_##fw##_tensor_delete(heap);                                                        \
        need(!vaccel_##fw##_tensor_allocate(&heap, 2, dims, dtype, 24));                          \
        need(!vaccel_##fw##_tensor_take_data(heap, &taken, &size));                               \
        free(taken);                                                                              \
        vaccel_##fw##_tensor_delete(heap);                                                        \
        ok_code(vaccel_##fw##_tensor_init(&tensor, other_rank, dims, dtype), VACCEL_EINVAL,       \
                #fw ": a negative rank is an error");                                             \
        ok_code(vaccel_##fw##_tensor_init(&tensor, 2, NULL, dtype), VACCEL_EINVAL,                \
                #fw ": no shape is an error");                                                    \
        ok_code(vaccel_##fw##_tensor_init(NULL, 2, dims, dtype), VACCEL_EINVAL,                   \
                #fw ": NULL is an error");                                                        \
        ok_code(vaccel_##fw##_tensor_set_data(NULL, data, 24), VACCEL_EINVAL,                     \
                #fw ": for data too");                                                            \
        ok_code(vaccel_##fw##_tensor_delete(NULL), VACCEL_EINVAL, #fw ": and for deleting");      \
    } while (0)

static void parts(void)
{
    struct vaccel_tf_node node;
    struct vaccel_tf_node *heap_node = NULL;
    ok(!vaccel_tf_node_init(&node, "input", 2) && !strcmp(node.name, "input") && node.id == 2,
       "a node is made");
    ok_code(vaccel_tf_node_release(&node), VACCEL_OK, "and released");
    ok(!vaccel_tf_node_new(&heap_node, "output", 0) && heap_node, "a node is allocated");
    ok_code(vaccel_tf_node_delete(heap_node), VACCEL_OK, "and deleted");
    ok_code(vaccel_tf_node_init(&node, NULL, 0), VACCEL_EINVAL, "a node has a name");

    struct vaccel_tf_status status;
    struct vaccel_tf_status *heap_status = NULL;
    ok(!vaccel_tf_status_init(&status, 3, "bad") && status.code == 3 &&
           !strcmp(status.message, "bad"),
       "a status is made");
    ok_code(vaccel_tf_status_release(&status), VACCEL_OK, "and released");
    ok(!vaccel_tf_status_new(&heap_status, 0, "good") && heap_status, "a status is allocated");
    ok_code(vaccel_tf_status_delete(heap_status), VACCEL_OK, "and deleted");

    struct vaccel_tf_buffer *tf = NULL;
    struct vaccel_torch_buffer *torch = NULL;
    void *taken = NULL;
    size_t size = 0;
    char *bytes = strdup("options");
    ok(!vaccel_tf_buffer_new(&tf, bytes, 8) && tf && tf->data == bytes && tf->size == 8,
       "a buffer takes bytes over");
    ok(!vaccel_tf_buffer_take_data(tf, &taken, &size) && taken == bytes && size == 8 &&
           tf->data == NULL,
       "and gives them back");
    vaccel_tf_buffer_delete(tf);
    ok(!vaccel_torch_buffer_new(&torch, bytes, 8) && torch && torch->data == bytes,
       "so does that of Torch");
    ok_code(vaccel_torch_buffer_delete(torch), VACCEL_OK, "which frees them");
    struct vaccel_tf_buffer in_place;
    ok_code(vaccel_tf_buffer_init(&in_place, strdup("x"), 2), VACCEL_OK, "a buffer is filled");
    ok_code(vaccel_tf_buffer_release(&in_place), VACCEL_OK, "and released");
    ok_code(vaccel_tf_buffer_init(NULL, NULL, 2), VACCEL_EINVAL, "NULL is an error");
}

static void tf(void)
{
    struct vaccel_tf_status status = { 9, NULL };
    struct vaccel_tf_node in_node, out_node;
    struct vaccel_tf_tensor *in = NULL, *out = NULL;
    int64_t dims[1] = { 2 };
    float data[2] = { 1.5f, 2.5f };

    ok_code(vaccel_tf_model_load(&sess, &model, &status), VACCEL_OK, "tf: a model is loaded");
    ok(status.code == 0 && status.message && !strcmp(status.message, "good"),
       "tf: the status is that of the plugin");
    vaccel_tf_status_release(&status);

    need(!vaccel_tf_node_init(&in_node, "in", 0) && !vaccel_tf_node_init(&out_node, "out", 0));
    need(!vaccel_tf_tensor_new(&in, 1, dims, VACCEL_TF_FLOAT));
    need(!vaccel_tf_tensor_set_data(in, data, sizeof(data)));
    ok_code(vaccel_tf_model_run(&sess, &model, NULL, &in_node, &in, 1, &out_node, &out, 1, &status),
            VACCEL_OK, "tf: it is run");
    ok(rec->pointers[1] == &in_node && rec->pointers[2] == &out_node && rec->numbers[0] == 1,
       "tf: with its nodes");
    ok(out && out->size == 8 && ((float *)out->data)[1] == 2.5f && out->dims[0] == 2,
       "tf: the output comes back");
    ok_code(vaccel_tf_tensor_delete(out), VACCEL_OK, "tf: and is the caller's to delete");
    vaccel_tf_status_release(&status);

    rec->answer = VACCEL_EIO;
    out = NULL;
    ok_code(vaccel_tf_model_run(&sess, &model, NULL, &in_node, &in, 1, &out_node, &out, 1, &status),
            VACCEL_EIO, "tf: the error of the plugin is returned");
    ok(status.code == 3 && !strcmp(status.message, "bad"), "tf: with its status");
    vaccel_tf_status_release(&status);
    rec->answer = VACCEL_OK;

    ok_code(vaccel_tf_model_unload(&sess, &model, &status), VACCEL_OK, "tf: it is unloaded");
    vaccel_tf_status_release(&status);
    ok_code(vaccel_tf_model_run(&sess, NULL, NULL, &in_node, &in, 1, &out_node, &out, 1, &status),
            VACCEL_EINVAL, "tf: NULL is an error");
    vaccel_tf_tensor_delete(in);
    vaccel_tf_node_release(&in_node);
    vaccel_tf_node_release(&out_node);
}

static void tflite(void)
{
    uint8_t status = 9;
    struct vaccel_tflite_tensor *in = NULL, *out = NULL;
    int32_t dims[1] = { 2 };
    ok_code(vaccel_tflite_model_load(&sess, &model), VACCEL_OK, "tflite: a model is loaded");
    need(!vaccel_tflite_tensor_allocate(&in, 1, dims, VACCEL_TFLITE_UINT8, 2));
    memcpy(in->data, "ab", 2);
    ok_code(vaccel_tflite_model_run(&sess, &model, &in, 1, &out, 1, &status), VACCEL_OK,
            "tflite: it is run");
    ok(status == 0 && out && out->size == 2 && !memcmp(out->data, "ab", 2),
       "tflite: the output comes back");
    vaccel_tflite_tensor_delete(out);
    ok_code(vaccel_tflite_model_unload(&sess, &model), VACCEL_OK, "tflite: it is unloaded");
    ok_code(vaccel_tflite_model_load(&sess, NULL), VACCEL_EINVAL, "tflite: NULL is an error");
    vaccel_tflite_tensor_delete(in);
}

static void torch(void)
{
    struct vaccel_torch_tensor *in = NULL, *out = NULL, *b = NULL;
    struct vaccel_torch_buffer options = { NULL, 0 };
    int64_t dims[1] = { 2 };
    ok_code(vaccel_torch_model_load(&sess, &model), VACCEL_OK, "torch: a model is loaded");
    need(!vaccel_torch_tensor_allocate(&in, 1, dims, VACCEL_TORCH_BYTE, 2));
    need(!vaccel_torch_tensor_allocate(&b, 1, dims, VACCEL_TORCH_BYTE, 2));
    memcpy(in->data, "ab", 2);
    ok_code(vaccel_torch_model_run(&sess, &model, &options, &in, 1, &out, 1), VACCEL_OK,
            "torch: it is run");
    ok(rec->pointers[0] == &options && out && out->size == 2 && !memcmp(out->data, "ab", 2),
       "torch: with its options, and the output comes back");
    vaccel_torch_tensor_delete(out);
    out = NULL;
    ok_code(vaccel_torch_sgemm(&sess, &in, &b, &in, 1, 2, 3, &out), VACCEL_OK,
            "torch: matrices are multiplied");
    ok(rec->pointers[0] == in && rec->pointers[1] == b && rec->numbers[0] == 1 &&
           rec->numbers[1] == 2 && rec->numbers[2] == 3 && out && out->size == 2,
       "torch: with all arguments");
    vaccel_torch_tensor_delete(out);
    vaccel_torch_tensor_delete(b);
    vaccel_torch_tensor_delete(in);
}

static void permissions(void)
{
    struct vaccel_resource other, data;
    struct vaccel_tf_status status = { 0, NULL };
    char bytes[] = "x";
    need(!vaccel_resource_init_from_buf(&other, bytes, 1, VACCEL_RESOURCE_MODEL, NULL, true));
    need(!vaccel_resource_init_from_buf(&data, bytes, 1, VACCEL_RESOURCE_DATA, NULL, true));
    need(!vaccel_resource_register(&data, &sess));
    ok_code(vaccel_tf_model_load(&sess, &other, &status), VACCEL_EPERM,
            "tf: a model must be registered");
    ok(status.code != 0 && status.message && *status.message, "tf: the status says so");
    vaccel_tf_status_release(&status);
    ok_code(vaccel_tflite_model_load(&sess, &other), VACCEL_EPERM, "tflite: likewise");
    ok_code(vaccel_torch_model_load(&sess, &other), VACCEL_EPERM, "torch: likewise");
    ok_code(vaccel_tf_model_load(&sess, &data, &status), VACCEL_EINVAL, "tf: data are no model");
    ok_code(vaccel_tflite_model_load(&sess, &data), VACCEL_EINVAL, "tflite: likewise");
    ok_code(vaccel_torch_model_load(&sess, &data), VACCEL_EINVAL, "torch: likewise");
    vaccel_tf_status_release(&status);
    vaccel_resource_release(&data);
    vaccel_resource_release(&other);
}

int main(void)
{
    char bytes[] = "model";
    rec = recorder_find();
    need(!vaccel_session_init(&sess, 0));
    need(!vaccel_resource_init_from_buf(&model, bytes, 5, VACCEL_RESOURCE_MODEL, NULL, true));
    need(!vaccel_resource_register(&model, &sess));
    CHECK_TENSOR(tf, int64_t, VACCEL_TF_FLOAT, -1);
    CHECK_TENSOR(tflite, int32_t, VACCEL_TFLITE_FLOAT32, -1);
    CHECK_TENSOR(torch, int64_t, VACCEL_TORCH_FLOAT, -1);
    parts();
    tf();
    tflite();
    torch();
    permissions();
    bool all = true;
    for (int op = VACCEL_OP_TF_MODEL_LOAD; op <= VACCEL_OP_TORCH_SGEMM; op++)
        all = all && rec->calls[op];
    ok(all, "every operation of a model was called");
    vaccel_resource_release(&model);
    vaccel_session_release(&sess);
    return tap_done();
}
