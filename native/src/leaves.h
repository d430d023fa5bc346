/* Control groups whose step is over: removed at once, or as soon as their last process has quite gone. */
#ifndef MAYFLY_LEAVES_H
#define MAYFLY_LEAVES_H

#include <stdbool.h>

/* When to call leaves_retry again while it says true. */
#define LEAF_RETRY_MS 2

void leaf_remove(const char *name);
/* True while some are left. */
bool leaves_retry(void);

#endif
