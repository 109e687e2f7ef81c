/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines: levels, a file with an absolute path, settings of the logger. */
#include "tap.h"

#include <dirent.h>
#include <unistd.h>

/* The text of the only file in a directory, which is removed; the caller frees it. */
static char *only_file(const char *dir)
{
    char path[600];
    void *data = NULL;
    size_t size = 0, count = 0;
    struct dirent *entry;
    DIR *open = opendir(dir);
    need(open != NULL);
    path[0] = '\0';
    while ((entry = readdir(open))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
        count++;
    }
    closedir(open);
    ok(count == 1 && strstr(path, "/log-2") && strstr(path, ".log"),
       "there is one file with the day in its name");
    if (count != 1 || fs_file_read(path, &data, &size))
        return strdup("");
    char *text = (char *)malloc(size + 1);
    need(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    free(data);
    remove(path);
    return text;
}

int main(void)
{
    char dir[256], prefix[300];
    struct vaccel_config config;
    static SLogConfig settings;
    tap_directory(dir);
    snprintf(prefix, sizeof(prefix), "%s/log", dir);

    need(!vaccel_config_init(&config, NULL, VACCEL_LOG_INFO, prefix, false, false));
    ok_code(vaccel_bootstrap_with_config(&config), VACCEL_OK, "the library logs to a file");
    vaccel_config_release(&config);
    vaccel_error("number %d", 1);
    vaccel_warn("number %d", 2);
    vaccel_info("number %d of %s", 3, "several");
    vaccel_debug("number %d", 4);
    char *text = only_file(dir);
    ok(strstr(text, "<error> number 1\n") && strstr(text, "<warn> number 2\n") &&
           strstr(text, "<info> number 3 of several\n"),
       "lines of the level and below are in it");
    ok(!strstr(text, "number 4"), "those above are not");
    free(text);

    slog_config_get(&settings);
    ok(!strcmp(settings.sFilePath, dir) && !strcmp(settings.sFileName, "log") &&
           settings.nToFile && !settings.nToScreen && (settings.nFlags & SLOG_INFO) &&
           !(settings.nFlags & SLOG_DEBUG),
       "the settings of the logger say so");
    slog_enable(SLOG_DEBUG);
    vaccel_debug("now");
    slog_disable(SLOG_ERROR);
    vaccel_error("not now");
    text = only_file(dir);
    ok(strstr(text, "<debug> now\n") != NULL, "a kind is enabled");
    ok(!strstr(text, "not now"), "a kind is disabled");
    free(text);

    settings.nToFile = 0;
    slog_config_set(&settings);
    vaccel_info("nowhere");
    ok(rmdir(dir) == 0, "settings are taken over: no file is written");
    slog_config_get(NULL);
    slog_config_set(NULL);

    /* Longer than any buffer of a reasonable size. */
    size_t length = 100000;
    char *longest = (char *)malloc(length + 1);
    need(longest != NULL);
    memset(longest, 'x', length);
    longest[length] = '\0';
    vaccel_info("%s", longest);
    free(longest);
    ok(true, "a long line is survived");
    ok(slog_version(0) && *slog_version(1), "the logger has a version");
    ok_code(vaccel_log_shutdown(), VACCEL_OK, "logging ends");
    ok_code(vaccel_log_init(), VACCEL_OK, "and begins");
    return tap_done();
}
