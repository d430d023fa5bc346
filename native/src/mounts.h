/*
 * The file system of a box. The maker, in the initial user namespace, makes the mounts (mounts_make) and
 * passes them as descriptors; pid 1 attaches them and leaves the jail (mounts_enter). Mounted by pid 1
 * itself, overlay on older kernels fails rmdir of a lower directory and rename of a new one; and a
 * tmpfs that the box made would be the box's to resize.
 *
 * One tmpfs holds all that a box can write: the overlay's upper layer, /tmp, /dev/shm, and the device
 * nodes, which are made for each box, since a shared inode would let one box watch another (inotify).
 */
#ifndef MAYFLY_MOUNTS_H
#define MAYFLY_MOUNTS_H

#include <stdint.h>

#include "protocol.h"

enum box_mount { BOX_ROOT, BOX_TMP, BOX_SHM, BOX_DEV, BOX_MOUNTS };

/* Directories of the jail; see jail.c. */
#define JAIL_SCRATCH "/s" /* where the maker assembles, its working directory */
#define JAIL_LAYERS "/layers"
#define JAIL_ROOT "/m" /* where pid 1 attaches the box's root */

struct mount_failure {
    uint32_t stage;
    uint32_t index;
};

/*
 * Makes tmpfs, idmapped layers and overlay for a box whose root is host id `id_base`. Fills `mounts` and
 * *disk, which the caller closes. Returns 0 or -errno with *failure filled. What it attached while it assembled
 * them stays until mounts_detach, which takes a grace period of the kernel and can wait.
 */
long mounts_make(const struct make_request *request, int user_namespace, int mounts[BOX_MOUNTS],
                 int *disk, struct mount_failure *failure);

void mounts_detach(void);

/*
 * In pid 1: attaches the mounts, which it closes, and makes them the root. The jail is still attached behind it,
 * out of reach of absolute paths, until mounts_leave_jail. Both return 0 or -errno.
 */
long mounts_enter(const int mounts[BOX_MOUNTS], struct mount_failure *failure);
long mounts_leave_jail(void);

/* Changes size and inode count of the tmpfs behind `disk`. Returns 0 or -errno. */
long mounts_resize(int disk, uint64_t bytes, uint64_t inodes);

#endif
