#include "pool.h"

#include <errno.h>

#include "boxes.h"
#include "cores.h"
#include "cpus.h"
#include "link.h"
#include "step.h"
#include "warm.h"

/* What a pooled box gets until a request says otherwise. */
#define POOLED_DISK_BYTES (64u << 20)
#define POOLED_FILES 4096u
/* An image that nobody has asked for in this time has no boxes in the pool. */
#define POOL_KEEP_US 30000000u
/* Of how many images in use at the same time the pool is full. */
#define POOL_IMAGES 4u
/* See pool_refill. */
#define REFILL_IDLE_US 1000u
#define REFILL_BUSY_US 20000u

static uint32_t boxes_max, pool_boxes;
/* When a box was last claimed, or a step last ended. */
static uint64_t active_us;

uint32_t pool_open(const struct mayfly_config *config)
{
    boxes_max = config->boxes_max;
    pool_boxes = config->pool_boxes;
    return POOL_IMAGES * pool_boxes;
}

void pool_disturbed(void)
{
    active_us = now_us();
}

static void refuse(uint32_t client, uint32_t stage, int error)
{
    struct mayfly_event event = {.kind = MAYFLY_EVENT_CLOSED, .box = client};
    link_fault(client, stage, error, 0);
    link_send(&event, NULL, 0, -1);
}

/*
 * A box that is ready, on the CPU with the least to do, else one that is being made: nearer than one that is not.
 */
static struct box *find_pooled(const struct image *image)
{
    struct box *best = NULL;
    for (struct box *box = boxes_next(NULL); box; box = boxes_next(box)) {
        if (box->client != 0 || box->image != image ||
            (box->state != BOX_IDLE && (box->state != BOX_MAKING || image->warm)))
            continue;
        if (!best || (box->state == BOX_IDLE && best->state == BOX_MAKING) ||
            (box->state == best->state && cpus_load(box->cpu) < cpus_load(best->cpu)))
            best = box;
    }
    return best;
}

uint32_t pool_ready(const struct image *image)
{
    uint32_t ready = 0;
    for (struct box *box = boxes_next(NULL); box; box = boxes_next(box))
        ready += box->client == 0 && box->image == image && box->state == BOX_IDLE;
    return ready;
}

void pool_claim(const struct mayfly_open *request)
{
    struct image *image = images_find(request->image);
    uint32_t alive = 0;
    if (request->box == 0 || boxes_find(request->box) || request->disk_bytes_max == 0 ||
        request->files_max == 0) {
        refuse(request->box, MAYFLY_STAGE_PROTOCOL, EINVAL);
        return;
    }
    if (!image) {
        refuse(request->box, MAYFLY_STAGE_IMAGE, ENOENT);
        return;
    }
    for (struct box *box = boxes_next(NULL); box; box = boxes_next(box))
        alive += box->client != 0;
    if (alive >= boxes_max) {
        refuse(request->box, MAYFLY_STAGE_CAPACITY, EBUSY);
        return;
    }
    const bool alone = request->flags & MAYFLY_OPEN_ALONE;
    struct box *pooled = alone ? NULL : find_pooled(image);
    image->used_us = now_us();
    if (!pooled && image->warm) { /* a cold one is nearer, and cannot wait for it */
        image = images_find(image->warm->step.box);
        if (!image) {
            refuse(request->box, MAYFLY_STAGE_IMAGE, ENOENT);
            return;
        }
        pooled = alone ? NULL : find_pooled(image);
        image->used_us = now_us();
    }
    if (pooled) {
        pooled->client = request->box;
        pooled->opened_us = active_us = now_us();
        pooled->opened_disk_bytes = request->disk_bytes_max;
        pooled->opened_files = request->files_max;
        int error = pooled->state == BOX_IDLE
                        ? step_set_disk(pooled, request->disk_bytes_max, request->files_max)
                        : 0; /* be_ready sees to it */
        if (error)
            box_fault(pooled, MAYFLY_STAGE_OVERLAY, -error, 7);
        return;
    }
    int core = alone ? cores_take() : CGROUP_NO_CORE;
    if (alone && core < 0) {
        refuse(request->box, core == -ENOTSUP ? MAYFLY_STAGE_HOST : MAYFLY_STAGE_CAPACITY, -core);
        return;
    }
    if (boxes_make(image, request->box, request->files_max, request->disk_bytes_max, core))
        return;
    cores_give_back(core);
    refuse(request->box, MAYFLY_STAGE_CAPACITY, ENOSPC);
}

bool pool_forget(uint32_t id)
{
    struct image *image = images_find(id);
    if (!image)
        return false;
    for (struct box *box = boxes_next(NULL); box; box = boxes_next(box))
        if (box->client == 0 && box->image == image)
            box_kill(box);
    images_forget(image);
    return true;
}

static bool wanted_in_pool(const struct image *image, uint64_t now)
{
    return image->keep_ready || (image->used_us != 0 && now - image->used_us < POOL_KEEP_US);
}

/*
 * Boxes are made when that disturbs nobody: a moment after the last step ended or began, or, while steps go on, after
 * a longer one; at once when none is left. Returns when to look again, in microseconds of now_us.
 */
uint64_t pool_refill(void)
{
    uint64_t now = now_us(), next = UINT64_MAX;
    bool busy = false;
    uint32_t all = 0;
    uint64_t warm_bytes = 0;
    for (struct box *box = boxes_next(NULL); box; box = boxes_next(box)) {
        if (box->state == BOX_CLOSING)
            continue;
        busy = busy || box->client != 0;
        all += box->client == 0 && !box->image->warm;
        warm_bytes += box->client == 0 && box->image->warm ? box->image->warm_bytes : 0;
    }
    uint64_t due = active_us + (busy ? REFILL_BUSY_US : REFILL_IDLE_US);
    for (struct image *image = images_next(NULL); image; image = images_next(image)) {
        uint32_t ready = 0, making = 0;
        const bool wanted = wanted_in_pool(image, now);
        if (image->never_ready)
            continue;
        for (struct box *box = boxes_next(NULL); box; box = boxes_next(box)) {
            if (box->client != 0 || box->image != image)
                continue;
            if (box->state == BOX_IDLE && !wanted)
                box_kill(box);
            ready += box->state == BOX_IDLE;
            making += box->state == BOX_MAKING || box->state == BOX_WARMING;
        }
        if (ready > 0 && wanted && !image->keep_ready && image->used_us + POOL_KEEP_US < next)
            next = image->used_us + POOL_KEEP_US;
        if (!wanted || making > 0 || ready >= pool_boxes ||
            (image->warm ? !warm_affordable(image, warm_bytes) : all >= POOL_IMAGES * pool_boxes))
            continue;
        if (image->warm_after_us > now) {
            if (image->warm_after_us < next)
                next = image->warm_after_us;
            continue;
        }
        if ((ready == 0 && !image->warm) || now >= due)
            boxes_make(image, 0, POOLED_FILES, POOLED_DISK_BYTES, CGROUP_NO_CORE);
        else if (due < next)
            next = due;
    }
    return next;
}
