/*
 * What stands between two pipes so that all that goes through is told to the library: the transcript of two boxes
 * that talk. It lives until nobody writes or nobody reads any more.
 */
#ifndef MAYFLY_RELAY_H
#define MAYFLY_RELAY_H

#include <stdint.h>

/* `epoll` is the supervisor's. Relays of an earlier one are ended. */
void relay_open(int epoll);
/*
 * From one pipe's end to the other's, both of which are taken over. `client` is the library's id of the box that
 * writes, `descriptor` as what it knows the pipe. Returns 0 or -errno.
 */
int relay_start(uint32_t client, uint32_t descriptor, int from, int to);
/* The step of this box is about to be reported: what it wrote and was not told yet comes before that. */
void relay_tell(uint32_t client);
/* Something happened to the relay at this place. */
void relay_event(uint32_t place, uint32_t events);

#endif
