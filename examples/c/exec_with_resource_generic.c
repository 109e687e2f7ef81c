/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls a function of a library that is a resource, with the generic form of
 * the operation.
 *
 *     VACCEL_PLUGINS=libvaccel-exec.so ./exec_with_resource_generic ./libmytestlib.so
 */
#include "example.h"

/* Doubles `input` with the library; VACCEL_OK or an error code. */
static int call(struct vaccel_session *sess, struct vaccel_resource *lib, long iterations,
                int32_t *input, int32_t *output)
{
    char symbol[] = "mytestfunc";
    struct example_call call;
    int ret = example_call_init(&call, VACCEL_OP_EXEC_WITH_RESOURCE);
    if (!ret)
        ret = vaccel_arg_array_add_int64(&call.read, &lib->id);
    if (!ret)
        ret = vaccel_arg_array_add_string(&call.read, symbol);
    if (!ret)
        ret = vaccel_arg_array_add_int32(&call.read, input);
    if (!ret)
        ret = vaccel_arg_array_add_int32(&call.write, output);
    for (long i = 0; !ret && i < iterations; i++)
        ret = example_call_run(&call, sess);
    example_call_release(&call);
    return ret;
}

int main(int argc, char **argv)
{
    if (example_wrong_usage(argc, argv, 1, 2, "LIBRARY [ITERATIONS]"))
        return EXAMPLE_USAGE;
    long iterations = 1;
    if (argc > 2 && !example_number(argv[2], 1, 1000000, &iterations))
        return EXAMPLE_USAGE;

    int status = EXIT_FAILURE;
    struct example_session s;
    struct vaccel_resource lib;
    if (!example_open(&s, NULL))
        return EXIT_FAILURE;
    int ret = vaccel_resource_init(&lib, argv[1], VACCEL_RESOURCE_LIB);
    if (ret) {
        example_fail("making a resource of the library", ret);
        goto close;
    }
    ret = vaccel_resource_register(&lib, &s.sess);
    if (ret) {
        example_fail("registering the library", ret);
        goto release;
    }

    int32_t input = 10;
    int32_t output = 0;
    ret = call(&s.sess, &lib, iterations, &input, &output);
    if (ret)
        example_fail("exec", ret);
    else
        printf("mytestfunc(%d) = %d\n", input, output);
    if (!ret && output == 2 * input)
        status = EXIT_SUCCESS;
release:
    ret = vaccel_resource_release(&lib);
    if (ret)
        status = example_fail("releasing the library", ret);
close:
    return example_close(&s) ? status : EXIT_FAILURE;
}
