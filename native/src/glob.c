#include "glob.h"

bool glob_wild(const char *pattern, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (pattern[i] == '*' || pattern[i] == '?')
            return true;
    return false;
}

bool glob_segment(const char *pattern, size_t length, const char *name)
{
    size_t at = 0, star = length + 1;
    const char *mark = NULL;

    if (name[0] == '.' && (length == 0 || pattern[0] != '.'))
        return false;
    /* Linear in both, by going back to the last star only: no pattern can make it exponential. */
    while (*name) {
        if (at < length && pattern[at] == '*') {
            star = at++;
            mark = name;
        } else if (at < length && (pattern[at] == '?' || pattern[at] == *name)) {
            at++;
            name++;
        } else if (mark) {
            at = star + 1;
            name = ++mark;
        } else {
            return false;
        }
    }
    while (at < length && pattern[at] == '*')
        at++;
    return at == length;
}
