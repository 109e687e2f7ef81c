/* SPDX-License-Identifier: Apache-2.0 */
/* The neutral model calls, with the plugin of examples/plugin-c. */
#include "tap.h"

static struct vaccel_session sess;
static struct vaccel_resource model;

static void describing(void)
{
    struct vaccel_model_info info;
    ok_code(vaccel_model_info(&sess, &model, &info), VACCEL_OK, "a model is described");
    ok(!strcmp(info.format, "identity") && !strcmp(info.backend, "example-c"),
       "with format and backend");
    ok(info.nr_inputs == 1 && !strcmp(info.inputs[0].name, "x") &&
           info.inputs[0].dtype == VACCEL_DTYPE_F32 && info.inputs[0].rank == 3 &&
           info.inputs[0].dims[0] == 1 && info.inputs[0].dims[1] == -1 &&
           info.inputs[0].dims[2] == 4,
       "with its input");
    ok(info.nr_outputs == 1 && !strcmp(info.outputs[0].name, "x"), "with its output");
    ok_code(vaccel_model_info_release(&info), VACCEL_OK, "the description is released");
    ok(info.format == NULL && info.inputs == NULL && info.nr_inputs == 0, "and empty");
    ok_code(vaccel_model_info_release(&info), VACCEL_OK, "twice is harmless");
    ok_code(vaccel_model_info_release(NULL), VACCEL_EINVAL, "NULL is an error");
    ok_code(vaccel_model_info(&sess, &model, NULL), VACCEL_EINVAL, "nowhere is an error");
}

static void running(void)
{
    float data[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    float room[16] = { 0 };
    struct vaccel_tensor in = { 0 };
    struct vaccel_tensor out = { 0 };
    in.name = "x";
    in.dtype = VACCEL_DTYPE_F32;
    in.rank = 3;
    in.dims[0] = 1;
    in.dims[1] = 2;
    in.dims[2] = 4;
    in.data = data;
    in.size = sizeof(data);

    ok_code(vaccel_model_run(&sess, &model, &in, 1, &out, 1), VACCEL_OK, "a model is run");
    ok(out.data && out.data != data && (out.flags & VACCEL_TENSOR_OWNED) && out.size == 32 &&
           out.dtype == VACCEL_DTYPE_F32 && out.rank == 3 && out.dims[1] == 2 &&
           ((float *)out.data)[7] == 8.0f,
       "and its output allocated");
    ok_code(vaccel_tensor_release(&out), VACCEL_OK, "which is released");
    ok(out.data == NULL && out.size == 0 && out.flags == 0, "and empty then");
    ok_code(vaccel_tensor_release(&out), VACCEL_OK, "twice is harmless");

    out = (struct vaccel_tensor){ .name = "x", .data = room, .size = sizeof(room) };
    ok_code(vaccel_model_run(&sess, &model, &in, 1, &out, 1), VACCEL_OK,
            "an output goes to the caller's room");
    ok(out.data == room && out.size == 32 && !(out.flags & VACCEL_TENSOR_OWNED) && room[7] == 8.0f,
       "as much as there is");
    ok_code(vaccel_tensor_release(&out), VACCEL_OK, "releasing it");
    ok(room[7] == 8.0f, "leaves the room alone");

    room[0] = 0;
    out = (struct vaccel_tensor){ .data = room, .size = 8 };
    ok_code(vaccel_model_run(&sess, &model, &in, 1, &out, 1), VACCEL_ERANGE,
            "too little room is an error");
    ok(out.size == 32 && room[0] == 0.0f, "which says how much is needed");

    out = (struct vaccel_tensor){ .name = "y" };
    ok_code(vaccel_model_run(&sess, &model, &in, 1, &out, 1), VACCEL_EINVAL,
            "an output that does not exist is an error");
    ok(out.data == NULL, "without an allocation");
    in.dims[2] = 3;
    in.size = 24;
    ok_code(vaccel_model_run(&sess, &model, &in, 1, NULL, 0), VACCEL_EINVAL,
            "a wrong shape is an error");
    ok(strstr(vaccel_error_message(), "shape") != NULL, "explained by the plugin");
    in.dims[2] = 4;
    ok_code(vaccel_model_run(&sess, &model, &in, 1, NULL, 0), VACCEL_EINVAL,
            "a size that does not suit the shape is an error");
    in.size = sizeof(data);
    in.rank = VACCEL_TENSOR_MAX_RANK + 1;
    ok_code(vaccel_model_run(&sess, &model, &in, 1, NULL, 0), VACCEL_EINVAL,
            "too many dimensions are an error");
    in.rank = 3;
    ok_code(vaccel_model_run(&sess, &model, NULL, 1, NULL, 0), VACCEL_EINVAL, "NULL is an error");
    ok_code(vaccel_model_run(&sess, NULL, &in, 1, NULL, 0), VACCEL_EINVAL, "for the model too");
    ok_code(vaccel_tensor_release(NULL), VACCEL_EINVAL, "and for releasing");
}

static void describing_all(void)
{
    char *json = NULL;
    ok_code(vaccel_describe(&json), VACCEL_OK, "the library describes itself");
    ok(json && strstr(json, "example-c") && strstr(json, "identity") && strstr(json, VACCEL_VERSION),
       "with its version, plugins and what they say");
    free(json);
    ok_code(vaccel_describe(NULL), VACCEL_EINVAL, "NULL is an error");
}

int main(void)
{
    struct vaccel_resource other, data, wrong;
    char text[] = "identity x f32 1 -1 4\n";
    char garbage[] = "something else";
    need(!vaccel_session_init(&sess, 0));
    need(!strcmp(sess.plugin->info->name, "example-c"));
    need(!vaccel_resource_init_from_buf(&model, text, strlen(text), VACCEL_RESOURCE_MODEL, NULL,
                                        true));
    ok_code(vaccel_model_load(&sess, &model, NULL), VACCEL_EPERM, "a model must be registered");
    need(!vaccel_resource_register(&model, &sess));
    ok_code(vaccel_model_run(&sess, &model, NULL, 0, NULL, 0), VACCEL_EINVAL,
            "a model must be loaded");
    ok_code(vaccel_model_load(&sess, &model, "colour=red"), VACCEL_EINVAL,
            "an option that the plugin does not know is an error");
    ok_code(vaccel_model_load(&sess, &model, NULL), VACCEL_OK, "a model is loaded");
    ok_code(vaccel_model_load(&sess, &model, ""), VACCEL_OK, "twice is harmless");
    describing();
    running();
    describing_all();
    ok_code(vaccel_model_unload(&sess, &model), VACCEL_OK, "a model is unloaded");
    ok_code(vaccel_model_unload(&sess, &model), VACCEL_EINVAL, "once");

    need(!vaccel_resource_init_from_buf(&data, text, 4, VACCEL_RESOURCE_DATA, NULL, true));
    need(!vaccel_resource_register(&data, &sess));
    ok_code(vaccel_model_load(&sess, &data, NULL), VACCEL_EINVAL, "data are no model");
    need(!vaccel_resource_init_from_buf(&wrong, garbage, strlen(garbage), VACCEL_RESOURCE_MODEL,
                                        NULL, true));
    need(!vaccel_resource_register(&wrong, &sess));
    ok(vaccel_model_load(&sess, &wrong, NULL) != VACCEL_OK, "garbage is no model");
    ok(*vaccel_error_message() != '\0', "and there is a message");

    /* Left loaded: the plugin frees it with its resource. */
    need(!vaccel_resource_init_from_buf(&other, text, strlen(text), VACCEL_RESOURCE_MODEL, "name",
                                        false));
    need(!vaccel_resource_register(&other, &sess));
    ok_code(vaccel_model_load(&sess, &other, NULL), VACCEL_OK, "a model is loaded from a file");
    vaccel_resource_release(&other);
    vaccel_resource_release(&wrong);
    vaccel_resource_release(&data);
    vaccel_resource_release(&model);
    vaccel_session_release(&sess);
    return tap_done();
}
