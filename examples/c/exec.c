/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls a function of a library that is named by its path.
 *
 *     VACCEL_PLUGINS=libvaccel-exec.so ./exec ./libmytestlib.so
 *     VACCEL_PLUGINS=libvaccel-exec.so ./exec ./libmytestlib.so 1000
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

    int32_t input = 10;
    int32_t output = 0;
    struct vaccel_arg_array read, write;
    int ret = vaccel_arg_array_init(&read, 1);
    if (ret)
        goto close;
    ret = vaccel_arg_array_init(&write, 1);
    if (ret)
        goto release_read;
    ret = vaccel_arg_array_add_int32(&read, &input);
    if (!ret)
        ret = vaccel_arg_array_add_int32(&write, &output);
    for (long i = 0; !ret && i < iterations; i++)
        ret = vaccel_exec(&s.sess, argv[1], "mytestfunc", vaccel_arg_array_raw(&read),
                          vaccel_arg_array_count(&read), vaccel_arg_array_raw(&write),
                          vaccel_arg_array_count(&write));
    vaccel_arg_array_release(&write);
release_read:
    vaccel_arg_array_release(&read);
close:
    if (ret)
        example_fail("exec", ret);
    else
        printf("mytestfunc(%d) = %d\n", input, output);
    return example_close(&s) && !ret && output == 2 * input ? EXIT_SUCCESS : EXIT_FAILURE;
}
