/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls a function of a library that is named by its path.
 *
 *     VACCEL_PLUGINS=libvaccel-exec.so ./exec ./libmytestlib.so
 *     VACCEL_PLUGINS=libvaccel-exec.so ./exec ./libmytestlib.so 1000
 */
#include "exec.h"

static int call(struct exec *e)
{
    struct vaccel_arg_array read, write;
    int ret = exec_arguments(e, &read, &write);
    if (ret)
        return ret;
    ret = vaccel_exec(&e->s.sess, e->path, "mytestfunc", vaccel_arg_array_raw(&read),
                      vaccel_arg_array_count(&read), vaccel_arg_array_raw(&write),
                      vaccel_arg_array_count(&write));
    vaccel_arg_array_release(&write);
    vaccel_arg_array_release(&read);
    return ret;
}

int main(int argc, char **argv)
{
    return exec_main(argc, argv, false, call);
}
