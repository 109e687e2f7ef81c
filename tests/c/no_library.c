/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library cannot start: VACCEL_PLUGINS names a plugin that is not there, or
 * there is no place for run-time files. The program must live, and every call
 * say so.
 */
#include "tap.h"

int main(void)
{
    struct vaccel_session sess;
    struct vaccel_resource res;
    struct vaccel_arg_array array;
    char data[] = "data";
    ok(!vaccel_is_initialized(), "the library is not initialised, and the program runs");
    ok_code(vaccel_session_init(&sess, 0), VACCEL_ESESS, "a session cannot be opened");
    ok(*vaccel_error_message() != '\0', "there is a message");
    ok_code(vaccel_noop(&sess), VACCEL_ESESS, "nor used");
    ok_code(vaccel_resource_init_from_buf(&res, data, 4, VACCEL_RESOURCE_DATA, NULL, true),
            VACCEL_ESESS, "a resource cannot be made");
    ok_code(vaccel_plugin_load("x.so"), VACCEL_EBACKEND, "a plugin cannot be loaded");
    ok(vaccel_rundir() == NULL, "there is no run directory");
    ok(!vaccel_arg_array_init(&array, 1) && !vaccel_arg_array_release(&array),
       "what needs no library works");
    ok_code(vaccel_cleanup(), VACCEL_OK, "ending it is harmless");
    return tap_done();
}
