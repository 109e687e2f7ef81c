/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The installed exec plugin, with the library of examples/c: by path, as a
 * resource of a file, and as a resource of bytes in memory.
 */
#include "tap.h"

static struct vaccel_session sess;
static int32_t in, out;
static struct vaccel_arg reads = { &in, sizeof(in), VACCEL_ARG_INT32, 0, false };
static struct vaccel_arg writes = { &out, sizeof(out), VACCEL_ARG_INT32, 0, false };

static int call(struct vaccel_resource *lib, const char *function)
{
    return vaccel_exec_with_resource(&sess, lib, function, &reads, 1, &writes, 1);
}

static void by_path(const char *path)
{
    in = 4;
    ok_code(vaccel_exec(&sess, path, "mytestfunc", &reads, 1, &writes, 1), VACCEL_OK,
            "a function is called by the path of its library");
    ok(out == 8, "and answers");
    ok_code(vaccel_exec(&sess, path, "mytestfunc_nodata", NULL, 0, NULL, 0), VACCEL_OK,
            "a function without arguments is called");
    ok(vaccel_exec(&sess, path, "mytestfunc_nodata", &reads, 1, NULL, 0) != VACCEL_OK,
       "the error of a function is returned");
    ok(vaccel_exec(&sess, path, "no_such_function", NULL, 0, NULL, 0) != VACCEL_OK,
       "a missing function is an error");
    ok(strstr(vaccel_error_message(), "no_such_function") != NULL, "whose message names it");
    ok(vaccel_exec(&sess, "/no/such/library.so", "f", NULL, 0, NULL, 0) != VACCEL_OK,
       "a missing library is an error");
    ok(strstr(vaccel_error_message(), "/no/such/library.so") != NULL, "whose message names it");
    ok_code(vaccel_exec(&sess, "", "malloc", NULL, 0, NULL, 0), VACCEL_EINVAL,
            "the program itself is no library");
}

static void by_resource(const char *path)
{
    struct vaccel_resource file, memory, again, garbage;
    void *bytes = NULL;
    size_t size = 0;
    char text[] = "this is no library";
    need(!vaccel_resource_init(&file, path, VACCEL_RESOURCE_LIB));
    need(!vaccel_resource_register(&file, &sess));
    in = 5;
    ok(!call(&file, "mytestfunc") && out == 10, "a function is called in a resource of a file");
    ok(call(&file, "no_such_function") != VACCEL_OK, "a missing function is an error");
    vaccel_resource_release(&file);

    need(!fs_file_read(path, &bytes, &size));
    need(!vaccel_resource_init_from_buf(&memory, bytes, size, VACCEL_RESOURCE_LIB, NULL, true));
    need(!vaccel_resource_register(&memory, &sess));
    in = 6;
    ok(!call(&memory, "mytestfunc") && out == 12, "a function is called in a resource of bytes");
    ok(!call(&memory, "mytestfunc") && out == 12, "again");
    vaccel_resource_release(&memory);
    /* Two at once must not be taken for one another, wherever they are kept. */
    need(!vaccel_resource_init_from_buf(&memory, bytes, size, VACCEL_RESOURCE_LIB, "a.so", true) &&
         !vaccel_resource_init_from_buf(&again, bytes, size, VACCEL_RESOURCE_LIB, "a.so", true));
    need(!vaccel_resource_register(&memory, &sess) && !vaccel_resource_register(&again, &sess));
    ok(!call(&memory, "mytestfunc") && !call(&again, "mytestfunc"), "and in two of one name");
    vaccel_resource_release(&memory);
    in = 9;
    ok(!call(&again, "mytestfunc") && out == 18, "of which one is left");
    vaccel_resource_release(&again);
    /* Where nothing can be written to, there is no place for a file. */
    if (vaccel_rundir()) {
        need(!vaccel_resource_init_from_buf(&again, bytes, size, VACCEL_RESOURCE_LIB, "name.so",
                                            false));
        need(!vaccel_resource_register(&again, &sess));
        in = 7;
        ok(!call(&again, "mytestfunc") && out == 14, "a function is called in bytes kept in a file");
        vaccel_resource_release(&again);
    }
    free(bytes);

    need(!vaccel_resource_init_from_buf(&garbage, text, sizeof(text), VACCEL_RESOURCE_LIB, NULL,
                                        true));
    need(!vaccel_resource_register(&garbage, &sess));
    ok(call(&garbage, "malloc") != VACCEL_OK, "bytes that are no library are an error");
    ok(*vaccel_error_message() != '\0', "with a message");
    vaccel_resource_release(&garbage);
}

int main(int argc, char **argv)
{
    need(argc == 2);
    need(!vaccel_session_init(&sess, 0));
    by_path(argv[1]);
    by_resource(argv[1]);
    vaccel_session_release(&sess);
    return tap_done();
}
