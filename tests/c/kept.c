/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors that stay where they were computed, with the plugin of examples/plugin-c. */
#include "tap.h"

static struct vaccel_session sess;
static struct vaccel_resource model;
static float data[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };

static struct vaccel_tensor input(void)
{
    return (struct vaccel_tensor){
        .name = "x",
        .dtype = VACCEL_DTYPE_F32,
        .rank = 3,
        .dims = { 1, 2, 4 },
        .data = data,
        .size = sizeof(data),
    };
}

static int run(const struct vaccel_tensor *in, struct vaccel_tensor *out)
{
    return vaccel_model_run(&sess, &model, in, 1, out, 1);
}

static bool fetched(const struct vaccel_tensor *kept)
{
    struct vaccel_tensor out = { 0 };
    bool right = !vaccel_tensor_fetch(&sess, kept, &out) && out.data &&
                 out.flags == VACCEL_TENSOR_OWNED && out.handle == 0 && out.size == 32 &&
                 out.dtype == VACCEL_DTYPE_F32 && out.rank == 3 &&
                 !memcmp(out.data, data, sizeof(data));
    vaccel_tensor_release(&out);
    return right;
}

static void chaining(void)
{
    struct vaccel_tensor in = input();
    struct vaccel_tensor kept[3] = { { .flags = VACCEL_TENSOR_KEEP },
                                     { .flags = VACCEL_TENSOR_KEEP },
                                     { .flags = VACCEL_TENSOR_KEEP } };
    ok_code(run(&in, &kept[0]), VACCEL_OK, "an output is kept");
    ok(kept[0].handle && !kept[0].data && kept[0].flags == VACCEL_TENSOR_KEEP &&
           kept[0].size == 32 && kept[0].rank == 3 && kept[0].dims[1] == 2 &&
           kept[0].dtype == VACCEL_DTYPE_F32,
       "with a number, a shape and no data");
    ok_code(run(&kept[0], &kept[1]), VACCEL_OK, "it is the next input");
    ok_code(run(&kept[1], &kept[2]), VACCEL_OK, "and the next");
    ok(kept[0].handle != kept[1].handle && kept[1].handle != kept[2].handle,
       "each has a number of its own");
    ok(fetched(&kept[2]) && fetched(&kept[2]) && fetched(&kept[0]), "it is read when asked for");

    float room[8] = { 0 };
    struct vaccel_tensor out = { .data = room, .size = 8 };
    ok_code(vaccel_tensor_fetch(&sess, &kept[0], &out), VACCEL_ERANGE, "too little room");
    ok(out.size == 32 && room[0] == 0.0f, "says how much is needed");
    ok_code(vaccel_tensor_fetch(&sess, &kept[0], &out), VACCEL_OK, "which is enough");
    ok(room[7] == 8.0f && out.data == room, "and used");

    ok_code(run(&in, &kept[0]), VACCEL_EINVAL, "an output that holds a tensor is an error");
    struct vaccel_tensor numbered = kept[0];
    numbered.dims[1] = 1;
    numbered.dims[0] = 2;
    ok_code(run(&numbered, &out), VACCEL_EINVAL, "the model sees another shape");
    numbered.dims[1] = 3;
    ok_code(run(&numbered, &out), VACCEL_EINVAL, "one that does not fit is an error");
    ok(strstr(vaccel_error_message(), "fit") != NULL, "which says so");
    numbered = (struct vaccel_tensor){ .handle = kept[0].handle };
    ok_code(run(&numbered, &out), VACCEL_OK, "the number alone is enough");
    numbered.data = room;
    ok_code(run(&numbered, &out), VACCEL_EINVAL, "a number and data are an error");
    struct vaccel_tensor both = { .flags = VACCEL_TENSOR_KEEP, .data = room, .size = 32 };
    ok_code(run(&in, &both), VACCEL_EINVAL, "to keep and to write is an error");

    uint64_t number = kept[0].handle;
    ok_code(vaccel_tensor_release(&kept[0]), VACCEL_OK, "it is released");
    ok(kept[0].handle == 0 && kept[0].flags == 0, "and empty");
    ok_code(vaccel_tensor_release(&kept[0]), VACCEL_OK, "twice is harmless");
    numbered = (struct vaccel_tensor){ .handle = number };
    ok_code(run(&numbered, &out), VACCEL_ENOENT, "its number means nothing any more");
    ok(strstr(vaccel_error_message(), "stale") != NULL, "which is said");
    ok_code(vaccel_tensor_fetch(&sess, &numbered, &out), VACCEL_ENOENT, "when it is read, too");
    vaccel_tensor_release(&kept[1]);
    /* The third goes with the session. */
}

static void failing(void)
{
    struct vaccel_tensor in = input();
    struct vaccel_tensor out = { .name = "y", .flags = VACCEL_TENSOR_KEEP };
    ok_code(run(&in, &out), VACCEL_EINVAL, "a run that fails");
    ok(!out.handle && !out.data, "keeps nothing");
    struct vaccel_tensor fetch = { 0 };
    ok_code(vaccel_tensor_fetch(&sess, &in, &fetch), VACCEL_ENOENT, "what is not kept is not read");
    ok_code(vaccel_tensor_fetch(NULL, &in, &fetch), VACCEL_EINVAL, "NULL is an error");
    ok_code(vaccel_tensor_fetch(&sess, NULL, &fetch), VACCEL_EINVAL, "for the tensor");
    ok_code(vaccel_tensor_fetch(&sess, &in, NULL), VACCEL_EINVAL, "and for the place");
    ok_code(vaccel_tensor_keep(&sess, &in, NULL), VACCEL_EINVAL, "for keeping, too");
    in.size = 31;
    ok_code(vaccel_tensor_keep(&sess, &in, &out), VACCEL_EINVAL, "a wrong size is an error");
}

static void keeping(void)
{
    struct vaccel_tensor in = input();
    struct vaccel_tensor kept = { 0 };
    ok_code(vaccel_tensor_keep(&sess, &in, &kept), VACCEL_OK, "a tensor of the program is kept");
    struct vaccel_tensor out = { 0 };
    data[0] = 100;
    ok_code(run(&kept, &out), VACCEL_OK, "and an input");
    ok(out.data && ((float *)out.data)[0] == 1.0f, "as it was when it was kept");
    data[0] = 1;
    vaccel_tensor_release(&out);

    struct vaccel_session other;
    need(!vaccel_session_init(&other, 0));
    struct vaccel_tensor read = { 0 };
    ok_code(vaccel_tensor_fetch(&other, &kept, &read), VACCEL_EPERM, "another session has it not");
    struct vaccel_tensor theirs = { 0 };
    need(!vaccel_tensor_keep(&other, &in, &theirs));
    vaccel_session_release(&other);
    ok_code(vaccel_tensor_fetch(&sess, &theirs, &read), VACCEL_ENOENT, "it goes with its session");
    ok_code(vaccel_tensor_release(&theirs), VACCEL_OK, "and releasing it is harmless");
    ok(fetched(&kept), "the others stay");
    vaccel_tensor_release(&kept);
}

static void generic(void)
{
    vaccel_op_type_t op = VACCEL_OP_MODEL_RUN;
    uint8_t code = (uint8_t)op;
    int64_t id = model.id;
    struct vaccel_tensor in = input();
    struct vaccel_tensor out = { .flags = VACCEL_TENSOR_KEEP };
    struct vaccel_arg read[3] = {
        { .buf = &code, .size = sizeof(code), .type = VACCEL_ARG_UINT8 },
        { .buf = &id, .size = sizeof(id), .type = VACCEL_ARG_INT64 },
        { .buf = &in,
          .size = sizeof(in),
          .type = VACCEL_ARG_CUSTOM,
          .custom_type_id = VACCEL_CUSTOM_TENSOR },
    };
    struct vaccel_arg write[1] = { { .buf = &out,
                                     .size = sizeof(out),
                                     .type = VACCEL_ARG_CUSTOM,
                                     .custom_type_id = VACCEL_CUSTOM_TENSOR } };
    ok_code(vaccel_genop(&sess, read, 3, write, 1), VACCEL_OK, "the generic form keeps an output");
    ok(out.handle && fetched(&out), "which can be read");
    in = out;
    in.name = "x";
    out = (struct vaccel_tensor){ 0 };
    ok_code(vaccel_genop(&sess, read, 3, write, 1), VACCEL_OK, "and takes it");
    ok(out.data && !memcmp(out.data, data, sizeof(data)), "as an input");
    vaccel_tensor_release(&out);
    vaccel_tensor_release(&in);
}

static void submitting(void)
{
    struct vaccel_tensor in = input();
    struct vaccel_tensor out = { .flags = VACCEL_TENSOR_KEEP };
    struct vaccel_completion *done;
    need(!vaccel_model_run_async(&sess, &model, &in, 1, &out, 1, NULL, &done));
    ok_code(vaccel_completion_wait(done, -1), VACCEL_OK, "a submitted run ends");
    ok_code(vaccel_completion_result(done), VACCEL_OK, "well");
    vaccel_completion_free(done);
    ok(out.handle && !out.data && fetched(&out), "and keeps its output");
    struct vaccel_tensor last = { 0 };
    need(!vaccel_model_run_async(&sess, &model, &out, 1, &last, 1, NULL, &done));
    ok_code(vaccel_completion_wait(done, -1), VACCEL_OK, "another one takes it");
    ok_code(vaccel_completion_result(done), VACCEL_OK, "as an input");
    vaccel_completion_free(done);
    ok(last.data && !memcmp(last.data, data, sizeof(data)), "with its elements");
    vaccel_tensor_release(&last);
    vaccel_tensor_release(&out);
}

static void told(void *user, const char *name, uint64_t sent, uint64_t total)
{
    (void)name;
    *(uint64_t *)user += sent == total;
}

static void reporting(void)
{
    uint64_t ends = 0;
    ok_code(vaccel_progress_set(told, &ends), VACCEL_OK, "a function is told of progress");
    vaccel_progress_report("x", 1, 2);
    vaccel_progress_report(NULL, 2, 2);
    ok(ends == 1, "as plugins report it");
    ok_code(vaccel_progress_set(NULL, NULL), VACCEL_OK, "until there is none");
    vaccel_progress_report("x", 2, 2);
    ok(ends == 1, "which is told nothing");
}

int main(void)
{
    char text[] = "identity x f32 1 -1 4\n";
    need(!vaccel_session_init(&sess, 0));
    need(!strcmp(sess.plugin->info->name, "example-c"));
    need(!vaccel_resource_init_from_buf(&model, text, strlen(text), VACCEL_RESOURCE_MODEL, NULL,
                                        true));
    need(!vaccel_resource_register(&model, &sess));
    need(!vaccel_model_load(&sess, &model, NULL));
    chaining();
    failing();
    keeping();
    generic();
    submitting();
    reporting();
    vaccel_session_release(&sess);
    vaccel_resource_release(&model);
    return tap_done();
}
