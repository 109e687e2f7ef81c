/* SPDX-License-Identifier: Apache-2.0 */
/* What transport.c tells and asks the plugin of transport_plugin.c. */
#ifndef TESTS_TRANSPORT_H
#define TESTS_TRANSPORT_H

#include "tap.h"

struct transport {
    bool refuse_session; /* session_init fails */
    bool refuse_release; /* session_release fails */
    bool forget_number;  /* resource_register sets no remote number */
    int sessions;        /* sessions opened and not closed */
    int unregisters;     /* calls of resource_unregister */
    uint32_t flags;      /* of the last session */
    int64_t last_session; /* its remote number */
    size_t nr_blobs;     /* of the last resource */
    bool mapped;         /* its bytes were in memory */
};

#endif /* TESTS_TRANSPORT_H */
