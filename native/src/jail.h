/*
 * Where supervisor and maker live: a mount namespace whose root is a tmpfs with the image layers, a proc of
 * its own (unmasked: without one a box may not mount its own), and nothing of the host; and no more
 * capabilities than boxes need. Whoever gets past a box's pivot_root finds no host file system here.
 */
#ifndef MAYFLY_JAIL_H
#define MAYFLY_JAIL_H

#include <stdint.h>

/* Moves this process into the jail. Returns 0 or -errno. Nothing of the host can be opened afterwards. */
int jail_enter(void);

/* Attaches a mount that came as a descriptor as layer number `layer`, read-only. 0 or -errno. */
int jail_attach_layer(uint32_t layer, int mount);

/* Takes it away again; whatever box still uses it keeps it until the box goes. */
void jail_detach_layer(uint32_t layer);

/*
 * Keeps CAP_SYS_ADMIN (mounts), SETUID and SETGID (id maps), CHOWN and DAC_OVERRIDE (a box's files have
 * the box's owner), KILL (its processes have the box's ids), and with `maker` also MKNOD (device nodes of each box) and FOWNER (copy-up sets
 * modes and times of files that belong to the box); drops all others for good. 0 or -errno.
 */
int jail_drop_capabilities(int maker);

#endif
