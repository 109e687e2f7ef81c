/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls a function of a library that is a resource, with the generic form of
 * the operation.
 *
 *     VACCEL_PLUGINS=libvaccel-exec.so ./exec_with_resource_generic ./libmytestlib.so
 */
#include "exec.h"

static int call(struct exec *e)
{
    return exec_generic(e, VACCEL_OP_EXEC_WITH_RESOURCE);
}

int main(int argc, char **argv)
{
    return exec_main(argc, argv, true, call);
}
