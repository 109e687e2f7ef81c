/* SPDX-License-Identifier: Apache-2.0 */
/* Configurations, and starting and ending the library with them. */
#include "tap.h"

static void make_and_copy(void)
{
    struct vaccel_config config, copy;
    struct vaccel_config *heap = NULL, *heap_copy = NULL;
    char plugins[] = "a.so:b.so";

    ok_code(vaccel_config_init(&config, plugins, VACCEL_LOG_INFO, "log", true, false), VACCEL_OK,
            "a configuration is made");
    plugins[0] = 'x';
    ok(!strcmp(config.plugins, "a.so:b.so") && config.log_level == VACCEL_LOG_INFO &&
           !strcmp(config.log_file, "log") && config.profiling_enabled && !config.version_ignore,
       "with copies of what was given");
    ok_code(vaccel_config_init_from(&copy, &config), VACCEL_OK, "it is copied");
    vaccel_config_release(&config);
    ok(!strcmp(copy.plugins, "a.so:b.so") && copy.profiling_enabled, "the copy lives on alone");

    ok_code(vaccel_config_new(&heap, NULL, VACCEL_LOG_ERROR, NULL, false, true), VACCEL_OK,
            "strings may be missing");
    ok(heap && !heap->plugins && !heap->log_file && heap->version_ignore, "and stay missing");
    ok_code(vaccel_config_from(&heap_copy, &copy), VACCEL_OK, "a copy is allocated");
    ok(heap_copy && !strcmp(heap_copy->log_file, "log"), "with the same content");
    vaccel_config_print_debug(heap_copy);
    ok_code(vaccel_config_delete(heap_copy), VACCEL_OK, "it is deleted");
    vaccel_config_delete(heap);
    vaccel_config_release(&copy);

    ok_code(vaccel_config_init(NULL, NULL, VACCEL_LOG_ERROR, NULL, false, false), VACCEL_EINVAL,
            "NULL is an error");
    ok_code(vaccel_config_init(&config, NULL, (vaccel_log_level_t)9, NULL, false, false),
            VACCEL_EINVAL, "a level that does not exist is an error");
    ok_code(vaccel_config_init_from(&config, NULL), VACCEL_EINVAL, "a copy of NULL is an error");
    ok_code(vaccel_config_delete(NULL), VACCEL_EINVAL, "deleting NULL is an error");
}

static void environment(void)
{
    struct vaccel_config config;
    struct vaccel_config *heap = NULL;

    setenv("VACCEL_PLUGINS", "one.so", 1);
    setenv("VACCEL_LOG_LEVEL", "3", 1);
    setenv("VACCEL_PROFILING_ENABLED", "1", 1);
    ok_code(vaccel_config_init_from_env(&config), VACCEL_OK, "the environment is read");
    ok(!strcmp(config.plugins, "one.so") && config.log_level == VACCEL_LOG_INFO &&
           config.profiling_enabled && !config.version_ignore,
       "with its values");
    vaccel_config_release(&config);

    setenv("VACCEL_LOG_LEVEL", "debug", 1);
    setenv("VACCEL_PROFILING_ENABLED", "true", 1);
    ok_code(vaccel_config_from_env(&heap), VACCEL_OK, "words are read too");
    ok(heap && heap->log_level == VACCEL_LOG_DEBUG && heap->profiling_enabled,
       "words are understood");
    vaccel_config_delete(heap);

    unsetenv("VACCEL_PLUGINS");
    unsetenv("VACCEL_LOG_LEVEL");
    unsetenv("VACCEL_PROFILING_ENABLED");
    setenv("VACCEL_BACKENDS", "old.so", 1);
    setenv("VACCEL_DEBUG_LEVEL", "2", 1);
    setenv("VACCEL_IGNORE_VERSION", "1", 1);
    ok_code(vaccel_config_init_from_env(&config), VACCEL_OK, "deprecated names are read");
    ok(config.plugins && !strcmp(config.plugins, "old.so") && config.log_level == VACCEL_LOG_WARN &&
           config.version_ignore,
       "with their values");
    vaccel_config_release(&config);
    unsetenv("VACCEL_BACKENDS");
    unsetenv("VACCEL_DEBUG_LEVEL");
    unsetenv("VACCEL_IGNORE_VERSION");
}

static void start_and_end(const char *plugin)
{
    struct vaccel_config config;
    char rundir[4096];
    need(vaccel_is_initialized());
    need(vaccel_rundir() && strlen(vaccel_rundir()) < sizeof(rundir));
    strcpy(rundir, vaccel_rundir());

    ok_code(vaccel_bootstrap(), VACCEL_OK, "starting again is harmless");
    ok_code(vaccel_cleanup(), VACCEL_OK, "the library ends");
    ok(!vaccel_is_initialized(), "and says so");
    ok(vaccel_rundir() == NULL, "it has no run directory then");
    FILE *gone = fopen(rundir, "r");
    ok(!gone, "the run directory is removed");
    if (gone)
        fclose(gone);

    struct vaccel_session sess;
    ok_code(vaccel_session_init(&sess, 0), VACCEL_ESESS, "a session cannot be opened then");
    struct vaccel_resource res;
    ok_code(vaccel_resource_init(&res, "/dev/null", VACCEL_RESOURCE_DATA), VACCEL_ESESS,
            "nor a resource made");

    need(!vaccel_config_init(&config, plugin, VACCEL_LOG_WARN, NULL, false, false));
    ok_code(vaccel_bootstrap_with_config(&config), VACCEL_OK, "it starts with a configuration");
    vaccel_config_release(&config);
    const struct vaccel_config *used = vaccel_config();
    ok(used && used->plugins && !strcmp(used->plugins, plugin) &&
           used->log_level == VACCEL_LOG_WARN,
       "which is in use");
    ok_code(vaccel_session_init(&sess, 0), VACCEL_OK, "a session is opened");
    ok_code(vaccel_noop(&sess), VACCEL_OK, "and used");
    ok_code(vaccel_session_release(&sess), VACCEL_OK, "and closed");

    need(!vaccel_config_init(&config, "/no/such/plugin.so", VACCEL_LOG_ERROR, NULL, false, false));
    ok(vaccel_bootstrap_with_config(&config) != VACCEL_OK, "a missing plugin is an error");
    ok(strstr(vaccel_error_message(), "plugin.so") != NULL, "whose message names it");
    ok(!vaccel_is_initialized(), "the library is not initialised then");
    vaccel_config_release(&config);
    ok_code(vaccel_bootstrap_with_config(NULL), VACCEL_EINVAL, "NULL is an error");
}

int main(void)
{
    char *plugin = strdup(getenv("RECORDER") ? getenv("RECORDER") : "");
    need(plugin && *plugin);
    start_and_end(plugin);
    make_and_copy();
    environment();
    free(plugin);
    return tap_done();
}
