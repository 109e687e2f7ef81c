/* SPDX-License-Identifier: Apache-2.0 */
/* Single arguments, and the deprecated list of arguments. */
#include "tap.h"

#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
#endif

static void single(void)
{
    struct vaccel_arg arg;
    struct vaccel_arg *heap = NULL;
    int32_t value = 7;
    int32_t values[3] = { 1, 2, 3 };

    ok_code(vaccel_arg_init(&arg, &value, sizeof(value), VACCEL_ARG_INT32, 0), VACCEL_OK,
            "an argument is made of a copy");
    ok(arg.buf != &value && arg.owned && arg.size == 4 && arg.type == VACCEL_ARG_INT32 &&
           *(int32_t *)arg.buf == 7,
       "which it owns");
    ok_code(vaccel_arg_release(&arg), VACCEL_OK, "it is released");
    ok(arg.buf == NULL && !arg.owned, "and empty then");

    ok_code(vaccel_arg_init_from_buf(&arg, values, sizeof(values), VACCEL_ARG_INT32_ARRAY, 0),
            VACCEL_OK, "an argument is made of the caller's bytes");
    ok(arg.buf == values && !arg.owned && arg.size == 12, "which it does not own");
    vaccel_arg_release(&arg);
    ok(values[2] == 3, "and which stay");

    ok_code(vaccel_arg_new(&heap, "abc", 4, VACCEL_ARG_STRING, 0), VACCEL_OK,
            "an argument is allocated");
    ok(heap && !strcmp((char *)heap->buf, "abc"), "with a copy");
    ok_code(vaccel_arg_delete(heap), VACCEL_OK, "and deleted");
    heap = NULL;
    ok_code(vaccel_arg_from_buf(&heap, values, sizeof(values), VACCEL_ARG_CUSTOM, 99), VACCEL_OK,
            "an argument is allocated for the caller's bytes");
    ok(heap && heap->buf == values && heap->custom_type_id == 99, "with its custom type");
    vaccel_arg_delete(heap);

    ok_code(vaccel_arg_init(NULL, &value, 4, VACCEL_ARG_INT32, 0), VACCEL_EINVAL,
            "NULL is an error");
    ok_code(vaccel_arg_init(&arg, NULL, 4, VACCEL_ARG_INT32, 0), VACCEL_EINVAL,
            "no bytes are an error");
    ok_code(vaccel_arg_init(&arg, &value, 0, VACCEL_ARG_INT32, 0), VACCEL_EINVAL,
            "no size is an error");
    ok_code(vaccel_arg_init(&arg, &value, 3, VACCEL_ARG_INT32, 0), VACCEL_EINVAL,
            "a size that does not suit the type is an error");
    ok_code(vaccel_arg_init_from_buf(&arg, values, 11, VACCEL_ARG_INT32_ARRAY, 0), VACCEL_EINVAL,
            "a broken element is an error");
    ok_code(vaccel_arg_init(&arg, &value, 4, VACCEL_ARG_MAX, 0), VACCEL_EINVAL,
            "a type that does not exist is an error");
    ok_code(vaccel_arg_delete(NULL), VACCEL_EINVAL, "deleting NULL is an error");
}

/* Doubles an int into malloc'ed bytes. */
static void *serialize(void *value, uint32_t *size)
{
    int *bytes = (int *)malloc(sizeof(int));
    need(bytes != NULL);
    *bytes = 2 * *(int *)value;
    *size = sizeof(int);
    return bytes;
}

static void *serialize_nothing(void *value, uint32_t *size)
{
    (void)value;
    *size = 0;
    return NULL;
}

static void *deserialize(void *bytes, uint32_t size)
{
    int *value = (int *)malloc(sizeof(int));
    need(value && size == sizeof(int));
    *value = *(int *)bytes / 2;
    return value;
}

static void list(void)
{
    int a = 1, b = 21, room = 0, wrote = 5;
    struct vaccel_arg_list *args = vaccel_args_init(4);
    need(args != NULL);
    ok(args->size == 4 && args->curr_idx == 0, "a list has room and is empty");
    ok_code(vaccel_add_serial_arg(args, &a, sizeof(a)), VACCEL_OK, "bytes are added");
    ok(args->list[0].buf == &a && args->curr_idx == 1 && !args->idcs_allocated_space[0],
       "without a copy");
    ok_code(vaccel_add_nonserial_arg(args, &b, 0, serialize), VACCEL_OK, "a structure is added");
    ok(*(int *)args->list[1].buf == 42 && args->idcs_allocated_space[1],
       "in serialized form, which the list owns");
    ok_code(vaccel_expect_serial_arg(args, &room, sizeof(room)), VACCEL_OK,
            "room for bytes is added");
    ok_code(vaccel_expect_nonserial_arg(args, sizeof(int)), VACCEL_OK,
            "room for a structure is added");
    ok_code(vaccel_add_serial_arg(args, &a, sizeof(a)), VACCEL_ERANGE, "a full list is an error");

    ok(vaccel_extract_serial_arg(args->list, 0) == &a, "bytes are extracted without a copy");
    int *extracted = (int *)vaccel_extract_nonserial_arg(args->list, 1, deserialize);
    ok(extracted && *extracted == 21, "a structure is extracted");
    free(extracted);
    ok_code(vaccel_write_serial_arg(args->list, 2, &wrote), VACCEL_OK, "bytes are written");
    ok(room == 5, "to the caller's room");
    ok_code(vaccel_write_nonserial_arg(args->list, 3, &wrote, serialize), VACCEL_OK,
            "a structure is written");
    ok(*(int *)args->list[3].buf == 10, "in serialized form");
    ok_code(vaccel_delete_args(args), VACCEL_OK, "the list is deleted");

    args = vaccel_args_init(1);
    need(args != NULL);
    ok_code(vaccel_add_nonserial_arg(args, &b, 0, serialize_nothing), VACCEL_EINVAL,
            "a serializer that fails is an error");
    ok_code(vaccel_add_serial_arg(args, NULL, 4), VACCEL_EINVAL, "no bytes are an error");
    vaccel_delete_args(args);
    ok(vaccel_extract_serial_arg(NULL, 0) == NULL, "nothing is extracted from NULL");
    ok_code(vaccel_add_serial_arg(NULL, &a, 4), VACCEL_EINVAL, "adding to NULL is an error");
    ok_code(vaccel_delete_args(NULL), VACCEL_EINVAL, "deleting NULL is an error");
}

int main(void)
{
    single();
    list();
    return tap_done();
}
