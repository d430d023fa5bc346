/*
 * The pool: boxes that are made ahead of time, each for one image, and used once. A request is given one of them where
 * there is one, else one that is made now; tests find no difference between the two.
 *
 * It holds up to `pool_boxes` of each image that somebody has asked for lately, and is filled again when that disturbs
 * nobody. Boxes in which an interpreter waits (warm.h) are of images of their own.
 */
#ifndef MAYFLY_POOL_H
#define MAYFLY_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "images.h"
#include "protocol.h"

/* Returns how many boxes it holds at most. */
uint32_t pool_open(const struct mayfly_config *config);
/* Gives the library the box it asks for, or tells it why not. */
void pool_claim(const struct mayfly_open *request);
/* How many boxes of the image are ready. */
uint32_t pool_ready(const struct image *image);
/* No box is made of the image any more, and those that are ready for it go. False: there is no such image. */
bool pool_forget(uint32_t image);
/* A step ended: what is made in the next moment may be in its way. */
void pool_disturbed(void);
/* Makes what is due; returns when something is due again, in microseconds of now_us, or UINT64_MAX. */
uint64_t pool_refill(void);

#endif
