/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plugins that are wrong in one way each: FAULT says which.
 */
#include <vaccel.h>

#define NO_NAME 1
#define NO_INIT 2
#define NO_VERSION 3
#define OTHER_MAJOR 4
#define OTHER_MINOR 5
#define FAILING_INIT 6
#define OP_PAST_THE_END 7
#define TOO_MANY_OPS 8
#define NULL_FUNCTION 9

static int noop(struct vaccel_session *sess)
{
    (void)sess;
    return VACCEL_OK;
}

/* One more than there are operations, for TOO_MANY_OPS. */
static struct vaccel_op ops[VACCEL_OP_MAX + 1] = {
    VACCEL_OP_INIT(ops[0], FAULT == OP_PAST_THE_END ? (vaccel_op_type_t)27 : VACCEL_OP_NOOP,
                   FAULT == NULL_FUNCTION ? NULL : noop),
};

static int init(void)
{
    if (FAULT == FAILING_INIT) {
        vaccel_error_set("there is no device");
        return VACCEL_ENODEV;
    }
    return vaccel_plugin_register_ops(ops, FAULT == TOO_MANY_OPS ? VACCEL_OP_MAX + 1 : 1);
}

static int fini(void)
{
    return noop(NULL);
}

VACCEL_PLUGIN(.name = FAULT == NO_NAME ? NULL : "bad", .version = "1.0.0",
              .vaccel_version = FAULT == NO_VERSION  ? NULL :
                                FAULT == OTHER_MAJOR ? "7.0.0" :
                                FAULT == OTHER_MINOR ? "0.1.0" :
                                                       VACCEL_VERSION,
              .init = FAULT == NO_INIT ? NULL : init, .fini = fini)
