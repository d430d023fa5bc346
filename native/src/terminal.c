#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>

#include "sys.h"

/*
 * An instance of its own: no name in it leads to a terminal of the host or of another box. Terminals belong to
 * the program's user (BOX_USER), who can make none: /dev/pts/ptmx is root's, and root's only by its capability.
 */
static const char *const options[][2] = {{"source", "devpts"}, {"mode", "0600"},
                                         {"uid", "1000"},      {"gid", "1000"},
                                         {"ptmxmode", "0000"}, {"max", "16"}};

/* The mount, which stays attached: of the steps of a job each gets a new terminal of the one instance. */
static int devpts = -1;

static long attach_devpts(uint32_t *index)
{
    long context = sys_fsopen("devpts");
    if (context < 0)
        return context;
    long result = 0;
    for (unsigned i = 0; !result && i < sizeof options / sizeof *options; i++)
        result = sys_fsconfig_string((int)context, options[i][0], options[i][1]);
    *index = 1;
    if (!result)
        result = sys_fsconfig_create((int)context);
    if (!result)
        result = sys_fsmount((int)context, SYS_ATTR_NOSUID | SYS_ATTR_NOEXEC);
    sys_close((int)context);
    if (result < 0)
        return result;
    *index = 2;
    long error = sys_move_mount((int)result, AT_FDCWD, "/dev/pts");
    if (error) {
        sys_close((int)result);
        return error;
    }
    devpts = (int)result;
    return 0;
}

long terminal_make(int ends[2], uint32_t *index)
{
    int unlocked = 0;
    long error = devpts < 0 ? attach_devpts(index) : 0;
    if (error)
        return error;
    *index = 3;
    long master = sys_openat(devpts, "ptmx", O_RDWR | O_NOCTTY, 0);
    if (master < 0)
        return master;
    *index = 4;
    error = SYS3(SYS_ioctl, master, TIOCSPTLCK, &unlocked);
    long slave = error ? error
                       : SYS3(SYS_ioctl, master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0) {
        sys_close((int)master);
        return slave;
    }
    ends[0] = (int)master;
    ends[1] = (int)slave;
    return 0;
}
