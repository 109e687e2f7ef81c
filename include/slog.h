/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file slog.h
 * The logger: levels, settings and the function that writes a line.
 *
 * Applications and plugins normally use the macros of vaccel/log.h
 * (vaccel_error, vaccel_warn, vaccel_info, vaccel_debug). This header is for
 * code that wants to change where lines go while the program runs.
 *
 * All functions may be called from any thread.
 */
#ifndef VACCEL_SLOG_H
#define VACCEL_SLOG_H

#include <stdint.h>
#include <stdio.h>

/** Bytes of SLogConfig.sFileName, the terminating zero included. */
#define SLOG_NAME_MAX 256
/** Bytes of SLogConfig.sFilePath, the terminating zero included. */
#define SLOG_PATH_MAX 2048

/** Every kind of line, for slog_init(), slog_enable() and SLogConfig.nFlags. */
#define SLOG_FLAGS_ALL 255

#ifdef __cplusplus
extern "C" {
#endif

/** Kinds of log lines: one bit each, to be combined with `|`. */
typedef enum {
    SLOG_NOTAG = 1,  /**< text without a tag */
    SLOG_NOTE = 2,   /**< note */
    SLOG_INFO = 4,   /**< information */
    SLOG_WARN = 8,   /**< warning */
    SLOG_DEBUG = 16, /**< for debugging */
    SLOG_TRACE = 32, /**< every step */
    SLOG_ERROR = 64, /**< error */
    SLOG_FATAL = 128 /**< error after which the program ends */
} SLOG_FLAGS_E;

/** What of a line is coloured on a terminal. */
typedef enum {
    SLOG_COLOR_DISABLE = 0, /**< nothing */
    SLOG_COLOR_TAG = 1,     /**< the tag, for example `<error>` */
    SLOG_COLOR_FULL = 2     /**< the whole line */
} SLOG_COLOR_FMT_E;

/** Settings of the logger. */
typedef struct SLogConfig {
    char sFileName[SLOG_NAME_MAX];  /**< file name without date and ending */
    char sFilePath[SLOG_PATH_MAX];  /**< folder of the file */
    SLOG_COLOR_FMT_E eColorFormat;  /**< colours */
    uint8_t nTraceTid : 1;          /**< 1: thread id in each line */
    uint8_t nToScreen : 1;          /**< 1: write to standard output */
    uint8_t nKeepOpen : 1;          /**< 1: keep the file open between lines */
    uint8_t nToFile : 1;            /**< 1: write to the file */
    uint8_t nFlush : 1;             /**< 1: flush after each line */
    uint16_t nFlags;                /**< the enabled kinds, SLOG_FLAGS_E bits */
} SLogConfig;

/** The name that most code uses. */
typedef SLogConfig slog_config_t;

/**
 * Name and version of the logger.
 *
 * @param nMin  not 0: the short form, numbers only
 * @return      a static string, never NULL
 */
const char *slog_version(uint8_t nMin);

/** Copies the settings to `*pCfg`. NULL is ignored. */
void slog_config_get(SLogConfig *pCfg);

/** Takes the settings over from `*pCfg`. NULL is ignored. */
void slog_config_set(SLogConfig *pCfg);

/** Enables further kinds of lines. */
void slog_enable(SLOG_FLAGS_E eFlag);

/** Disables kinds of lines. */
void slog_disable(SLOG_FLAGS_E eFlag);

/**
 * Sets the logger up. vaccel_bootstrap() has done it already.
 *
 * @param pName    file name without date and ending, or NULL for none
 * @param nFlags   the enabled kinds, SLOG_FLAGS_E bits
 * @param nTdSafe  ignored: the logger is always safe to share between threads
 */
void slog_init(const char *pName, uint16_t nFlags, uint8_t nTdSafe);

/** Closes the log file, if one is open. Lines written later are dropped or go to the screen. */
void slog_destroy(void);

/**
 * Writes one line, if its kind is enabled.
 *
 * @param eFlag     kind of the line
 * @param nNewLine  not 0: ends the line
 * @param pFormat   printf format, followed by its arguments
 */
void slog_print(SLOG_FLAGS_E eFlag, uint8_t nNewLine, const char *pFormat, ...);

/**
 * Writes one line of a kind; the compiler compares the format with its arguments.
 *
 * The printf() is never called. An attribute on slog_print() would do the same,
 * but generators of bindings that read this header could not parse it.
 */
#define SLOG_LINE(eFlag, ...) \
    ((void)sizeof(printf(__VA_ARGS__)), slog_print(eFlag, 1, __VA_ARGS__))

/** Writes a line without a tag. */
#define slog(...) SLOG_LINE(SLOG_NOTAG, __VA_ARGS__)
/** Writes a note. */
#define slog_note(...) SLOG_LINE(SLOG_NOTE, __VA_ARGS__)
/** Writes a line of information. */
#define slog_info(...) SLOG_LINE(SLOG_INFO, __VA_ARGS__)
/** Writes a warning. */
#define slog_warn(...) SLOG_LINE(SLOG_WARN, __VA_ARGS__)
/** Writes a line for debugging. */
#define slog_debug(...) SLOG_LINE(SLOG_DEBUG, __VA_ARGS__)
/** Writes a trace line. */
#define slog_trace(...) SLOG_LINE(SLOG_TRACE, __VA_ARGS__)
/** Writes an error. */
#define slog_error(...) SLOG_LINE(SLOG_ERROR, __VA_ARGS__)
/** Writes a fatal error. It does not end the program. */
#define slog_fatal(...) SLOG_LINE(SLOG_FATAL, __VA_ARGS__)

#ifdef __cplusplus
}
#endif

#endif /* VACCEL_SLOG_H */
