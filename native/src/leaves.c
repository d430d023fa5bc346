#include "leaves.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* More than a host has processes for. */
#define NAMES_MAX 65536u

static uint64_t taken[NAMES_MAX / 64];
static struct leaf {
    struct leaf *next;
    char name[CGROUP_NAME_BYTES];
} * leaves;

int leaf_name(char name[CGROUP_NAME_BYTES])
{
    for (uint32_t i = 0; i < NAMES_MAX / 64; i++) {
        if (taken[i] == UINT64_MAX)
            continue;
        const uint32_t bit = (uint32_t)__builtin_ctzll(~taken[i]);
        taken[i] |= UINT64_C(1) << bit;
        snprintf(name, CGROUP_NAME_BYTES, "b%u", i * 64 + bit);
        return 0;
    }
    name[0] = '\0';
    return -ENOSPC;
}

/* Gives its name back. */
static bool removed(const char *name)
{
    if (cgroup_remove(name) != 0)
        return false;
    const unsigned long number = strtoul(name + 1, NULL, 10);
    taken[number / 64] &= ~(UINT64_C(1) << number % 64);
    return true;
}

void leaf_remove(char name[CGROUP_NAME_BYTES])
{
    if (name[0] != '\0' && !removed(name)) {
        struct leaf *leaf = malloc(sizeof *leaf);
        if (leaf) { /* else cgroup_close removes it in the end */
            snprintf(leaf->name, sizeof leaf->name, "%s", name);
            leaf->next = leaves;
            leaves = leaf;
        }
    }
    name[0] = '\0';
}

bool leaves_retry(void)
{
    for (struct leaf **at = &leaves; *at;) {
        struct leaf *leaf = *at;
        if (!removed(leaf->name)) {
            at = &leaf->next;
            continue;
        }
        *at = leaf->next;
        free(leaf);
    }
    return leaves != NULL;
}
