/*
 * The box maker: a process that does nothing but make boxes, one at a time, so that the supervisor's event
 * loop never waits for the kernel to build namespaces, and so that pid 1 of a box is a copy of a process
 * that never saw a tenant's byte and holds no client's socket.
 *
 * It is the parent of every pid 1 and lets the kernel reap them (SIGCHLD ignored). When it ends, so do they
 * (parent-death signal); it ends when its socket does.
 */
#ifndef MAYFLY_MAKER_H
#define MAYFLY_MAKER_H

#include <linux/filter.h>

/*
 * Forks the maker out of the supervisor, which is in the jail already. Returns the socket for struct
 * make_request and struct made, or -errno.
 */
int maker_start(const struct sock_fprog *filter);

#endif
