#include "manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DIGEST 64

static int read_whole(const char *path, char *text, size_t bytes)
{
    size_t length = 0;
    ssize_t got;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    while (length < bytes - 1 && (got = read(fd, text + length, bytes - 1 - length)) > 0)
        length += (size_t)got;
    close(fd);
    text[length] = '\0';
    return length == bytes - 1 ? -EFBIG : 0;
}

int manifest_layers(const char *state, const char *name, char *paths, size_t bytes, uint32_t *count)
{
    char path[512];
    static char text[1 << 20];

    *count = 0;
    if (name[0] == '\0' || name[0] == '.' || strchr(name, '/'))
        return -EINVAL;
    snprintf(path, sizeof path, "%s/images/%s.json", state, name);
    int error = read_whole(path, text, sizeof text);
    if (error)
        return error;
    const char *key = strstr(text, "\"layers\"");
    const char *at = key ? strchr(key, '[') : NULL, *end = at ? strchr(at, ']') : NULL;
    while (end && (at = strchr(at, '"')) && at < end) {
        if (strspn(at + 1, "0123456789abcdef") != DIGEST || at[DIGEST + 1] != '"')
            return -EBADMSG;
        int length = snprintf(paths, bytes, "%s/layers/%.*s", state, DIGEST, at + 1);
        if (length < 0 || (size_t)length >= bytes)
            return -ENAMETOOLONG;
        paths += length + 1;
        bytes -= (size_t)length + 1;
        ++*count;
        at += DIGEST + 2;
    }
    return *count > 0 ? 0 : -EBADMSG;
}
