/* Files and directories of one hierarchy: what every layout needs. Functions return 0 or -errno. */
#ifndef MAYFLY_CGROUP_TREE_H
#define MAYFLY_CGROUP_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int tree_write(int directory, const char *leaf, const char *file, const char *text);
int tree_write_number(int directory, const char *leaf, const char *file, uint64_t number);
/* Reads a small file into `text`, NUL-terminated. */
int tree_read(int directory, const char *leaf, const char *file, char *text, size_t bytes);
int tree_read_number(int directory, const char *leaf, const char *file, uint64_t *number);
/* The same from an open file, from its beginning. */
int tree_read_open(int fd, char *text, size_t bytes);
int tree_read_open_number(int fd, uint64_t *number);
/* The number after `key` and a blank, at the start of a line. */
bool tree_field(const char *text, const char *key, uint64_t *number);
/* SIGKILL to every process of the leaf. Returns how many there were, or -errno. */
int tree_kill(int directory, const char *leaf);
/*
 * Kills what runs in `name` and the directories below it and removes them, for up to `ms` milliseconds.
 */
int tree_remove_all(int directory, const char *name, int ms);

/* Of the host: a limit of memory alone would let a program swap. */
bool swap_is_on(void);

#endif
