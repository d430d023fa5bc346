/* A pseudo-terminal of the box's own. In pid 1: raw system calls only. */
#ifndef MAYFLY_TERMINAL_H
#define MAYFLY_TERMINAL_H

#include <stdint.h>

/*
 * Makes one: master and slave into `ends`, in this order. The first time the box gets its own devpts at /dev/pts.
 * Returns 0, or -errno and which step failed.
 */
long terminal_make(int ends[2], uint32_t *index);

#endif
