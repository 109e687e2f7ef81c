/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls the operation that does nothing, and tells how long a call takes.
 *
 *     VACCEL_PLUGINS=libvaccel-noop.so ./noop
 *     VACCEL_PLUGINS=libvaccel-noop.so ./noop 1000000
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

    int ret = VACCEL_OK;
    uint64_t start = example_now();
    for (long i = 0; !ret && i < iterations; i++)
        ret = vaccel_noop(&s.sess);
    uint64_t time = example_now() - start;
    if (ret)
        example_fail("noop", ret);
    else
        printf("noop: %ld calls, %.0f ns each\n", iterations, (double)time / (double)iterations);

    return example_close(&s) && !ret ? EXIT_SUCCESS : EXIT_FAILURE;
}
