/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the plugin of recorder.c was called with: the tests compare it with what
 * they passed.
 */
#ifndef TESTS_RECORDER_H
#define TESTS_RECORDER_H

#include "tap.h"

#include <dlfcn.h>

struct recorder {
    int calls[VACCEL_OP_MAX]; /* number of calls of each operation */
    int sessions;             /* sessions opened and not closed */
    int registers;            /* calls of resource_register */
    int unregisters;          /* calls of resource_unregister */
    int syncs;                /* calls of resource_sync */
    int answer;               /* what operations and callbacks return */
    struct vaccel_session *session; /* of the last call */
    struct vaccel_resource *resource;
    const void *pointers[10]; /* pointers of the last call, in order */
    int64_t numbers[10];      /* numbers of the last call, in order */
    double reals[4];
};

/* The record of the loaded plugin. */
static inline struct recorder *recorder_find(void)
{
    const char *path = getenv("RECORDER");
    need(path != NULL);
    void *handle = dlopen(path, RTLD_NOW | RTLD_NOLOAD);
    need(handle != NULL);
    struct recorder *found = (struct recorder *)dlsym(handle, "recorder");
    need(found != NULL);
    /* The library keeps its own reference. */
    dlclose(handle);
    return found;
}

#endif /* TESTS_RECORDER_H */
