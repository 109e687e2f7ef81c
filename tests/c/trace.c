/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The spans that operations are called in. With a transport, an agent that records traces has been
 * told: whoever runs this with one looks there.
 */
#include "tap.h"

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"

static void wrong(struct vaccel_session *sess)
{
    static const char *const texts[] = {
        "",
        "x",
        "00-" TRACE "-00f067aa0ba902b7",
        "00-" TRACE "-00f067aa0ba902b7-01-",
        "00-" TRACE "-00F067AA0BA902B7-01",
        "00-" TRACE "-0000000000000000-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "ff-" TRACE "-00f067aa0ba902b7-01",
        "01-" TRACE "-00f067aa0ba902b7-01x",
        "00-" TRACE "00f067aa0ba902b7--01",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        ok_code(vaccel_session_set_trace(sess, texts[i]), VACCEL_EINVAL, texts[i]);
    ok(strstr(vaccel_error_message(), "traceparent") != NULL, "which the message says");
    ok_code(vaccel_session_set_trace(NULL, NULL), VACCEL_EINVAL, "there must be a session");
}

int main(void)
{
    struct vaccel_session one, other;
    need(!vaccel_session_init(&one, 0));
    need(!vaccel_session_init(&other, 0));
    ok_code(vaccel_session_set_trace(&one, "00-" TRACE "-1111111111111111-01"), VACCEL_OK,
            "a session has a span");
    ok_code(vaccel_noop(&one), VACCEL_OK, "in which it calls");
    ok_code(vaccel_noop(&other), VACCEL_OK, "another one does not");
    ok_code(vaccel_session_set_trace(&other, "cc-" TRACE "-2222222222222222-01-more"), VACCEL_OK,
            "it has its own, of a version to come");
    ok_code(vaccel_noop(&other), VACCEL_OK, "in which it calls");
    wrong(&one);
    ok_code(vaccel_noop(&one), VACCEL_OK, "what is wrong changes nothing");
    struct vaccel_completion *done;
    need(!vaccel_noop_async(&one, NULL, &done));
    ok_code(vaccel_completion_wait(done, -1), VACCEL_OK, "calls that are submitted have it too");
    vaccel_completion_free(done);
    ok_code(vaccel_session_set_trace(&one, NULL), VACCEL_OK, "it can be taken away");
    ok_code(vaccel_noop(&one), VACCEL_OK, "for the calls that follow");
    need(!vaccel_session_release(&one));
    need(!vaccel_session_release(&other));
    return tap_done();
}
