/*
 * The waiter's strings and the patterns' segments: every pointer has to lie in the message, and the matcher has to
 * say what a plain recursive one says.
 *
 * An input is: argv_count, env_count, then strings. The same bytes serve as pattern and name.
 */
#include <stdlib.h>
#include <string.h>

#include "../src/waiter.c"
#include "glob.h"

static bool matches(const char *pattern, size_t length, const char *name)
{
    if (length == 0)
        return *name == '\0';
    if (*pattern == '*')
        return matches(pattern + 1, length - 1, name) ||
               (*name != '\0' && matches(pattern, length, name + 1));
    return *name != '\0' && (*pattern == '?' || *pattern == *name) &&
           matches(pattern + 1, length - 1, name + 1);
}

static void check_glob(const uint8_t *data, size_t size)
{
    char pattern[16] = "", name[16] = "";
    size_t half = size / 2 < 8 ? size / 2 : 8;
    memcpy(pattern, data, half);
    memcpy(name, data + half, half);
    if (name[0] == '.' || strchr(pattern, '/'))
        return;
    size_t length = strlen(pattern);
    if (glob_segment(pattern, length, name) != matches(pattern, length, name))
        abort();
}

static void check_inside(const char **list)
{
    const char *end = message.strings + message.go.strings_bytes;
    for (; *list; list++)
        if (*list < message.strings || *list + strlen(*list) >= end)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *cwd = NULL, **argv = NULL, **env = NULL;
    if (size < 5 || size > sizeof message.strings)
        return -1;
    memset(&message.go, 0, sizeof message.go);
    message.go.argv_count = data[0] | (uint32_t)(data[1] & 0x7f) << 8;
    message.go.env_count = data[2] | (uint32_t)(data[3] & 0x7f) << 8;
    if (data[1] & 0x80)
        message.go.env_count = UINT32_MAX - data[2];
    message.go.strings_bytes = (uint32_t)(size - 4);
    memcpy(message.strings, data + 4, size - 4);
    if (split(&cwd, &argv, &env)) {
        check_inside(argv);
        check_inside(env);
    }
    check_glob(data + 4, size - 4);
    return 0;
}
