/* Part of `make weak` only. */
#include "weaken.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

static const char *const names[] = {
#define X(name, text) text,
    WEAKNESSES(X)
#undef X
};

/* The first call is the supervisor's own, before anything is forked from it. */
static uint32_t read_weaknesses(void)
{
    const char *path = (const char *)(uintptr_t)getauxval(AT_EXECFN);
    const char *end = path ? strrchr(path, '/') : NULL, *at = end;
    uint32_t found = 0;
    while (at && at > path && at[-1] != '/')
        at--;
    while (at && at < end) {
        size_t length = strcspn(at, "+/"), i = 0;
        while (i < sizeof names / sizeof *names &&
               (strlen(names[i]) != length || strncmp(names[i], at, length) != 0))
            i++;
        if (i == sizeof names / sizeof *names)
            abort(); /* a control run with a defence too many proves nothing */
        found |= 1u << i;
        at += length + 1;
    }
    return found;
}

bool weak(enum weakness which)
{
    static uint32_t weaknesses;
    static bool known;
    if (!known) {
        weaknesses = read_weaknesses();
        known = true;
    }
    return weaknesses >> which & 1;
}
