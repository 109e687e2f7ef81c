/* SPDX-License-Identifier: Apache-2.0 */
/* Profiling regions. Run with VACCEL_PROFILING_ENABLED=true. */
#include "tap.h"

#include <pthread.h>

static struct vaccel_prof_region fixed = VACCEL_PROF_REGION_INIT("fixed");

static void *measure(void *region)
{
    bool *failed = (bool *)calloc(1, sizeof(bool));
    for (int i = 0; i < 10000; i++)
        if (vaccel_prof_region_start((struct vaccel_prof_region *)region) ||
            vaccel_prof_region_stop((struct vaccel_prof_region *)region))
            *failed = true;
    return failed;
}

static void threads(void)
{
    struct vaccel_prof_region region;
    pthread_t all[8];
    bool failed = false;
    char *text = NULL;
    need(!vaccel_prof_region_init(&region, "shared"));
    for (size_t i = 0; i < COUNT(all); i++)
        need(!pthread_create(&all[i], NULL, measure, &region));
    for (size_t i = 0; i < COUNT(all); i++) {
        void *result;
        need(!pthread_join(all[i], &result));
        failed = failed || *(bool *)result;
        free(result);
    }
    ok(!failed, "eight threads measure one region");
    ok_code(vaccel_prof_regions_print_all_to_buf(&text, 0, &region, 1), VACCEL_OK,
            "it is written as text");
    ok(text && strstr(text, "shared") && strstr(text, "80000"), "with all its samples counted");
    free(text);
    vaccel_prof_region_release(&region);
}

int main(void)
{
    struct vaccel_prof_region region;
    ok(vaccel_prof_enabled(), "the word true switches profiling on");
    ok_code(vaccel_prof_region_init(&region, "work"), VACCEL_OK, "a region is made");
    ok_code(vaccel_prof_region_start(&region), VACCEL_OK, "an interval is started");
    ok_code(vaccel_prof_region_stop(&region), VACCEL_OK, "and ended");
    ok(region.nr_entries == 1 && region.samples && region.samples[0].start > 0, "and measured");
    ok_code(vaccel_prof_region_stop(&region), VACCEL_EINVAL, "it cannot be ended twice");
    ok_code(vaccel_prof_region_print(&region), VACCEL_OK, "a region is logged");
    ok_code(vaccel_prof_region_release(&region), VACCEL_OK, "and released");

    ok(!vaccel_prof_region_start(&fixed) && !vaccel_prof_region_stop(&fixed) &&
           fixed.nr_entries == 1,
       "a static region needs no init");
    vaccel_prof_region_release(&fixed);

    struct vaccel_prof_region several[2];
    need(!vaccel_prof_region_init(&several[0], "one") && !vaccel_prof_region_init(&several[1], "two"));
    ok(!vaccel_prof_regions_start_by_name(several, 2, "two") &&
           !vaccel_prof_regions_stop_by_name(several, 2, "two") && several[1].nr_entries == 1 &&
           several[0].nr_entries == 0,
       "a region is found by its name");
    ok_code(vaccel_prof_regions_start_by_name(several, 2, "three"), VACCEL_ENOENT, "or not");
    char room[200] = "", *buf = room;
    ok_code(vaccel_prof_regions_print_all_to_buf(&buf, sizeof(room), several, 2), VACCEL_OK,
            "regions are written to a buffer");
    ok(strstr(room, "one") && strstr(room, "two") && strstr(room, "nr_entries: 1"), "all");
    ok_code(vaccel_prof_regions_print_all_to_buf(&buf, 10, several, 2), VACCEL_ERANGE,
            "a short buffer is an error");
    ok(strlen(room) == 9, "and holds the beginning");
    ok_code(vaccel_prof_regions_print_all(several, 2), VACCEL_OK, "they are logged");
    ok_code(vaccel_prof_regions_release(several, 2), VACCEL_OK, "and released");

    ok_code(vaccel_prof_region_init(NULL, "x"), VACCEL_EINVAL, "NULL is an error");
    ok_code(vaccel_prof_region_init(&region, NULL), VACCEL_EINVAL, "for the name too");
    ok_code(vaccel_prof_region_start(NULL), VACCEL_EINVAL, "and for starting");
    ok_code(vaccel_prof_regions_release(NULL, 2), VACCEL_EINVAL, "and for several");
    ok_code(vaccel_prof_regions_release(several, -1), VACCEL_EINVAL, "and a negative number");
    threads();
    return tap_done();
}
