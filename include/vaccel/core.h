/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file vaccel/core.h
 * Start, end and version of the library.
 *
 * The library initialises itself when it is loaded and cleans up when the
 * program ends. `VACCEL_BOOTSTRAP_ENABLED=0` and `VACCEL_CLEANUP_ENABLED=0`
 * switch that off, for programs that do it themselves.
 */
#ifndef VACCEL_CORE_H
#define VACCEL_CORE_H

#include <stdbool.h>

#include <vaccel/config.h>

/** Version of these headers; vaccel_version() is that of the library. */
#define VACCEL_VERSION "0.8.0"
/** First number of VACCEL_VERSION. Plugins and library must agree on it. */
#define VACCEL_VERSION_MAJOR 0
/** Second number of VACCEL_VERSION. */
#define VACCEL_VERSION_MINOR 8
/** Third number of VACCEL_VERSION. */
#define VACCEL_VERSION_PATCH 0

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Initialises the library with the configuration of the environment.
 *
 * Makes the run directory, starts logging and loads the plugins of
 * `VACCEL_PLUGINS`. The first plugin that fails undoes everything.
 *
 * @return  VACCEL_OK, also when it is initialised already; else the error of
 *          the plugin or of the run directory
 */
int vaccel_bootstrap(void);

/**
 * Initialises the library with a configuration of the program.
 *
 * When the library is initialised already, it is started again; while there are
 * sessions or resources, the settings for logging and profiling are applied and
 * plugins that are missing are loaded.
 *
 * @param config  is copied; the caller still releases its own
 */
int vaccel_bootstrap_with_config(struct vaccel_config *config);

/**
 * Unloads the plugins and removes the run directory.
 *
 * Sessions and resources should have been released; operations of a session that
 * is still open return VACCEL_ENODEV afterwards.
 */
int vaccel_cleanup(void);

/** True between a successful vaccel_bootstrap() and vaccel_cleanup(). */
bool vaccel_is_initialized(void);

/**
 * Private directory of this process, mode 0700.
 *
 * @return  a path that is valid until vaccel_cleanup(); NULL before
 *          vaccel_bootstrap(), and where no place can be written to: sessions
 *          and resources in memory work there all the same
 */
const char *vaccel_rundir(void);

/** Version of the library, for example "0.8.0". Static string. */
const char *vaccel_version(void);

/**
 * Describes the library and the loaded plugins, with what they say of their
 * devices and formats; and why the library is not initialised, when it is not.
 *
 * @param json  gets a malloc'ed JSON object, to be freed with free()
 * @return      VACCEL_OK; VACCEL_EINVAL; VACCEL_ENOMEM
 */
int vaccel_describe(char **json);

#ifdef __cplusplus
}
#endif

#endif /* VACCEL_CORE_H */
