#include "images.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "jail.h"

/* An executor has tens of images; the others are what its compile steps left. */
#define IMAGES_MAX 1024u

static struct image images[IMAGES_MAX];
static uint32_t images_end; /* beyond the last place that was ever taken */
/* The next directory of the jail: never used again, so that a late unmount meets nobody. */
static uint32_t next_layer;

static struct image *free_place(void)
{
    for (uint32_t i = 0; i < images_end; i++)
        if (images[i].id == 0)
            return &images[i];
    return images_end < IMAGES_MAX ? &images[images_end++] : NULL;
}

struct image *images_find(uint32_t id)
{
    for (uint32_t i = 0; id != 0 && i < images_end; i++)
        if (images[i].id == id && !images[i].forgotten)
            return &images[i];
    return NULL;
}

struct image *images_next(struct image *image)
{
    uint32_t i = image ? (uint32_t)(image - images) + 1 : 0;
    while (i < images_end && images[i].id == 0)
        i++;
    return i < images_end ? &images[i] : NULL;
}

/* The place that `id` may take, or NULL with *error set. */
static struct image *place_for(uint32_t id, int *error)
{
    struct image *place = id == 0 || images_find(id) ? NULL : free_place();
    if (!place)
        *error = id == 0 ? -EINVAL : images_find(id) ? -EEXIST : -ENFILE;
    return place;
}

int images_add(uint32_t id, bool keep_ready, const int *trees, int count)
{
    int error = count < 1 || count > (int)MAYFLY_LAYERS_MAX ? -EINVAL : 0;
    struct image *image = error ? NULL : place_for(id, &error);
    if (!image)
        return error;
    struct image made = {.id = id, .keep_ready = keep_ready, .layers_count = (uint32_t)count};
    for (int i = 0; !error && i < count; i++) {
        made.layers[i] = next_layer++;
        error = jail_attach_layer(made.layers[i], trees[i]);
    }
    if (!error)
        *image = made;
    return error;
}

int images_lay(const struct mayfly_layer *request, int tree)
{
    int error = 0;
    const struct image *base = images_find(request->base);
    if (request->size != sizeof *request || tree < 0)
        return -EINVAL;
    if (!base)
        return -ENOENT;
    if (base->layers_count == MAYFLY_LAYERS_MAX)
        return -E2BIG;
    struct image *image = place_for(request->image, &error);
    if (!image)
        return error;
    struct image made = *base;
    made.id = request->image;
    made.keep_ready = false;
    made.never_ready = request->pooled == 0;
    made.used_us = 0;
    made.boxes = 0;
    made.laid = true;
    made.layers[made.layers_count++] = next_layer;
    error = jail_attach_layer(next_layer++, tree);
    if (!error)
        *image = made;
    return error;
}

int images_warm(uint32_t id, const struct mayfly_step *step, const char *strings)
{
    int error = 0;
    const struct image *base = images_find(step->box);
    if (!base || base->warm || base->laid)
        return base ? -EINVAL : -ENOENT;
    struct image made = *base;
    struct image *image = place_for(id, &error);
    if (!image)
        return error;
    made.warm = malloc(sizeof *made.warm + step->strings_bytes);
    if (!made.warm)
        return -ENOMEM;
    made.warm->step = *step;
    memcpy(made.warm->strings, strings, step->strings_bytes);
    made.id = id;
    made.used_us = 0;
    made.boxes = 0;
    *image = made;
    return 0;
}

void images_use(struct image *image)
{
    image->boxes++;
}

void images_release(struct image *image)
{
    image->boxes--;
    if (image->forgotten)
        images_forget(image);
}

void images_forget(struct image *image)
{
    image->forgotten = true;
    if (image->boxes > 0)
        return;
    if (image->laid)
        jail_detach_layer(image->layers[image->layers_count - 1]);
    free(image->warm);
    *image = (struct image){0};
}
