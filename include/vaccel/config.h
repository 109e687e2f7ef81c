/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file vaccel/config.h
 * Configuration of the library.
 *
 * The configuration comes from the environment (`VACCEL_PLUGINS`,
 * `VACCEL_LOG_LEVEL`, `VACCEL_LOG_FILE`, `VACCEL_PROFILING_ENABLED`,
 * `VACCEL_VERSION_IGNORE`) unless the program calls
 * vaccel_bootstrap_with_config() with one of its own.
 */
#ifndef VACCEL_CONFIG_H
#define VACCEL_CONFIG_H

#include <stdbool.h>

#include <vaccel/log.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Configuration. The strings are copies of its own, freed by vaccel_config_release(). */
struct vaccel_config {
    char *plugins;                /**< plugins to load, separated by `:`; NULL for none */
    vaccel_log_level_t log_level; /**< how much is logged */
    char *log_file;               /**< log file, or NULL for standard output */
    bool profiling_enabled;       /**< measure the regions of vaccel/prof.h */
    bool version_ignore;          /**< load plugins made for another version too */
};

/**
 * Fills a configuration. Strings are copied.
 *
 * @param config             what to fill; released with vaccel_config_release()
 * @param plugins            plugins to load, separated by `:`: paths, file names or
 *                           words such as `noop` for libvaccel-noop.so; or NULL
 * @param log_level          VACCEL_LOG_ERROR to VACCEL_LOG_DEBUG
 * @param log_file           prefix of the log file, to which the day and `.log`
 *                           are added; or NULL for standard output
 * @param profiling_enabled  measure regions
 * @param version_ignore     do not compare the versions of plugins
 * @return                   VACCEL_OK; VACCEL_EINVAL; VACCEL_ENOMEM
 */
int vaccel_config_init(struct vaccel_config *config, const char *plugins,
                       vaccel_log_level_t log_level, const char *log_file,
                       bool profiling_enabled, bool version_ignore);

/** Fills a configuration with a copy of another. */
int vaccel_config_init_from(struct vaccel_config *config, struct vaccel_config *src);

/** Fills a configuration from the environment. */
int vaccel_config_init_from_env(struct vaccel_config *config);

/** Frees what a configuration holds, not the structure. */
int vaccel_config_release(struct vaccel_config *config);

/** Allocates and fills a configuration; see vaccel_config_init(). */
int vaccel_config_new(struct vaccel_config **config, const char *plugins,
                      vaccel_log_level_t log_level, const char *log_file,
                      bool profiling_enabled, bool version_ignore);

/** Allocates a copy of a configuration. */
int vaccel_config_from(struct vaccel_config **config, struct vaccel_config *src);

/** Allocates a configuration and fills it from the environment. */
int vaccel_config_from_env(struct vaccel_config **config);

/** Releases and frees a configuration made by vaccel_config_new() or its kin. */
int vaccel_config_delete(struct vaccel_config *config);

/** Logs a configuration, at level debug. */
void vaccel_config_print_debug(struct vaccel_config *config);

/**
 * The configuration in use.
 *
 * @return  read only; valid until vaccel_cleanup() or the next
 *          vaccel_bootstrap_with_config()
 */
const struct vaccel_config *vaccel_config(void);

#ifdef __cplusplus
}
#endif

#endif /* VACCEL_CONFIG_H */
