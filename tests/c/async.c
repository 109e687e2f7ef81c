/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that are submitted and waited for later. With the plugin of gate_plugin.c all of
 * it is tested; with another (rpc, say) what does not need the gate.
 */
#include "gate.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define MANY 1000

/* One product of 2 x 2 matrices. */
struct product {
    float a[4], b[4], c[4];
    struct vaccel_completion *done;
};

static int submit(struct vaccel_session *sess, struct product *p, int seed,
                  const struct vaccel_async_options *opts)
{
    for (int i = 0; i < 4; i++) {
        p->a[i] = (float)(seed % 100 + i);
        p->b[i] = (float)(seed % 7 - i);
        p->c[i] = -1;
    }
    return vaccel_sgemm_async(sess, 2, 2, 2, 1, p->a, 2, p->b, 2, 0, p->c, 2, opts, &p->done);
}

static bool is_right(const struct product *p)
{
    for (int i = 0; i < 4; i++) {
        float sum = p->a[i / 2 * 2] * p->b[i % 2] + p->a[i / 2 * 2 + 1] * p->b[2 + i % 2];
        if (p->c[i] != sum)
            return false;
    }
    return true;
}

static void many_from_one_thread(struct vaccel_session *sess)
{
    struct product *all = (struct product *)calloc(MANY, sizeof(*all));
    need(all != NULL);
    int submitted = 0, over = 0, right = 0;
    for (int i = 0; i < MANY; i++)
        submitted += !submit(sess, &all[i], i, NULL);
    ok(submitted == MANY, "1000 calls are submitted");
    for (int i = MANY - 1; i >= 0; i--) {
        over += !vaccel_completion_wait(all[i].done, -1) && !vaccel_completion_result(all[i].done);
        right += is_right(&all[i]);
        vaccel_completion_free(all[i].done);
    }
    ok(over == MANY, "all are over, waited for from the last to the first");
    ok(right == MANY, "each has its own result");
    free(all);
}

static void poll_until_over(struct vaccel_session *sess)
{
    struct product p;
    need(!submit(sess, &p, 3, NULL));
    int code;
    while ((code = vaccel_completion_poll(p.done)) == VACCEL_EINPROGRESS)
        ;
    ok_code(code, VACCEL_OK, "polling sees the end of a call");
    ok(is_right(&p), "the result is there then");
    ok_code(vaccel_completion_cancel(p.done), VACCEL_OK, "a call that is over can be cancelled");
    ok_code(vaccel_completion_result(p.done), VACCEL_OK, "and keeps its result");
    ok_code(vaccel_completion_free(p.done), VACCEL_OK, "a completion is freed");
}

static void descriptors(struct vaccel_session *sess)
{
    struct product all[16];
    struct pollfd fds[COUNT(all)];
    int readable = 0;
    for (size_t i = 0; i < COUNT(all); i++) {
        need(!submit(sess, &all[i], (int)i, NULL));
        need(!vaccel_completion_fd(all[i].done, &fds[i].fd));
        fds[i].events = POLLIN;
    }
    while (readable < (int)COUNT(all)) {
        int n = poll(fds, COUNT(all), 20000);
        if (n < 0 && errno == EINTR)
            continue;
        need(n > 0);
        for (size_t i = 0; i < COUNT(all); i++)
            if (fds[i].revents & POLLIN) {
                readable += vaccel_completion_poll(all[i].done) == VACCEL_OK && is_right(&all[i]);
                fds[i].fd = -1;
            }
    }
    ok(readable == (int)COUNT(all), "the descriptor of a call is readable when it is over");
    for (size_t i = 0; i < COUNT(all); i++)
        vaccel_completion_free(all[i].done);
}

static void any(struct vaccel_session *sess)
{
    struct product all[8];
    struct vaccel_completion *left[COUNT(all)];
    size_t n = COUNT(all), index = 0;
    int right = 0;
    for (size_t i = 0; i < n; i++) {
        need(!submit(sess, &all[i], (int)i, NULL));
        left[i] = all[i].done;
    }
    while (n > 0 && !vaccel_completion_wait_any(left, n, -1, &index)) {
        right += !vaccel_completion_result(left[index]);
        vaccel_completion_free(left[index]);
        left[index] = left[--n];
    }
    ok(n == 0 && right == (int)COUNT(all), "waiting for any of several gives each once");
    ok_code(vaccel_completion_wait_any(left, 0, -1, &index), VACCEL_EINVAL,
            "there must be something to wait for");
}

static void count(struct vaccel_completion *completion, void *arg)
{
    if (vaccel_completion_result(completion) == VACCEL_OK)
        need(write(*(int *)arg, "x", 1) == 1);
}

static void callbacks(struct vaccel_session *sess)
{
    int ends[2];
    need(!pipe(ends));
    struct product all[16];
    struct vaccel_async_options opts = { sizeof(opts), 20000, count, &ends[1] };
    for (size_t i = 0; i < COUNT(all); i++)
        need(!submit(sess, &all[i], (int)i, &opts));
    char byte;
    for (size_t i = 0; i < COUNT(all); i++)
        need(read(ends[0], &byte, 1) == 1);
    ok(true, "`completed` is called for each");
    for (size_t i = 0; i < COUNT(all); i++)
        vaccel_completion_free(all[i].done);
    close(ends[0]);
    close(ends[1]);
}

static void errors(struct vaccel_session *sess)
{
    struct vaccel_completion *done = NULL;
    struct vaccel_session closed = { 0 };
    uint8_t code = 250;
    struct vaccel_arg arg = { .buf = &code, .size = 1, .type = VACCEL_ARG_UINT8 };
    ok_code(vaccel_noop_async(NULL, NULL, &done), VACCEL_EINVAL, "a session is needed");
    ok_code(vaccel_noop_async(&closed, NULL, &done), VACCEL_EINVAL, "it must be open");
    ok_code(vaccel_noop_async(sess, NULL, NULL), VACCEL_EINVAL, "a place for the completion is needed");
    ok_code(vaccel_genop_async(sess, NULL, 0, NULL, 0, NULL, &done), VACCEL_EINVAL,
            "an operation is needed");
    ok_code(vaccel_completion_wait(NULL, 0), VACCEL_EINVAL, "a completion is needed");
    ok_code(vaccel_completion_free(NULL), VACCEL_OK, "no completion is freed");
    need(!vaccel_genop_async(sess, &arg, 1, NULL, 0, NULL, &done));
    ok_code(vaccel_completion_wait(done, -1), VACCEL_OK, "a call that fails is over");
    ok_code(vaccel_completion_result(done), VACCEL_EINVAL, "its result is the operation's");
    ok(strstr(vaccel_error_message(), "250") != NULL, "the message is the operation's");
    vaccel_completion_free(done);
    float number = 1;
    need(!vaccel_sgemm_async(sess, -1, 1, 1, 1, &number, 1, &number, 1, 0, &number, 1, NULL, &done));
    need(!vaccel_completion_wait(done, -1));
    ok_code(vaccel_completion_result(done), VACCEL_EINVAL, "wrong numbers are the result, too");
    vaccel_completion_free(done);
}

static void generic(struct vaccel_session *sess)
{
    uint8_t code = VACCEL_OP_NOOP;
    struct vaccel_arg arg = { .buf = &code, .size = 1, .type = VACCEL_ARG_UINT8 };
    struct vaccel_completion *done;
    need(!vaccel_genop_async(sess, &arg, 1, NULL, 0, NULL, &done));
    need(!vaccel_completion_wait(done, -1));
    ok_code(vaccel_completion_result(done), VACCEL_OK, "the generic form can be submitted");
    vaccel_completion_free(done);
}

static void freed_and_released(void)
{
    struct vaccel_session sess;
    struct product all[32];
    need(!vaccel_session_init(&sess, 0));
    for (size_t i = 0; i < COUNT(all); i++)
        need(!submit(&sess, &all[i], (int)i, NULL));
    for (size_t i = 0; i < COUNT(all); i += 2)
        vaccel_completion_free(all[i].done);
    ok_code(vaccel_session_release(&sess), VACCEL_OK, "a session with calls under way is released");
    int over = 0;
    for (size_t i = 1; i < COUNT(all); i += 2) {
        int code = vaccel_completion_result(all[i].done);
        over += code == VACCEL_ECANCELED || (code == VACCEL_OK && is_right(&all[i]));
        vaccel_completion_free(all[i].done);
    }
    ok(over == (int)COUNT(all) / 2, "its calls are over then");
}

static void forked(struct vaccel_session *sess)
{
    struct product p, own;
    need(!submit(sess, &p, 5, NULL));
    fflush(stdout);
    int ends[2];
    need(!pipe(ends));
    pid_t child = fork();
    need(child >= 0);
    if (child == 0) {
        bool so = vaccel_completion_wait(p.done, -1) == VACCEL_ESESS;
        so = so && vaccel_completion_cancel(p.done) == VACCEL_ESESS;
        so = so && vaccel_completion_free(p.done) == VACCEL_OK;
        struct vaccel_session fresh;
        so = so && vaccel_session_init(&fresh, 0) == VACCEL_OK;
        so = so && submit(&fresh, &own, 6, NULL) == VACCEL_OK;
        so = so && vaccel_completion_wait(own.done, 20000) == VACCEL_OK;
        so = so && vaccel_completion_result(own.done) == VACCEL_OK && is_right(&own);
        so = so && vaccel_completion_free(own.done) == VACCEL_OK;
        so = so && vaccel_session_release(&fresh) == VACCEL_OK;
        /* The child's run folder, too. */
        so = so && vaccel_cleanup() == VACCEL_OK;
        need(write(ends[1], so ? "y" : "n", 1) == 1);
        /* What is the parent's is not freed here: nobody is to look for leaks. */
        raise(SIGKILL);
    }
    char answer = 0;
    need(read(ends[0], &answer, 1) == 1);
    need(waitpid(child, NULL, 0) == child);
    close(ends[0]);
    close(ends[1]);
    ok(answer == 'y', "a child has calls of its own, and not those of its parent");
    need(!vaccel_completion_wait(p.done, -1));
    ok(!vaccel_completion_result(p.done) && is_right(&p), "the parent's call is not disturbed");
    vaccel_completion_free(p.done);
}

/* With VACCEL_ASYNC_THREADS=1: the first call runs, the others wait for the thread. */
static void at_the_gate(struct vaccel_session *sess, struct gate *gate)
{
    struct vaccel_completion *running, *waiting, *late;
    struct vaccel_async_options soon = { sizeof(soon), 1, NULL, NULL };
    gate->set(gate, false);
    need(!vaccel_noop_async(sess, NULL, &running));
    gate->wait_for(gate, 1);
    need(!vaccel_noop_async(sess, NULL, &waiting));
    need(!vaccel_noop_async(sess, &soon, &late));
    ok_code(vaccel_completion_poll(running), VACCEL_EINPROGRESS, "a call that runs is not over");
    ok_code(vaccel_completion_result(running), VACCEL_EINPROGRESS, "and has no result");
    ok_code(vaccel_completion_wait(running, 1), VACCEL_ETIMEDOUT, "waiting for it ends in time");
    ok_code(vaccel_completion_cancel(running), VACCEL_EBUSY, "what runs in the process is not stopped");
    ok_code(vaccel_completion_cancel(waiting), VACCEL_OK, "what has not begun is");
    ok_code(vaccel_completion_result(waiting), VACCEL_ECANCELED, "its result says so");
    ok_code(vaccel_completion_wait(late, -1), VACCEL_OK, "a call is over at its deadline");
    ok_code(vaccel_completion_result(late), VACCEL_ETIMEDOUT, "when it could not begin before");
    ok_code(vaccel_session_set_timeout(sess, 1), VACCEL_OK, "a session has a default");
    vaccel_completion_free(late);
    need(!vaccel_noop_async(sess, NULL, &late));
    need(!vaccel_completion_wait(late, -1));
    ok_code(vaccel_completion_result(late), VACCEL_ETIMEDOUT, "which counts for its calls");
    need(!vaccel_session_set_timeout(sess, 0));
    gate->set(gate, true);
    ok_code(vaccel_completion_wait(running, -1), VACCEL_OK, "the running call ends");
    ok_code(vaccel_completion_result(running), VACCEL_OK, "with its own result");
    vaccel_completion_free(running);
    vaccel_completion_free(waiting);
    vaccel_completion_free(late);
}

int main(void)
{
    struct vaccel_session sess;
    need(!vaccel_session_init(&sess, 0));
    many_from_one_thread(&sess);
    poll_until_over(&sess);
    descriptors(&sess);
    any(&sess);
    callbacks(&sess);
    errors(&sess);
    generic(&sess);
    freed_and_released();
    forked(&sess);
    struct gate *gate = gate_find();
    if (gate)
        at_the_gate(&sess, gate);
    need(!vaccel_session_release(&sess));
    return tap_done();
}
