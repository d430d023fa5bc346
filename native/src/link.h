/* The supervisor's end of the library's socket: events out, in order, without ever waiting. */
#ifndef MAYFLY_LINK_H
#define MAYFLY_LINK_H

#include <stdbool.h>
#include <stddef.h>

#include "mayfly.h"

/*
 * Sends an event with `bytes` of data and, when fd >= 0, a descriptor, which is closed. What the socket
 * does not take is kept and goes out with link_flush. Exits when the library is gone.
 */
void link_send(struct mayfly_event *event, const void *data, size_t bytes, int fd);

/* Is anything kept? While it is, callers should not read more from programs. */
bool link_blocked(void);

/* Sends what was kept, as far as the socket takes it. */
void link_flush(void);

/* A fault of box `box`, 0 for the whole supervisor. */
void link_fault(uint32_t box, uint32_t stage, int error, uint32_t index);

#endif
