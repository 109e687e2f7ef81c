/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes calls one by one, then with up to 64 of them under way, and tells how long
 * a call takes either way.
 *
 *     VACCEL_PLUGINS=libvaccel-rpc.so VACCEL_RPC_ADDRESS=unix:///run/vaccel/agent.sock ./async 100000
 */
#include "example.h"

#define UNDER_WAY 64

static int one_by_one(struct vaccel_session *sess, long calls)
{
    int ret = VACCEL_OK;
    for (long i = 0; !ret && i < calls; i++)
        ret = vaccel_noop(sess);
    return ret;
}

static int pipelined(struct vaccel_session *sess, long calls)
{
    struct vaccel_completion *all[UNDER_WAY] = { NULL };
    int ret = VACCEL_OK;
    /* Each place is waited for before it is used again, and all at the end. */
    for (long i = 0; i < calls + UNDER_WAY; i++) {
        struct vaccel_completion **place = &all[i % UNDER_WAY];
        if (*place) {
            vaccel_completion_wait(*place, -1);
            if (!ret)
                ret = vaccel_completion_result(*place);
            vaccel_completion_free(*place);
            *place = NULL;
        }
        if (!ret && i < calls)
            ret = vaccel_noop_async(sess, NULL, place);
    }
    return ret;
}

int main(int argc, char **argv)
{
    if (example_wrong_usage(argc, argv, 0, 1, "[CALLS]"))
        return EXAMPLE_USAGE;
    long calls = 1000;
    if (argc > 1 && !example_number(argv[1], 1, 1000000000, &calls))
        return EXAMPLE_USAGE;

    struct example_session s;
    if (!example_open(&s, NULL))
        return EXIT_FAILURE;

    uint64_t start = example_now();
    int ret = one_by_one(&s.sess, calls);
    uint64_t middle = example_now();
    if (!ret)
        ret = pipelined(&s.sess, calls);
    uint64_t end = example_now();
    if (ret)
        example_fail("noop", ret);
    else
        printf("async: %ld calls, %.0f ns each one by one, %.0f ns each with %d under way\n", calls,
               (double)(middle - start) / (double)calls, (double)(end - middle) / (double)calls,
               UNDER_WAY);

    return example_close(&s) && !ret ? EXIT_SUCCESS : EXIT_FAILURE;
}
