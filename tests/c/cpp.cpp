/* SPDX-License-Identifier: Apache-2.0 */
/* The headers in use from C++17: calls, lists, names of values, lines of the log. */
#include "tap.h"

#include <vaccel/plugin.h>

struct item {
    int number;
    struct vaccel_list_entry entry;
};

int main()
{
    struct vaccel_session sess;
    ok_code(vaccel_session_init(&sess, VACCEL_PLUGIN_CPU), VACCEL_OK, "a session is opened");
    ok(!strcmp(sess.plugin->info->name, "cpp"), "with the plugin in C++");
    ok_code(vaccel_noop(&sess), VACCEL_OK, "an operation is called");
    int from[] = { 1, 2, 3 }, to[3] = {};
    ok(!vaccel_fpga_arraycopy(&sess, from, to, 3) && to[2] == 3, "with arguments");

    char bytes[] = "model";
    struct vaccel_resource model;
    need(!vaccel_resource_init_from_buf(&model, bytes, 5, VACCEL_RESOURCE_MODEL, nullptr, true));
    need(!vaccel_resource_register(&model, &sess));
    ok_code(vaccel_model_load(&sess, &model, nullptr), VACCEL_ENOSPC, "also one of the extension");

    int count = 0;
    struct vaccel_list_entry *at, *next;
    vaccel_list_for_each(at, &sess.resources[VACCEL_RESOURCE_MODEL])
        count++;
    ok(count == 1, "the session's resources are a list");
    vaccel_list_t list;
    struct item items[2] = { { 1, {} }, { 2, {} } };
    vaccel_list_init(&list);
    vaccel_list_add_tail(&list, &items[0].entry);
    vaccel_list_add(&list, &items[1].entry);
    ok(vaccel_list_count(&list) == 2 && vaccel_list_container(list.next, struct item, entry)->number == 2,
       "lists of our own work too");
    vaccel_list_for_each_safe(at, next, &list)
        vaccel_list_unlink(at);
    ok(vaccel_list_empty(&list), "and are emptied");

    char name[VACCEL_ENUM_STR_MAX];
    ok(!strcmp(vaccel_op_type_to_str(VACCEL_OP_MINMAX, name, sizeof(name)), "VACCEL_OP_MINMAX") &&
           !strcmp(vaccel_plugin_type_name(VACCEL_PLUGIN_CPU), "VACCEL_PLUGIN_CPU"),
       "values have names");
    vaccel_error("an error, %d", 1);
    vaccel_warn("a warning");
    vaccel_info("information, %s", "text");
    vaccel_debug("something for debugging");
    ok(vaccel_error_message() != nullptr, "lines are logged");

    ok_code(vaccel_resource_release(&model), VACCEL_OK, "the resource is released");
    ok_code(vaccel_session_release(&sess), VACCEL_OK, "the session is closed");
    return tap_done();
}
