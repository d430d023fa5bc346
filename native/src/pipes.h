/* The program's output streams. */
#ifndef MAYFLY_PIPES_H
#define MAYFLY_PIPES_H

#include <errno.h>
#include <stdint.h>
#include <unistd.h>

#include "box.h"

/*
 * Makes the box's user the owner of the pipes: programs open /dev/stdout and /dev/stderr anew, which asks
 * for rights on the pipe's inode. Returns 0 or -errno.
 */
static inline int pipes_give(int out, int err, uint32_t id_base)
{
    uint32_t user = id_base + BOX_USER;
    return fchown(out, user, user) == 0 && fchown(err, user, user) == 0 ? 0 : -errno;
}

#endif
