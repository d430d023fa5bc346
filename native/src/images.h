/* What boxes are made of: the images that the library named, and those that it laid a layer on. */
#ifndef MAYFLY_IMAGES_H
#define MAYFLY_IMAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "cgroup.h"
#include "protocol.h"

/* Limits of a step that the kernel holds for the box, apart from time. */
struct box_limits {
    struct cgroup_limits cgroup;
    uint64_t disk_bytes_max;
    uint32_t files_max;
};

/* What is run in an image's pooled boxes ahead of any step (warm.h). */
struct warm {
    struct mayfly_step step; /* `box` is the id of the image without it */
    char strings[];
};

struct image {
    uint32_t id;             /* the library's; 0: this place is free */
    struct box_limits usual; /* of the last first step: pooled boxes get them ahead of time */
    bool keep_ready;         /* pooled from the start; else while it is in use */
    bool never_ready;        /* not pooled at all */
    uint64_t used_us;        /* when a box of it was last claimed */
    uint32_t boxes;          /* made of it and not yet buried */
    bool laid;               /* its last layer is its own, and goes with it */
    bool forgotten;
    struct warm *warm;      /* NULL: nothing */
    uint64_t warm_bytes;    /* what its last interpreter held while it waited, 0: not known yet */
    uint64_t warm_after_us; /* none is started before */
    uint32_t layers_count;
    uint32_t layers[MAYFLY_LAYERS_MAX]; /* lowest first, names of directories in the jail */
};

/* Attaches the layers. 0 or -errno. The trees stay the caller's to close. */
int images_add(uint32_t id, bool keep_ready, const int *trees, int count);
int images_lay(const struct mayfly_layer *request, int tree);
/* The image `id`: the image `step->box` with the step's command started. */
int images_warm(uint32_t id, const struct mayfly_step *step, const char *strings);
/* NULL when there is none, or none any more. */
struct image *images_find(uint32_t id);
/* Each in turn, from NULL to NULL; forgotten ones too. */
struct image *images_next(struct image *image);
/* A box is made of it; a box of it is buried. */
void images_use(struct image *image);
void images_release(struct image *image);
/* Goes when its last box does. */
void images_forget(struct image *image);

#endif
