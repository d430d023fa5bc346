/* The image store, as far as C needs it: which directories are an image's layers. */
#ifndef MAYFLY_MANIFEST_H
#define MAYFLY_MANIFEST_H

#include <stddef.h>
#include <stdint.h>

/*
 * Reads <state>/images/<name>.json and stores the paths of its layers, lowest first, each with its NUL, in
 * `paths`. Returns 0, or -errno: -EINVAL for a name that is none, -EBADMSG for a manifest without layers.
 */
int manifest_layers(const char *state, const char *name, char *paths, size_t bytes,
                    uint32_t *count);

#endif
