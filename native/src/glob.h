/* Matching of one path segment against one pattern segment: * ? and literal bytes. */
#ifndef MAYFLY_GLOB_H
#define MAYFLY_GLOB_H

#include <stdbool.h>
#include <stddef.h>

/* Does `name` match `pattern[0..length)`? As in a shell, wildcards do not match a leading dot. */
bool glob_segment(const char *pattern, size_t length, const char *name);

/* Has the segment a wildcard? */
bool glob_wild(const char *pattern, size_t length);

#endif
