/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls a function of a library that is named by its path, with the generic
 * form of the operation.
 *
 *     VACCEL_PLUGINS=libvaccel-exec.so ./exec_generic ./libmytestlib.so
 *     VACCEL_PLUGINS=libvaccel-exec.so ./exec_generic ./libmytestlib.so 1000
 */
#include "example.h"

int main(int argc, char **argv)
{
    if (example_wrong_usage(argc, argv, 1, 2, "LIBRARY [ITERATIONS]"))
        return EXAMPLE_USAGE;
    long iterations = 1;
    if (argc > 2 && !example_number(argv[2], 1, 1000000, &iterations))
        return EXAMPLE_USAGE;

    struct example_session s;
    if (!example_open(&s, NULL))
        return EXIT_FAILURE;

    char symbol[] = "mytestfunc";
    int32_t input = 10;
    int32_t output = 0;
    struct example_call call;
    int ret = example_call_init(&call, VACCEL_OP_EXEC);
    if (!ret)
        ret = vaccel_arg_array_add_string(&call.read, argv[1]);
    if (!ret)
        ret = vaccel_arg_array_add_string(&call.read, symbol);
    if (!ret)
        ret = vaccel_arg_array_add_int32(&call.read, &input);
    if (!ret)
        ret = vaccel_arg_array_add_int32(&call.write, &output);
    for (long i = 0; !ret && i < iterations; i++)
        ret = example_call_run(&call, &s.sess);
    if (ret)
        example_fail("exec", ret);
    else
        printf("mytestfunc(%d) = %d\n", input, output);

    example_call_release(&call);
    return example_close(&s) && !ret && output == 2 * input ? EXIT_SUCCESS : EXIT_FAILURE;
}
