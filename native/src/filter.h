/* The system call filter of every program; see seccomp(2) and the table in filter.c. */
#ifndef MAYFLY_FILTER_H
#define MAYFLY_FILTER_H

#include <linux/filter.h>

/* Each instruction costs about a microsecond when a box is made. */
#define FILTER_INSTRUCTIONS_MAX 120

/*
 * Assembles the filter into *program, whose instructions are static storage. Returns 0, or -E2BIG when
 * the table has outgrown FILTER_INSTRUCTIONS_MAX.
 */
int filter_build(struct sock_fprog *program);

#endif
