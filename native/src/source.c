#include "source.h"

#include <errno.h>
#include <stddef.h>
#include <sys/stat.h>

#include "box.h"
#include "sys.h"

int source_await(void *argument)
{
    struct source *source = argument;
    source->error = drop_to_box_user();
    if (source->error)
        return 1;
    /* A pipe opens when both ends do: fifo(7). */
    long pipe = sys_openat(AT_FDCWD, source->path, O_WRONLY | O_NOFOLLOW, 0);
    if (pipe >= 0)
        source->pipe = (int)pipe;
    source->error = pipe < 0 ? pipe : SYS3(SYS_unlinkat, AT_FDCWD, source->path, 0);
    return 0;
}

int source_read(void *argument)
{
    struct source *source = argument;
    struct stat about;
    uint32_t bytes = 0;
    source->error = drop_to_box_user();
    if (source->error)
        return 1;
    long file = sys_openat(AT_FDCWD, source->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    source->error = file < 0 ? file : SYS2(SYS_fstat, file, &about);
    if (!source->error && !S_ISREG(about.st_mode))
        source->error = -EINVAL;
    while (!source->error) {
        long got = sys_read((int)file, source->text + bytes, sizeof source->text - bytes);
        if (got <= 0) {
            source->error = got;
            break;
        }
        bytes += (uint32_t)got;
        if (bytes == sizeof source->text) /* all that a pipe takes without a reader, or more */
            source->error = -EFBIG;
    }
    source->bytes = bytes;
    return 0;
}
