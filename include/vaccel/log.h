/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file vaccel/log.h
 * Log lines of the library, of plugins and of applications.
 *
 * The level comes from `VACCEL_LOG_LEVEL` (1 to 4, or error, warn, info, debug)
 * or from struct vaccel_config; lines go to standard output, or to the file of
 * `VACCEL_LOG_FILE`.
 */
#ifndef VACCEL_LOG_H
#define VACCEL_LOG_H

#include <stddef.h>

#include <slog.h>
#include <vaccel/utils/enum.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How much is logged. */
typedef enum {
    VACCEL_LOG_ERROR = 1, /**< errors only; the default */
    VACCEL_LOG_WARN = 2,  /**< and warnings */
    VACCEL_LOG_INFO = 3,  /**< and information */
    VACCEL_LOG_DEBUG = 4, /**< and everything for debugging */
    VACCEL_LOG_MAX = 5    /**< one past the last level */
} vaccel_log_level_t;

/** Logs an error: printf format and arguments. */
#define vaccel_error(...) SLOG_LINE(SLOG_ERROR, __VA_ARGS__)
/** Logs a warning: printf format and arguments. */
#define vaccel_warn(...) SLOG_LINE(SLOG_WARN, __VA_ARGS__)
/** Logs information: printf format and arguments. */
#define vaccel_info(...) SLOG_LINE(SLOG_INFO, __VA_ARGS__)
/** Logs something for debugging: printf format and arguments. */
#define vaccel_debug(...) SLOG_LINE(SLOG_DEBUG, __VA_ARGS__)

/**
 * Starts logging with the settings of the configuration.
 *
 * vaccel_bootstrap() does it; only programs that switch the constructor off
 * with `VACCEL_BOOTSTRAP_ENABLED=0` need to call it.
 */
int vaccel_log_init(void);

/** Stops logging and closes the log file. vaccel_cleanup() does it. */
int vaccel_log_shutdown(void);

/** Name of a level, for example `VACCEL_LOG_INFO`. Static string. */
static inline const char *vaccel_log_level_name(vaccel_log_level_t level)
{
    return level == VACCEL_LOG_ERROR ? "VACCEL_LOG_ERROR" :
           level == VACCEL_LOG_WARN  ? "VACCEL_LOG_WARN" :
           level == VACCEL_LOG_INFO  ? "VACCEL_LOG_INFO" :
           level == VACCEL_LOG_DEBUG ? "VACCEL_LOG_DEBUG" :
                                       "unknown";
}

/** Writes the name of a level to `buf`; see vaccel_enum_to_str(). */
static inline char *vaccel_log_level_to_str(vaccel_log_level_t level, char *buf, size_t size)
{
    return vaccel_enum_to_str(vaccel_log_level_name(level), buf, size);
}

#ifdef __cplusplus
}
#endif

#endif /* VACCEL_LOG_H */
