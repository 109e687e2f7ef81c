/* SPDX-License-Identifier: Apache-2.0 */
/* Several threads use the library, a session and a resource at once. */
#include "recorder.h"

#include <pthread.h>

#define THREADS 8

/* What all threads of a test work with. */
struct shared {
    pthread_barrier_t start;
    struct vaccel_session *sess;
    struct vaccel_resource *res;
    int failures;
};

static void run(struct shared *shared, void *(*function)(void *))
{
    pthread_t all[THREADS];
    shared->failures = 0;
    need(!pthread_barrier_init(&shared->start, NULL, THREADS));
    for (int i = 0; i < THREADS; i++)
        need(!pthread_create(&all[i], NULL, function, shared));
    for (int i = 0; i < THREADS; i++)
        need(!pthread_join(all[i], NULL));
    pthread_barrier_destroy(&shared->start);
}

static void failed(struct shared *shared)
{
    __atomic_add_fetch(&shared->failures, 1, __ATOMIC_SEQ_CST);
}

/* Registers one resource, each thread with a session of its own. */
static void *register_own(void *argument)
{
    struct shared *shared = (struct shared *)argument;
    struct vaccel_session sess;
    if (vaccel_session_init(&sess, 0)) {
        failed(shared);
        pthread_barrier_wait(&shared->start);
        return NULL;
    }
    pthread_barrier_wait(&shared->start);
    if (vaccel_resource_register(shared->res, &sess) ||
        !vaccel_session_has_resource(&sess, shared->res) || shared->res->nr_blobs != 1)
        failed(shared);
    if (vaccel_session_release(&sess))
        failed(shared);
    return NULL;
}

/* Registers one resource with one session. */
static void *register_shared(void *argument)
{
    struct shared *shared = (struct shared *)argument;
    pthread_barrier_wait(&shared->start);
    if (vaccel_resource_register(shared->res, shared->sess) ||
        !vaccel_session_has_resource(shared->sess, shared->res))
        failed(shared);
    return NULL;
}

/* How often each thread opens and closes: CYCLES, else 200. */
static long cycles(void)
{
    const char *text = getenv("CYCLES");
    return text ? atol(text) : 200;
}

/* Opens, uses and closes sessions. */
static void *churn(void *argument)
{
    struct shared *shared = (struct shared *)argument;
    pthread_barrier_wait(&shared->start);
    for (long i = 0, n = cycles(); i < n; i++) {
        struct vaccel_session sess;
        struct vaccel_resource res;
        char data[] = "data";
        if (vaccel_session_init(&sess, 0)) {
            failed(shared);
            continue;
        }
        if (vaccel_resource_init_from_buf(&res, data, 4, VACCEL_RESOURCE_DATA, NULL, true) ||
            vaccel_resource_register(&res, &sess) || vaccel_noop(&sess) ||
            vaccel_resource_release(&res) || vaccel_session_release(&sess))
            failed(shared);
    }
    return NULL;
}

/* Calls an operation of one session. */
static void *call(void *argument)
{
    struct shared *shared = (struct shared *)argument;
    pthread_barrier_wait(&shared->start);
    for (int i = 0; i < 1000; i++)
        if (vaccel_noop(shared->sess))
            failed(shared);
    return NULL;
}

int main(void)
{
    struct recorder *rec = recorder_find();
    struct shared shared;
    struct vaccel_session sess;
    struct vaccel_resource res;
    char dir[256], path[300];
    tap_directory(dir);
    snprintf(path, sizeof(path), "%s/file", dir);
    tap_write_file(path, "content", 7);
    need(!vaccel_session_init(&sess, 0));
    shared.sess = &sess;
    shared.res = &res;

    bool all = true;
    for (int round = 0; round < 20; round++) {
        need(!vaccel_resource_init(&res, path, VACCEL_RESOURCE_DATA));
        run(&shared, register_own);
        all = all && shared.failures == 0 && vaccel_resource_refcount(&res) == 0;
        need(!vaccel_resource_release(&res));
    }
    ok(all, "the first registration of a file works from all threads at once");

    need(!vaccel_resource_init(&res, path, VACCEL_RESOURCE_DATA));
    rec->registers = 0;
    run(&shared, register_shared);
    ok(shared.failures == 0 && vaccel_resource_refcount(&res) == 1 && rec->registers == 1,
       "registering with one session from all threads is done once");
    need(!vaccel_resource_release(&res));

    run(&shared, churn);
    ok(shared.failures == 0, "threads open, use and close sessions");
    run(&shared, call);
    ok(shared.failures == 0, "threads call operations of one session");

    ok_code(vaccel_session_release(&sess), VACCEL_OK, "the session is closed");
    remove(path);
    remove(dir);
    return tap_done();
}
