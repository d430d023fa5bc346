/*
 * mayfly-extract OFFSET (zip|tar.gz BYTES DIRECTORY)...: archives that lie one after the other in descriptor 0. It
 * runs as the box's user inside the box. Descriptor 0 is sealed memory that begins with this very program, and it is
 * from there that it is started: so it takes no room on the box's disk, and nothing of it is left.
 *
 * Exits with 0, 2 when an archive was refused, 3 when the disk did; then it says which and why.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "extract.h"

int main(int argc, char **argv)
{
    char said[512];
    if (argc < 2 || argc % 3 != 2)
        return EXTRACT_REFUSED;
    umask(022);
    signal(SIGXFSZ, SIG_IGN); /* the write says it as well, and then which entry it was is known */
    uint64_t at = strtoull(argv[1], NULL, 10);
    for (int i = 2; i < argc; i += 3) {
        struct extract_request request = {.source = 0,
                                          .at = at,
                                          .bytes = strtoull(argv[i + 1], NULL, 10),
                                          .format = strcmp(argv[i], "zip") == 0 ? EXTRACT_ZIP
                                                                                : EXTRACT_TAR_GZ,
                                          .directory = argv[i + 2]};
        enum extract_end end = extract(&request, said, sizeof said);
        if (end != EXTRACT_DONE) {
            dprintf(2, "archives[%d]: %s\n", (i - 2) / 3, said);
            return (int)end;
        }
        at += request.bytes;
    }
    return 0;
}
