/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls a function of a library that is named by its path, with the generic
 * form of the operation.
 *
 *     VACCEL_PLUGINS=libvaccel-exec.so ./exec_generic ./libmytestlib.so
 *     VACCEL_PLUGINS=libvaccel-exec.so ./exec_generic ./libmytestlib.so 1000
 */
#include "exec.h"

static int call(struct exec *e)
{
    return exec_generic(e, VACCEL_OP_EXEC);
}

int main(int argc, char **argv)
{
    return exec_main(argc, argv, false, call);
}
