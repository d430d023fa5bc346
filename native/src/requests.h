/* What the library asks of boxes: checked here, queued for each box, and started when its turn comes. */
#ifndef MAYFLY_REQUESTS_H
#define MAYFLY_REQUESTS_H

#include "boxes.h"

/* One request with its strings or patterns and at most one descriptor, which is taken over. */
void requests_take(const struct request *request, const char *tail, int fd);
/* Starts the first waiting request, if the box is free for it. Puts and collects stay until answered. */
void requests_next(struct box *box);
/* The first request is a step, and all is ready for it. */
void requests_start_step(struct box *box);
/* Makes the next step's leaf, and has pid 1 make its waiter. Returns 0 or -errno. */
int requests_prepare(struct box *box);
/* Pid 1 has written or read files. */
void requests_files_done(struct box *box, const struct init_report *report);
/* Forgets what waits. */
void requests_drop(struct box *box);

#endif
