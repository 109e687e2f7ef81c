/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plugin in C: noop, sgemm and models of a format of its own.
 *
 *     make -C examples/plugin-c PREFIX=/usr/local OUT=build
 *     VACCEL_PLUGINS=examples/plugin-c/build/libvaccel-example-c.so examples/c/build/sgemm
 */
/* For strdup() with -std=c11. */
#define _POSIX_C_SOURCE 200809L

#include "identity.h"

#include <stdlib.h>
#include <string.h>

static int noop(struct vaccel_session *sess)
{
    vaccel_debug("[example-c] noop in session %lld", (long long)sess->id);
    return VACCEL_OK;
}

/* True when `rows` rows of `columns` floats with this distance between them make a matrix. */
static bool is_matrix(int64_t rows, int64_t columns, const float *data, int64_t distance)
{
    return rows >= 0 && columns >= 0 && distance >= columns && (data || !rows || !columns);
}

/* C = alpha A B + beta C. Row after row of B is added up: all memory is read in order. */
static int sgemm(struct vaccel_session *sess, int64_t m, int64_t n, int64_t k, float alpha,
                 float *a, int64_t lda, float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    (void)sess;
    if (!is_matrix(m, k, a, lda) || !is_matrix(k, n, b, ldb) || !is_matrix(m, n, c, ldc)) {
        vaccel_error_set("sgemm: a dimension is negative, a matrix is missing, or a leading "
                         "dimension is less than the number of columns");
        return VACCEL_EINVAL;
    }
    for (int64_t i = 0; i < m; i++) {
        float *row = c + i * ldc;
        /* With beta 0 the old content of C is not read: it may be NaN. */
        for (int64_t j = 0; j < n; j++)
            row[j] = beta == 0.0f ? 0.0f : beta * row[j];
        for (int64_t l = 0; l < k; l++) {
            float factor = alpha * a[i * lda + l];
            for (int64_t j = 0; j < n; j++)
                row[j] += factor * b[l * ldb + j];
        }
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
    identity_clear();
    return VACCEL_OK;
}

static int resource_unregister(struct vaccel_resource *res, struct vaccel_session *sess)
{
    /* A model must not outlive its resource. That it was never loaded is no error. */
    if (res->type == VACCEL_RESOURCE_MODEL)
        identity_unload(sess, res);
    return VACCEL_OK;
}

static int describe(char **json)
{
    *json = strdup("{\"devices\":[\"cpu\"],\"formats\":[\"identity\"],\"ready\":true}");
    return *json ? VACCEL_OK : VACCEL_ENOMEM;
}

VACCEL_PLUGIN(.name = "example-c", .version = "1.0.0", .vaccel_version = VACCEL_VERSION,
              .type = VACCEL_PLUGIN_CPU | VACCEL_PLUGIN_SOFTWARE, .init = init, .fini = fini,
              .resource_unregister = resource_unregister)

VACCEL_PLUGIN_EXT(.model_load = identity_load, .model_unload = identity_unload,
                  .model_run = identity_run, .model_info = identity_info, .describe = describe)
