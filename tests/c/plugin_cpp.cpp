/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin in C++17, made with the macros of the headers. */
#include <vaccel.h>
#include <vaccel/plugin.h>

namespace {

int noop(struct vaccel_session *sess)
{
    vaccel_debug("noop of session %lld in C++", static_cast<long long>(sess->id));
    return VACCEL_OK;
}

int arraycopy(struct vaccel_session *, int *from, int *to, size_t count)
{
    for (size_t i = 0; i < count; i++)
        to[i] = from[i];
    return VACCEL_OK;
}

struct vaccel_op operations[] = {
    VACCEL_OP_INIT(operations[0], VACCEL_OP_NOOP, noop),
    VACCEL_OP_INIT(operations[1], VACCEL_OP_FPGA_ARRAYCOPY, arraycopy),
};

int init()
{
    return vaccel_plugin_register_ops(operations, 2);
}

int fini()
{
    return VACCEL_OK;
}

int model_load(struct vaccel_session *, struct vaccel_resource *, const char *)
{
    return VACCEL_ENOSPC;
}

} // namespace

VACCEL_PLUGIN("cpp", "1.0.0", VACCEL_VERSION, init, fini, false, VACCEL_PLUGIN_CPU, nullptr,
              nullptr, nullptr, nullptr, nullptr, nullptr)
VACCEL_PLUGIN_EXT(model_load, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr)
