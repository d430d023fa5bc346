#include "leaves.h"

#include <stdio.h>
#include <stdlib.h>

#include "cgroup.h"

static struct leaf {
    struct leaf *next;
    char name[CGROUP_NAME_BYTES];
} * leaves;

void leaf_remove(const char *name)
{
    if (cgroup_remove(name) == 0)
        return;
    struct leaf *leaf = malloc(sizeof *leaf);
    if (!leaf)
        return; /* cgroup_close removes it in the end */
    snprintf(leaf->name, sizeof leaf->name, "%s", name);
    leaf->next = leaves;
    leaves = leaf;
}

bool leaves_retry(void)
{
    for (struct leaf **at = &leaves; *at;) {
        struct leaf *leaf = *at;
        if (cgroup_remove(leaf->name) != 0) {
            at = &leaf->next;
            continue;
        }
        *at = leaf->next;
        free(leaf);
    }
    return leaves != NULL;
}
