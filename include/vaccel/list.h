/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file vaccel/list.h
 * Circular doubly linked lists, embedded in the structures they link.
 *
 * A head and an entry are the same structure; an empty head points at itself.
 * Nothing here locks: see each list for what guards it.
 */
#ifndef VACCEL_LIST_H
#define VACCEL_LIST_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Link or head of a list. */
struct vaccel_list_entry {
    struct vaccel_list_entry *next; /**< next link, or the head */
    struct vaccel_list_entry *prev; /**< previous link, or the head */
};

/** The name used for heads. */
typedef struct vaccel_list_entry vaccel_list_t;

/** Makes a list, or an entry that is in none. */
static inline void vaccel_list_init(vaccel_list_t *list)
{
    list->next = list;
    list->prev = list;
}

/** True for a list without entries, and for an entry that is in no list. */
static inline bool vaccel_list_empty(const vaccel_list_t *list)
{
    return list->next == list;
}

/** Links an entry between two neighbours. */
static inline void vaccel_list_insert_between(struct vaccel_list_entry *entry,
                                              struct vaccel_list_entry *prev,
                                              struct vaccel_list_entry *next)
{
    entry->prev = prev;
    entry->next = next;
    prev->next = entry;
    next->prev = entry;
}

/** Adds an entry as the first one. */
static inline void vaccel_list_add(vaccel_list_t *list, struct vaccel_list_entry *entry)
{
    vaccel_list_insert_between(entry, list, list->next);
}

/** Adds an entry as the last one. */
static inline void vaccel_list_add_tail(vaccel_list_t *list, struct vaccel_list_entry *entry)
{
    vaccel_list_insert_between(entry, list->prev, list);
}

/** Takes an entry out of its list; it is in none afterwards. Harmless when it is in none. */
static inline void vaccel_list_unlink(struct vaccel_list_entry *entry)
{
    entry->prev->next = entry->next;
    entry->next->prev = entry->prev;
    vaccel_list_init(entry);
}

/** Number of entries; walks the list. */
static inline size_t vaccel_list_count(const vaccel_list_t *list)
{
    size_t count = 0;
    const struct vaccel_list_entry *entry;
    for (entry = list->next; entry != list; entry = entry->next)
        count++;
    return count;
}

/** The structure of type `type` whose member `member` is the entry `entry`. */
#define vaccel_list_container(entry, type, member) \
    ((type *)(void *)((char *)(entry) - offsetof(type, member)))

/** Loops over a list; `iter` is a struct vaccel_list_entry pointer. The body must not unlink. */
#define vaccel_list_for_each(iter, list) \
    for ((iter) = (list)->next; (iter) != (list); (iter) = (iter)->next)

/** Like vaccel_list_for_each(); the body may unlink `iter`. `tmp` is a second such pointer. */
#define vaccel_list_for_each_safe(iter, tmp, list)                  \
    for ((iter) = (list)->next, (tmp) = (iter)->next; (iter) != (list); \
         (iter) = (tmp), (tmp) = (iter)->next)

#ifdef __cplusplus
}
#endif

#endif /* VACCEL_LIST_H */
