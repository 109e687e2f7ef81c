/* SPDX-License-Identifier: Apache-2.0 */
/* What the programs that call a function of a library share: all but the call. */
#ifndef EXAMPLE_EXEC_H
#define EXAMPLE_EXEC_H

#include "example.h"

/* A library, and the numbers that its function doubles. */
struct exec {
    struct example_session s;
    char *path;
    struct vaccel_resource lib; /* only where the library is a resource */
    int32_t input, output;
};

/* Makes the arguments of the function; the caller releases them. */
static inline int exec_arguments(struct exec *e, struct vaccel_arg_array *read,
                                 struct vaccel_arg_array *write)
{
    int ret = vaccel_arg_array_init(read, 1);
    if (ret)
        return ret;
    ret = vaccel_arg_array_init(write, 1);
    if (ret) {
        vaccel_arg_array_release(read);
        return ret;
    }
    ret = vaccel_arg_array_add_int32(read, &e->input);
    if (!ret)
        ret = vaccel_arg_array_add_int32(write, &e->output);
    if (ret) {
        vaccel_arg_array_release(write);
        vaccel_arg_array_release(read);
    }
    return ret;
}

/* The operation in generic form; the library is named by its path or by the resource's number. */
static inline int exec_generic(struct exec *e, vaccel_op_type_t op)
{
    char symbol[] = "mytestfunc";
    struct example_call call;
    int ret = example_call_init(&call, op);
    if (!ret)
        ret = op == VACCEL_OP_EXEC ? vaccel_arg_array_add_string(&call.read, e->path) :
                                     vaccel_arg_array_add_int64(&call.read, &e->lib.id);
    if (!ret)
        ret = vaccel_arg_array_add_string(&call.read, symbol);
    if (!ret)
        ret = vaccel_arg_array_add_int32(&call.read, &e->input);
    if (!ret)
        ret = vaccel_arg_array_add_int32(&call.write, &e->output);
    if (!ret)
        ret = example_call_run(&call, &e->s.sess);
    example_call_release(&call);
    return ret;
}

/* Makes a resource of the library and registers it; false, with a message, on error. */
static inline bool exec_register(struct exec *e)
{
    int ret = vaccel_resource_init(&e->lib, e->path, VACCEL_RESOURCE_LIB);
    if (ret) {
        example_fail("making a resource of the library", ret);
        return false;
    }
    ret = vaccel_resource_register(&e->lib, &e->s.sess);
    if (!ret)
        return true;
    example_fail("registering the library", ret);
    vaccel_resource_release(&e->lib);
    return false;
}

/* Opens a session, makes the calls and checks the result. */
static inline int exec_main(int argc, char **argv, bool with_resource, int (*call)(struct exec *))
{
    if (example_wrong_usage(argc, argv, 1, 2, "LIBRARY [ITERATIONS]"))
        return EXAMPLE_USAGE;
    long iterations = 1;
    if (argc > 2 && !example_number(argv[2], 1, 1000000, &iterations))
        return EXAMPLE_USAGE;

    int status = EXIT_FAILURE;
    static struct exec e;
    e.path = argv[1];
    e.input = 10;
    if (!example_open(&e.s, NULL))
        return EXIT_FAILURE;
    if (with_resource && !exec_register(&e))
        goto close;

    int ret = VACCEL_OK;
    for (long i = 0; !ret && i < iterations; i++)
        ret = call(&e);
    if (ret)
        example_fail("exec", ret);
    else
        printf("mytestfunc(%d) = %d\n", e.input, e.output);
    if (!ret && e.output == 2 * e.input)
        status = EXIT_SUCCESS;
    ret = with_resource ? vaccel_resource_release(&e.lib) : VACCEL_OK;
    if (ret)
        status = example_fail("releasing the library", ret);
close:
    return example_close(&e.s) ? status : EXIT_FAILURE;
}

#endif /* EXAMPLE_EXEC_H */
