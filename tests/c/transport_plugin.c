/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A transport that goes nowhere: it numbers sessions and resources as the other
 * side would. What it does wrong is told through the record.
 */
#include "transport.h"

__attribute__((visibility("default"))) struct transport transport;

static int noop(struct vaccel_session *sess)
{
    return sess->remote_id == transport.last_session ? VACCEL_OK : VACCEL_EREMOTEIO;
}

static struct vaccel_op ops[] = {
    VACCEL_OP_INIT(ops[0], VACCEL_OP_NOOP, noop),
};

static int init(void)
{
    return vaccel_plugin_register_ops(ops, COUNT(ops));
}

static int fini(void)
{
    return VACCEL_OK;
}

static int session_init(struct vaccel_session *sess, uint32_t flags)
{
    transport.flags = flags;
    if (transport.refuse_session) {
        vaccel_error_set("the other side is not there");
        return VACCEL_EREMOTEIO;
    }
    transport.sessions++;
    sess->remote_id = transport.last_session = 100 + transport.sessions;
    return VACCEL_OK;
}

static int session_release(struct vaccel_session *sess)
{
    (void)sess;
    transport.sessions--;
    return transport.refuse_release ? VACCEL_EREMOTEIO : VACCEL_OK;
}

static int session_update(struct vaccel_session *sess, uint32_t flags)
{
    (void)sess;
    transport.flags = flags;
    return VACCEL_OK;
}

static int resource_register(struct vaccel_resource *res, struct vaccel_session *sess)
{
    (void)sess;
    transport.nr_blobs = res->nr_blobs;
    transport.mapped = res->nr_blobs && res->blobs[0]->data != NULL;
    if (!transport.forget_number)
        res->remote_id = 1000 + res->id;
    return VACCEL_OK;
}

static int resource_unregister(struct vaccel_resource *res, struct vaccel_session *sess)
{
    (void)res;
    (void)sess;
    transport.unregisters++;
    return VACCEL_OK;
}

VACCEL_PLUGIN(.name = "transport", .version = "1.0.0", .vaccel_version = VACCEL_VERSION,
              .is_virtio = true, .type = VACCEL_PLUGIN_REMOTE, .init = init, .fini = fini,
              .session_init = session_init, .session_release = session_release,
              .session_update = session_update, .resource_register = resource_register,
              .resource_unregister = resource_unregister)
