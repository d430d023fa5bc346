/*
 * The inside of a box: pid 1 (init.c), the waiter that becomes the program (waiter.c), and the short-lived
 * process that writes and reads files (files.c).
 *
 * Theory of operation. The maker clones pid 1 with all namespaces. Pid 1 becomes root of its user
 * namespace, mounts what the maker passes, leaves the jail by pivot_root, and makes the waiter, which
 * shares its memory (CLONE_VM: no page tables to copy) but nothing else. The waiter enters the step's
 * control groups, gives up every right, installs the filter, and blocks in recvmsg until the supervisor
 * says what to run. Pid 1 never runs code or touches memory of the program; when the program ends it
 * kills and reaps all that is left in the pid namespace, reports, and can make the next waiter. It ends,
 * and with it the box, when the supervisor does: by end of file on its socket and by the parent-death
 * signal.
 *
 * Everything here uses raw system calls only (sys.h): waiter and file process run beside pid 1 in the
 * same memory.
 */
#ifndef MAYFLY_BOX_H
#define MAYFLY_BOX_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>

#include "packed.h"
#include "protocol.h"

/* User and group of the program in the box; root of the box is 0. */
#define BOX_USER 1000

/* What pid 1 knows when it is cloned. */
struct box_plan {
    int socket;  /* to the supervisor */
    int builder; /* to the maker, for INIT_BUILD; answered with one byte */
    const struct sock_fprog *filter;
};

/* Pid 1. Never returns. */
_Noreturn void init_main(const struct box_plan *plan);

/* What a waiter needs; lives in pid 1's memory until the waiter has exec'ed or exited. */
struct waiter_plan {
    uint32_t built; /* futex(2): pid 1 has left the jail, and a program may start */
    int socket;
    int out;
    int err;
    int hierarchies;
    int procs[CGROUP_HIERARCHIES_MAX];
    bool bound; /* to `cpu` */
    uint32_t cpu;
    const struct sock_fprog *filter;
};

/* Entry of the waiter's clone. Never returns. */
int waiter_main(void *plan);

/*
 * Gives up all ids, groups and capabilities for good. The bounding set is empty already: pid 1 dropped it.
 * Returns 0 or -errno.
 */
long drop_to_box_user(void);

/* Results of the file process. */
struct files_result {
    long error;     /* 0 or -errno */
    uint32_t index; /* which file */
    uint64_t bytes; /* collect: length of the archive */
};

/* Each runs in a process of its own, as BOX_USER, and return to the caller's exit. */
void files_put(int archive, struct files_result *result);
void files_collect(int archive, const struct mayfly_collect *request, const char *patterns,
                   struct files_result *result);
void files_pack(int archive, const struct mayfly_collect *request, const char *root,
                struct files_result *result);

#endif
