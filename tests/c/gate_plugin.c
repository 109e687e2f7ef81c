/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plugin whose noop waits until the test opens a gate, and whose sgemm computes.
 */
#include "gate.h"

#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void set(struct gate *gate, bool open)
{
    pthread_mutex_lock(&lock);
    gate->is_open = open;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void wait_for(struct gate *gate, int waiting)
{
    pthread_mutex_lock(&lock);
    while (gate->waiting < waiting)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

__attribute__((visibility("default"))) struct gate gate = { true, 0, set, wait_for };

static int noop(struct vaccel_session *sess)
{
    (void)sess;
    pthread_mutex_lock(&lock);
    gate.waiting++;
    pthread_cond_broadcast(&changed);
    while (!gate.is_open)
        pthread_cond_wait(&changed, &lock);
    gate.waiting--;
    pthread_mutex_unlock(&lock);
    return VACCEL_OK;
}

static int sgemm(struct vaccel_session *sess, int64_t m, int64_t n, int64_t k, float alpha,
                 float *a, int64_t lda, float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    (void)sess;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            float sum = 0;
            for (int64_t p = 0; p < k; p++)
                sum += a[i * lda + p] * b[p * ldb + j];
            c[i * ldc + j] = alpha * sum + (beta == 0 ? 0 : beta * c[i * ldc + j]);
        }
    return VACCEL_OK;
}

static struct vaccel_op ops[] = {
    VACCEL_OP_INIT(ops[0], VACCEL_OP_NOOP, noop),
    VACCEL_OP_INIT(ops[1], VACCEL_OP_BLAS_SGEMM, sgemm),
};

static int init(void)
{
    return vaccel_plugin_register_ops(ops, sizeof(ops) / sizeof(ops[0]));
}

static int fini(void)
{
    return VACCEL_OK;
}

VACCEL_PLUGIN(.name = "gate", .version = "1.0.0", .vaccel_version = VACCEL_VERSION,
              .type = VACCEL_PLUGIN_CPU, .init = init, .fini = fini)
