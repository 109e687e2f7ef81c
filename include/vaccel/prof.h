/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file vaccel/prof.h
 * Profiling regions: how long named parts of the program took.
 *
 * Regions measure only while profiling is enabled (`VACCEL_PROFILING_ENABLED=1`
 * or struct vaccel_config); otherwise starting and stopping one costs nothing.
 * Times are nanoseconds of CLOCK_MONOTONIC_RAW. A region may be started and
 * stopped by several threads.
 *
 *     static struct vaccel_prof_region load = VACCEL_PROF_REGION_INIT("my_load");
 *
 *     vaccel_prof_region_start(&load);
 *     ...
 *     vaccel_prof_region_stop(&load);
 *     ...
 *     vaccel_prof_region_print(&load);
 *     vaccel_prof_region_release(&load);
 */
#ifndef VACCEL_PROF_H
#define VACCEL_PROF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vaccel/session.h"

#ifdef __cplusplus
extern "C" {
#endif

/** One measured interval. */
struct vaccel_prof_sample {
    uint64_t start; /**< start, in nanoseconds */
    uint64_t time;  /**< length, in nanoseconds */
};

/**
 * A named series of intervals. Read `samples` only while no thread measures.
 *
 * The latest samples are kept, up to 16384; what is printed counts all.
 */
struct vaccel_prof_region {
    const char *name;                   /**< name */
    bool name_owned;                    /**< true: the name is freed with the region */
    size_t nr_entries;                  /**< number of samples kept */
    struct vaccel_prof_sample *samples; /**< the samples, malloc'ed */
    size_t size;                        /**< room at `samples` */
};

/** Initialises a static region; the name must be a literal. */
#define VACCEL_PROF_REGION_INIT(name) { (name), false, 0, NULL, 0 }

/**
 * What calls of an operation took, while profiling was enabled.
 *
 * Kept in memory of a fixed size however many calls there are. The same is
 * written to the log, for a session when it is released and for all at the end.
 */
struct vaccel_prof_stats {
    uint64_t count;     /**< calls */
    uint64_t errors;    /**< calls that failed; their times count, too */
    uint64_t total;     /**< nanoseconds of all together */
    uint64_t p50;       /**< median, in nanoseconds, to 1 in 32 */
    uint64_t p99;       /**< 99 of 100 took at most so long, in nanoseconds, to 1 in 32 */
    uint64_t max;       /**< the longest, in nanoseconds */
    uint64_t bytes_in;  /**< bytes of the arguments */
    uint64_t bytes_out; /**< bytes of the results, or of the room for them */
};

/** True while profiling is enabled. */
bool vaccel_prof_enabled(void);

/** Fills a region; the name is copied. Released with vaccel_prof_region_release(). */
int vaccel_prof_region_init(struct vaccel_prof_region *region, const char *name);

/** Frees what a region holds, not the structure. */
int vaccel_prof_region_release(struct vaccel_prof_region *region);

/** Starts an interval. */
int vaccel_prof_region_start(struct vaccel_prof_region *region);

/** Ends the interval that this thread started last. VACCEL_EINVAL when there is none. */
int vaccel_prof_region_stop(const struct vaccel_prof_region *region);

/** Logs name, total time and number of samples of a region, at level info. */
int vaccel_prof_region_print(const struct vaccel_prof_region *region);

/** Fills `nregions` regions, whose names are set. */
int vaccel_prof_regions_init(struct vaccel_prof_region *regions, int nregions);

/** Releases `nregions` regions. */
int vaccel_prof_regions_release(struct vaccel_prof_region *regions, int nregions);

/** Starts an interval of the region of that name. VACCEL_ENOENT when there is none. */
int vaccel_prof_regions_start_by_name(struct vaccel_prof_region *regions, int nregions, const char *name);

/** Ends the interval of the region of that name. VACCEL_ENOENT when there is none. */
int vaccel_prof_regions_stop_by_name(struct vaccel_prof_region *regions, int nregions, const char *name);

/** Logs all regions, at level info. */
int vaccel_prof_regions_print_all(struct vaccel_prof_region *regions, int nregions);

/**
 * Writes all regions as text.
 *
 * @param buf       `*buf` is NULL: gets a malloc'ed string, to be freed with
 *                  free(). Else room of the caller
 * @param buf_size  bytes at `*buf`; VACCEL_ERANGE when they are too few
 * @param regions   the regions
 * @param nregions  their number
 */
int vaccel_prof_regions_print_all_to_buf(char **buf, size_t buf_size, struct vaccel_prof_region *regions, int nregions);

/**
 * Tells what calls of an operation took, so far.
 *
 * @param sess   an open session; null: all sessions there were
 * @param op     the operation, VACCEL_OP_* or VACCEL_OP_MODEL_*
 * @param stats  gets the numbers; all 0 when it was not called, or while profiling was off
 * @return       VACCEL_OK; VACCEL_EINVAL for an unknown operation or a session that is not open
 */
int vaccel_prof_op_stats(struct vaccel_session *sess, unsigned int op, struct vaccel_prof_stats *stats);

#ifdef __cplusplus
}
#endif

#endif /* VACCEL_PROF_H */
