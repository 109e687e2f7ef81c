/* SPDX-License-Identifier: Apache-2.0 */
/* Arrays of arguments: every type, positions, errors. */
#include "tap.h"

/*
 * One value and one array of a type: added by the caller; got and set by the
 * called function, which sees the same arguments through another array.
 */
#define CHECK_TYPE(name, ctype, TYPE, first, second)                                              \
    do {                                                                                          \
        struct vaccel_arg_array array, view;                                                      \
        ctype value = (first), got = (ctype)0, other = (second);                                  \
        ctype values[3] = { (first), (second), (first) };                                         \
        ctype others[2] = { (second), (second) };                                                 \
        ctype *got_values = NULL;                                                                 \
        size_t count = 0;                                                                         \
        need(!vaccel_arg_array_init(&array, 0));                                                  \
        bool added = !vaccel_arg_array_add_##name(&array, &value) &&                              \
                     !vaccel_arg_array_add_##name##_array(&array, values, 3);                     \
        struct vaccel_arg *raw = vaccel_arg_array_raw(&array);                                    \
        ok(added && raw[0].type == VACCEL_ARG_##TYPE && raw[0].size == sizeof(ctype) &&           \
               raw[0].buf == (void *)&value && raw[1].type == VACCEL_ARG_##TYPE##_ARRAY &&        \
               raw[1].size == sizeof(values) && !raw[0].owned && !raw[1].owned,                   \
           #name ": added without a copy");                                                       \
        need(!vaccel_arg_array_wrap(&view, raw, 2));                                              \
        ok(!vaccel_arg_array_get_##name(&view, &got) && got == (ctype)(first) &&                  \
               !vaccel_arg_array_get_##name##_array(&view, &got_values, &count) &&                \
               got_values == values && count == 3,                                                \
           #name ": got back");                                                                   \
        vaccel_arg_array_reset_position(&view);                                                   \
        ok(!vaccel_arg_array_set_##name(&view, &other) && value == (ctype)(second) &&             \
               !vaccel_arg_array_set_##name##_array(&view, others, 2) &&                          \
               values[0] == (ctype)(second) && values[2] == (ctype)(first),                       \
           #name ": set");                                                                        \
        vaccel_arg_array_reset_position(&view);                                                   \
        ok(vaccel_arg_array_get_##name##_array(&view, &got_values, &count) == VACCEL_EINVAL &&    \
               vaccel_arg_array_position(&view) == 0,                                             \
           #name ": one value is no array");                                                      \
        vaccel_arg_array_set_position(&view, 1);                                                  \
        ok(vaccel_arg_array_get_##name(&view, &got) == VACCEL_EINVAL &&                           \
               vaccel_arg_array_set_##name(&view, &other) == VACCEL_EINVAL &&                     \
               vaccel_arg_array_position(&view) == 1,                                             \
           #name ": an array is no value");                                                       \
        ctype four[4] = { 0, 0, 0, 0 };                                                           \
        ok(vaccel_arg_array_set_##name##_array(&view, four, 4) == VACCEL_EINVAL &&                \
               values[1] == (ctype)(second),                                                      \
           #name ": what does not fit is not set");                                               \
        ok(vaccel_arg_array_add_##name(&array, NULL) == VACCEL_EINVAL &&                          \
               vaccel_arg_array_add_##name##_array(&array, values, 0) == VACCEL_EINVAL &&         \
               vaccel_arg_array_add_##name##_array(&array, NULL, 1) == VACCEL_EINVAL &&           \
               vaccel_arg_array_count(&array) == 2,                                               \
           #name ": nothing cannot be added");                                                    \
        /* The size in bytes wraps to a small one, or is larger than any object. */               \
        size_t wraps = SIZE_MAX / sizeof(ctype) + (sizeof(ctype) > 1 ? 2 : 0);                    \
        ok(vaccel_arg_array_add_##name##_array(&array, values, wraps) == VACCEL_EINVAL &&         \
               vaccel_arg_array_count(&array) == 2,                                               \
           #name ": a size that overflows cannot be added");                                      \
        vaccel_arg_array_release(&array);                                                         \
    } while (0)

static void types(void)
{
    CHECK_TYPE(int8, int8_t, INT8, INT8_MIN, 7);
    CHECK_TYPE(int16, int16_t, INT16, INT16_MIN, 7);
    CHECK_TYPE(int32, int32_t, INT32, INT32_MIN, 7);
    CHECK_TYPE(int64, int64_t, INT64, INT64_MIN, 7);
    CHECK_TYPE(uint8, uint8_t, UINT8, UINT8_MAX, 7);
    CHECK_TYPE(uint16, uint16_t, UINT16, UINT16_MAX, 7);
    CHECK_TYPE(uint32, uint32_t, UINT32, UINT32_MAX, 7);
    CHECK_TYPE(uint64, uint64_t, UINT64, UINT64_MAX, 7);
    CHECK_TYPE(float, float, FLOAT32, 1.5f, -2.25f);
    CHECK_TYPE(double, double, FLOAT64, 1.5, -2.25);
    CHECK_TYPE(bool, bool, BOOL, true, false);
    CHECK_TYPE(char, char, CHAR, 'x', 'y');
    CHECK_TYPE(uchar, unsigned char, UCHAR, 'x', 200);
}

static void bytes(void)
{
    struct vaccel_arg_array array;
    char text[] = "hello";
    unsigned char data[4] = { 1, 2, 3, 4 };
    unsigned char other[4] = { 9, 9, 9, 9 };
    char *got_text = NULL;
    void *got = NULL;
    size_t size = 0;

    need(!vaccel_arg_array_init(&array, 3));
    ok_code(vaccel_arg_array_add_string(&array, text), VACCEL_OK, "a string is added");
    ok_code(vaccel_arg_array_add_buffer(&array, data, 4), VACCEL_OK, "a buffer is added");
    ok_code(vaccel_arg_array_add_raw(&array, data, 2), VACCEL_OK, "raw bytes are added");
    struct vaccel_arg *raw = vaccel_arg_array_raw(&array);
    ok(raw[0].type == VACCEL_ARG_STRING && raw[0].size == 6, "a string counts its zero");
    ok(raw[1].type == VACCEL_ARG_BUFFER && raw[2].type == VACCEL_ARG_RAW, "types are kept");

    ok(!vaccel_arg_array_get_string(&array, &got_text) && got_text == text, "a string is got");
    ok(!vaccel_arg_array_get_buffer(&array, &got, &size) && got == data && size == 4,
       "a buffer is got");
    ok(!vaccel_arg_array_get_raw(&array, &got, &size) && got == data && size == 2,
       "raw bytes are got");
    ok_code(vaccel_arg_array_get_raw(&array, &got, &size), VACCEL_ERANGE,
            "there is nothing after the end");

    vaccel_arg_array_reset_position(&array);
    char shorter[] = "hey", longer[] = "too long";
    ok(!vaccel_arg_array_set_string(&array, shorter) && !strcmp(text, "hey"), "a string is set");
    ok(!vaccel_arg_array_set_buffer(&array, other, 4) && data[3] == 9, "a buffer is set");
    ok(!vaccel_arg_array_set_raw(&array, other, 1), "raw bytes are set");
    vaccel_arg_array_reset_position(&array);
    ok_code(vaccel_arg_array_set_string(&array, longer), VACCEL_EINVAL,
            "a string that does not fit is not set");
    text[5] = 'x';
    memset(text, 'x', 5);
    ok_code(vaccel_arg_array_get_string(&array, &got_text), VACCEL_EINVAL,
            "a string without its zero is not got");
    vaccel_arg_array_release(&array);
}

static int even_size(uint32_t id, const void *buf, size_t size)
{
    return id == 5 && buf && size % 2 == 0 ? 0 : 1;
}

static void custom(void)
{
    struct vaccel_arg_array array;
    char data[4] = { 1, 2, 3, 4 };
    void *got = NULL;
    size_t size = 0;
    need(!vaccel_arg_array_init(&array, 1));
    ok_code(vaccel_arg_array_add_custom(&array, 5, data, 4, even_size), VACCEL_OK,
            "a custom argument is added");
    ok_code(vaccel_arg_array_add_custom(&array, 5, data, 3, even_size), VACCEL_EINVAL,
            "not when its validator refuses it");
    ok_code(vaccel_arg_array_get_custom(&array, 6, &got, &size, NULL), VACCEL_EINVAL,
            "it is not got as another type");
    ok(!vaccel_arg_array_get_custom(&array, 5, &got, &size, even_size) && got == data && size == 4,
       "it is got");
    vaccel_arg_array_reset_position(&array);
    ok_code(vaccel_arg_array_set_custom(&array, 5, data, 3, even_size), VACCEL_EINVAL,
            "it is not set when the validator refuses");
    char other[2] = { 8, 8 };
    ok(!vaccel_arg_array_set_custom(&array, 5, other, 2, even_size) && data[1] == 8, "it is set");
    vaccel_arg_array_release(&array);
}

/* A number as text. */
static int to_text(const void *data, size_t size, void **out, size_t *out_size)
{
    if (size != sizeof(int))
        return VACCEL_ERANGE;
    char *text = (char *)malloc(16);
    if (!text)
        return VACCEL_ENOMEM;
    *out_size = (size_t)snprintf(text, 16, "%d", *(const int *)data) + 1;
    *out = text;
    return VACCEL_OK;
}

static int from_text(const void *buf, size_t size, void *out, size_t out_size)
{
    (void)size;
    if (out_size != sizeof(int))
        return VACCEL_ERANGE;
    *(int *)out = atoi((const char *)buf);
    return VACCEL_OK;
}

static void serialized(void)
{
    struct vaccel_arg_array array, write;
    int number = 1234, got = 0;
    char room[8] = "";
    need(!vaccel_arg_array_init(&array, 1) && !vaccel_arg_array_init(&write, 1));
    ok_code(vaccel_arg_array_add_serialized(&array, VACCEL_ARG_BUFFER, 0, &number, sizeof(number),
                                            to_text),
            VACCEL_OK, "a structure is added in serialized form");
    ok(vaccel_arg_array_raw(&array)[0].owned && vaccel_arg_array_raw(&array)[0].size == 5,
       "which the argument owns");
    ok_code(vaccel_arg_array_add_serialized(&array, VACCEL_ARG_BUFFER, 0, &number, 2, to_text),
            VACCEL_ERANGE, "the error of a serializer is returned");
    ok_code(vaccel_arg_array_add_serialized(&array, VACCEL_ARG_BUFFER, 0, &number, 4, NULL),
            VACCEL_EINVAL, "no serializer is an error");
    ok_code(vaccel_arg_array_get_serialized(&array, VACCEL_ARG_RAW, 0, &got, sizeof(got),
                                            from_text),
            VACCEL_EINVAL, "it is not got as another type");
    ok_code(vaccel_arg_array_get_serialized(&array, VACCEL_ARG_BUFFER, 0, &got, 1, from_text),
            VACCEL_ERANGE, "the error of a deserializer is returned");
    ok(!vaccel_arg_array_get_serialized(&array, VACCEL_ARG_BUFFER, 0, &got, sizeof(got),
                                        from_text) &&
           got == 1234,
       "it is got");

    need(!vaccel_arg_array_add_buffer(&write, room, sizeof(room)));
    ok(!vaccel_arg_array_set_serialized(&write, VACCEL_ARG_BUFFER, 0, &number, sizeof(number),
                                        to_text) &&
           !strcmp(room, "1234"),
       "a structure is set in serialized form");
    vaccel_arg_array_reset_position(&write);
    number = 123456789;
    ok_code(vaccel_arg_array_set_serialized(&write, VACCEL_ARG_BUFFER, 0, &number, sizeof(number),
                                            to_text),
            VACCEL_EINVAL, "not when it does not fit");
    vaccel_arg_array_release(&write);
    vaccel_arg_array_release(&array);
}

static void several(void)
{
    struct vaccel_arg_array all, some, wrapped;
    struct vaccel_arg *rest = NULL;
    size_t count = 9;
    int32_t numbers[20];
    need(!vaccel_arg_array_init(&all, 0) && !vaccel_arg_array_init(&some, 2));
    bool added = true;
    for (int i = 0; i < 20; i++) {
        numbers[i] = i;
        added = added && !vaccel_arg_array_add_int32(&all, &numbers[i]);
    }
    ok(added && vaccel_arg_array_count(&all) == 20, "an array grows");

    vaccel_arg_array_set_position(&all, 18);
    ok(vaccel_arg_array_position(&all) == 18 && vaccel_arg_array_remaining_count(&all) == 2,
       "the position is set");
    ok_code(vaccel_arg_array_add_remaining(&some, &all, true), VACCEL_OK,
            "what remains is added to another array");
    ok(vaccel_arg_array_count(&some) == 2 && vaccel_arg_array_raw(&some)[1].owned &&
           *(int32_t *)vaccel_arg_array_raw(&some)[1].buf == 19,
       "as a copy");
    ok_code(vaccel_arg_array_add_range(&some, &all, 3, 2, false), VACCEL_OK, "a range is added");
    ok(vaccel_arg_array_raw(&some)[2].buf == &numbers[3] && !vaccel_arg_array_raw(&some)[2].owned,
       "without a copy");
    ok_code(vaccel_arg_array_add_all(&some, &all, false), VACCEL_OK, "all are added");
    ok(vaccel_arg_array_count(&some) == 24, "after those that were there");
    ok_code(vaccel_arg_array_add_range(&some, &all, 19, 2, false), VACCEL_ERANGE,
            "a range past the end is an error");
    ok_code(vaccel_arg_array_add_range(&some, &all, 2, SIZE_MAX, false), VACCEL_EINVAL,
            "a range that overflows is an error");
    ok(vaccel_arg_array_count(&some) == 24, "nothing is added then");

    ok_code(vaccel_arg_array_get_remaining(&all, &rest, &count), VACCEL_OK, "the rest is got");
    ok(count == 2 && rest && rest->buf == &numbers[18], "from the position on");
    ok(vaccel_arg_array_remaining_count(&all) == 0, "the position is at the end then");
    vaccel_arg_array_get_remaining(&all, &rest, &count);
    ok(count == 0 && rest == NULL, "the rest can be empty");

    vaccel_arg_array_clear(&some);
    ok(vaccel_arg_array_count(&some) == 0 && !vaccel_arg_array_add_int32(&some, &numbers[0]),
       "a cleared array is empty and can be used");

    need(!vaccel_arg_array_wrap(&wrapped, vaccel_arg_array_raw(&all), 20));
    ok_code(vaccel_arg_array_add_int32(&wrapped, &numbers[0]), VACCEL_EPERM,
            "a wrapped array cannot grow");
    ok_code(vaccel_arg_array_wrap(&wrapped, NULL, 0), VACCEL_OK, "nothing can be wrapped");
    ok_code(vaccel_arg_array_wrap(&wrapped, NULL, 1), VACCEL_EINVAL,
            "something that is NULL cannot");
    vaccel_arg_array_release(&some);
    vaccel_arg_array_release(&all);
}

static void own_memory(void)
{
    struct vaccel_arg_array *heap = NULL;
    struct vaccel_arg empty = { NULL, 0, VACCEL_ARG_INT64, 0, false };
    struct vaccel_arg_array wrapped;
    int64_t number = 77;
    ok_code(vaccel_arg_array_new(&heap, 4), VACCEL_OK, "an array is allocated");
    ok(heap && vaccel_arg_array_count(heap) == 0, "and empty");
    ok_code(vaccel_arg_array_delete(heap), VACCEL_OK, "and deleted");

    need(!vaccel_arg_array_wrap(&wrapped, &empty, 1));
    ok(!vaccel_arg_array_set_int64(&wrapped, &number) && empty.owned && empty.size == 8 &&
           *(int64_t *)empty.buf == 77,
       "an argument without bytes is given its own");
    vaccel_arg_release(&empty);

    ok_code(vaccel_arg_array_init(NULL, 0), VACCEL_EINVAL, "NULL is an error");
    ok(vaccel_arg_array_count(NULL) == 0 && vaccel_arg_array_raw(NULL) == NULL,
       "NULL has no arguments");
    ok(vaccel_arg_array_init(&wrapped, SIZE_MAX) == VACCEL_ENOMEM,
       "more room than there is memory is an error");
    ok_code(vaccel_arg_array_delete(NULL), VACCEL_EINVAL, "deleting NULL is an error");
}

int main(void)
{
    types();
    bytes();
    custom();
    serialized();
    several();
    own_memory();
    return tap_done();
}
