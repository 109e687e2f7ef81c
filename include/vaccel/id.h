/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file vaccel/id.h
 * Numbers of sessions and resources.
 */
#ifndef VACCEL_ID_H
#define VACCEL_ID_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Number of a session or resource: positive while it lives, 0 when unset. */
typedef int64_t vaccel_id_t;

/** True for the number of something that lives. */
static inline bool vaccel_id_valid(vaccel_id_t id)
{
    return id > 0;
}

#ifdef __cplusplus
}
#endif

#endif /* VACCEL_ID_H */
