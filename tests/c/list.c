/* SPDX-License-Identifier: Apache-2.0 */
/* The list helpers of vaccel/list.h. */
#include "tap.h"

struct item {
    int number;
    struct vaccel_list_entry entry;
};

/* The numbers in the list as text. */
static const char *numbers(vaccel_list_t *list)
{
    static char text[64];
    struct vaccel_list_entry *at;
    size_t length = 0;
    text[0] = '\0';
    vaccel_list_for_each(at, list) {
        struct item *item = vaccel_list_container(at, struct item, entry);
        length += (size_t)snprintf(text + length, sizeof(text) - length, "%d ", item->number);
    }
    return text;
}

int main(void)
{
    vaccel_list_t list;
    struct item items[3] = { { 1, { NULL, NULL } }, { 2, { NULL, NULL } }, { 3, { NULL, NULL } } };

    vaccel_list_init(&list);
    ok(vaccel_list_empty(&list) && vaccel_list_count(&list) == 0, "a new list is empty");

    vaccel_list_add_tail(&list, &items[1].entry);
    vaccel_list_add_tail(&list, &items[2].entry);
    vaccel_list_add(&list, &items[0].entry);
    ok(!vaccel_list_empty(&list) && vaccel_list_count(&list) == 3, "entries are counted");
    ok(!strcmp(numbers(&list), "1 2 3 "), "entries are where they were added");

    vaccel_list_unlink(&items[1].entry);
    ok(!strcmp(numbers(&list), "1 3 "), "an entry is taken out");
    ok(vaccel_list_empty(&items[1].entry), "which is in no list then");
    vaccel_list_unlink(&items[1].entry);
    ok(!strcmp(numbers(&list), "1 3 "), "taking it out again is harmless");

    struct vaccel_list_entry *at, *next;
    vaccel_list_for_each_safe(at, next, &list)
        vaccel_list_unlink(at);
    ok(vaccel_list_empty(&list), "a safe loop can take out all");
    return tap_done();
}
