/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks that print one line each in the Test Anything Protocol:
 *
 *     ok - a session has a number
 *     not ok - ... (file, line and what was found follow)
 *
 * tap_done() prints the plan and gives the exit status of the program.
 */
#ifndef TESTS_TAP_H
#define TESTS_TAP_H

/* For strdup(), setenv() and others with -std=c11. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vaccel.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static int tap_count;
static int tap_failures;

/* Prints the line of one check; returns whether it holds. */
static inline bool tap_line(bool holds, const char *name, const char *file, int line,
                            const char *what)
{
    tap_count++;
    printf("%s - %s\n", holds ? "ok" : "not ok", name);
    if (!holds) {
        tap_failures++;
        printf("# %s:%d: %s\n", file, line, what);
    }
    fflush(stdout);
    return holds;
}

static inline bool tap_code(int got, int wanted, const char *name, const char *file, int line,
                            const char *what)
{
    char text[512];
    snprintf(text, sizeof(text), "%s is %s, not %s: %s", what, vaccel_error_name(got),
             vaccel_error_name(wanted), vaccel_error_message());
    return tap_line(got == wanted, name, file, line, text);
}

/* Checks a condition. */
#define ok(condition, name) tap_line((condition), (name), __FILE__, __LINE__, #condition)

/* Checks the error code that a call returns. */
#define ok_code(call, wanted, name) tap_code((call), (wanted), (name), __FILE__, __LINE__, #call)

/* For what the rest of a program cannot go without: ends it when the condition does not hold. */
#define need(condition)                                                                     \
    do {                                                                                    \
        if (!(condition)) {                                                                 \
            printf("not ok - %s:%d: %s: %s\n", __FILE__, __LINE__, #condition,              \
                   vaccel_error_message());                                                 \
            printf("Bail out!\n");                                                          \
            exit(1);                                                                        \
        }                                                                                   \
    } while (0)

/* The plan; returns the exit status of the program. */
static inline int tap_done(void)
{
    printf("1..%d\n", tap_count);
    if (tap_failures)
        printf("# %d of %d failed\n", tap_failures, tap_count);
    return tap_failures || !tap_count ? 1 : 0;
}

/* Writes a file; the program ends when it cannot. */
static inline void tap_write_file(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    need(file && fwrite(data, 1, size, file) == size && !fclose(file));
}

/* A new private directory below TMPDIR; the caller removes it. */
static inline void tap_directory(char path[256])
{
    const char *base = getenv("TMPDIR");
    int length = snprintf(path, 256, "%s/vaccel-test.XXXXXX", base && *base ? base : "/tmp");
    need(length > 0 && length < 256 && mkdtemp(path));
}

#endif /* TESTS_TAP_H */
