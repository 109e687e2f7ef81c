/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls the operation that does nothing in generic form, and tells how long a
 * call takes.
 *
 *     VACCEL_PLUGINS=libvaccel-noop.so ./noop_generic
 *     VACCEL_PLUGINS=libvaccel-noop.so ./noop_generic 1000000
 */
#include "example.h"

int main(int argc, char **argv)
{
    if (example_wrong_usage(argc, argv, 0, 1, "[ITERATIONS]"))
        return EXAMPLE_USAGE;
    long iterations = 1;
    if (argc > 1 && !example_number(argv[1], 1, 1000000000, &iterations))
        return EXAMPLE_USAGE;

    struct example_session s;
    if (!example_open(&s, NULL))
        return EXIT_FAILURE;

    struct example_call call;
    int ret = example_call_init(&call, VACCEL_OP_NOOP);
    uint64_t start = example_now();
    for (long i = 0; !ret && i < iterations; i++)
        ret = example_call_run(&call, &s.sess);
    uint64_t time = example_now() - start;
    if (ret)
        example_fail("noop", ret);
    else
        printf("noop: %ld calls, %.0f ns each\n", iterations, (double)time / (double)iterations);

    example_call_release(&call);
    return example_close(&s) && !ret ? EXIT_SUCCESS : EXIT_FAILURE;
}
