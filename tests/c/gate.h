/* SPDX-License-Identifier: Apache-2.0 */
/* The gate that noop of gate_plugin.c waits at. */
#ifndef TESTS_GATE_H
#define TESTS_GATE_H

#include "tap.h"

#include <dlfcn.h>

struct gate {
    bool is_open;
    int waiting; /* calls that are inside */
    void (*set)(struct gate *gate, bool open);
    void (*wait_for)(struct gate *gate, int waiting);
};

/* The gate of the loaded plugin; NULL when another one is loaded. */
static inline struct gate *gate_find(void)
{
    const char *path = getenv("GATE");
    void *handle = path ? dlopen(path, RTLD_NOW | RTLD_NOLOAD) : NULL;
    if (!handle)
        return NULL;
    struct gate *found = (struct gate *)dlsym(handle, "gate");
    need(found != NULL);
    /* The library keeps its own reference. */
    dlclose(handle);
    return found;
}

#endif /* TESTS_GATE_H */
