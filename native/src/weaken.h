/*
 * Defences that the tests turn off to see that an attack, which the real supervisor withstands, succeeds
 * without the defence it is meant to meet.
 *
 * Only `make weak` defines MAYFLY_WEAK. In every other build each of these is the constant 0, and the
 * compiler leaves nothing of it: what is shipped has no switch. The weak supervisor takes its weaknesses
 * from the directory that it was started from: build/weak/filter+capabilities/mayfly-supervisor.
 */
#ifndef MAYFLY_WEAKEN_H
#define MAYFLY_WEAKEN_H

#define WEAKNESSES(X)                                                                              \
    X(FILTER, "filter")             /* no system call filter */                                    \
    X(CAPABILITIES, "capabilities") /* the program stays root of its box */                        \
    X(IDS, "ids")                   /* all boxes have the same host ids */                         \
    X(PIVOT, "pivot")               /* chroot(2) instead of pivot_root(2) */                       \
    X(JAIL, "jail")                 /* the host's file systems at /host of the jail */             \
    X(NETWORK, "network")           /* the host's network */                                       \
    X(PID, "pid")                   /* the host's processes */                                     \
    X(IPC, "ipc")                   /* the host's ipc objects */                                   \
    X(CGROUPS, "cgroups")           /* no cgroup namespace */                                      \
    X(DESCRIPTORS, "descriptors")   /* none is closed */                                           \
    X(PROC, "proc")                 /* nothing masked, no hidepid, /proc/sys writable */           \
    X(DUMPABLE, "dumpable")         /* pid 1 may be read by who has its ids */                     \
    X(SHARED, "shared")             /* one /dev and one /dev/shm for all boxes */                  \
    X(SETUID, "setuid")             /* set-user-id programs work */                                \
    X(FILES, "files")               /* files in and out follow links and take anything */          \
    X(LIMITS, "limits")             /* none is set, none is watched */                             \
    X(OVERLAY, "overlay")           /* the lowest layer itself is the root */                      \
    X(LEFTOVERS, "leftovers")       /* what a step leaves running or in memory stays */            \
    X(OWNER, "owner")               /* all boxes' user namespaces are made by root */              \
    X(BUDGET, "budget")             /* a collection may take for ever */

enum weakness {
#define X(name, text) WEAK_##name,
    WEAKNESSES(X)
#undef X
};

#ifdef MAYFLY_WEAK
#include <stdbool.h>
bool weak(enum weakness which);
#else
#define weak(which) 0
#endif

#endif
