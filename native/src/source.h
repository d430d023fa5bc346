/*
 * How an interpreter that has started gets its program. It opens the file that its command names, as ever, and
 * finds a pipe there: so it waits, with everything behind it that does not depend on the program. The other end
 * is pid 1's. Nothing of this is left by the time that a program runs: the pipe's name is gone, where it was
 * is the program itself, and the interpreter closes what it has read to the end.
 *
 * Both run in a process of their own, as BOX_USER, beside pid 1 in its memory, before anything of a job has run.
 */
#ifndef MAYFLY_SOURCE_H
#define MAYFLY_SOURCE_H

#include <stdint.h>

#include "mayfly.h"

struct source {
    const char *path;
    long error;     /* 0 or -errno */
    int pipe;       /* source_await: its writable end */
    uint32_t bytes; /* source_read */
    char text[MAYFLY_WARM_PROGRAM_BYTES_MAX];
};

/* Until the interpreter has opened the pipe; takes the pipe's name away. Wants pid 1's descriptors. */
int source_await(void *source);
/* The program, which is there by now. */
int source_read(void *source);

#endif
