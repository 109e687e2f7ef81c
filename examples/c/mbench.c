/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls an operation that takes a known time, and tells how long the caller
 * waited: the difference is what the way there and back costs.
 *
 *     VACCEL_PLUGINS=libvaccel-mbench.so ./mbench 10
 *     VACCEL_PLUGINS=libvaccel-rpc.so ./mbench 10 100
 */
#include "example.h"

/* Makes the calls; adds up the nanoseconds that the operation took. */
static int call(struct vaccel_session *sess, int64_t milliseconds, long iterations, double *worked)
{
    int64_t nanoseconds = 0;
    struct vaccel_arg_array read, write;
    int ret = vaccel_arg_array_init(&read, 1);
    if (ret)
        return ret;
    ret = vaccel_arg_array_init(&write, 1);
    if (ret)
        goto release_read;
    ret = vaccel_arg_array_add_int64(&read, &milliseconds);
    if (!ret)
        ret = vaccel_arg_array_add_int64(&write, &nanoseconds);
    for (long i = 0; !ret && i < iterations; i++) {
        ret = vaccel_exec(sess, "mbench", "spin", vaccel_arg_array_raw(&read),
                          vaccel_arg_array_count(&read), vaccel_arg_array_raw(&write),
                          vaccel_arg_array_count(&write));
        *worked += (double)nanoseconds;
    }
    vaccel_arg_array_release(&write);
release_read:
    vaccel_arg_array_release(&read);
    return ret;
}

int main(int argc, char **argv)
{
    long milliseconds, iterations = 1;
    if (example_wrong_usage(argc, argv, 1, 2, "MILLISECONDS [ITERATIONS]") ||
        !example_number(argv[1], 0, 60000, &milliseconds) ||
        (argc > 2 && !example_number(argv[2], 1, 1000000, &iterations)))
        return EXAMPLE_USAGE;

    struct example_session s;
    if (!example_open(&s, NULL))
        return EXIT_FAILURE;
    double worked = 0.0;
    uint64_t start = example_now();
    int ret = call(&s.sess, milliseconds, iterations, &worked);
    double waited = (double)(example_now() - start);
    if (ret)
        example_fail("mbench", ret);
    else
        printf("mbench: worked %.3f ms, waited %.3f ms, overhead %.1f us a call\n",
               worked / (double)iterations / 1e6, waited / (double)iterations / 1e6,
               (waited - worked) / (double)iterations / 1e3);
    return example_close(&s) && !ret ? EXIT_SUCCESS : EXIT_FAILURE;
}
