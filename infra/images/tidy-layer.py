"""Makes a layer of an overlay's upper directory: tidy-layer.py <parent tree> <upper>.

Removes what equals the parent (a file that was written and put back, a directory that was only
touched), extended attributes, and the bits that would give a program more than its user has.
Whiteouts stay where they hide something; any other device node, pipe or socket is refused.
"""

import filecmp
import os
import stat
import sys

parent, layer = sys.argv[1], sys.argv[2]
OPAQUE = "trusted.overlay.opaque"


def look(path):
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def same(ours, theirs, path, below):
    if below is None or (ours.st_mode, ours.st_uid, ours.st_gid) != (
        below.st_mode,
        below.st_uid,
        below.st_gid,
    ):
        return False
    if stat.S_ISLNK(ours.st_mode):
        return os.readlink(path) == os.readlink(theirs)
    if stat.S_ISREG(ours.st_mode):
        return ours.st_size == below.st_size and filecmp.cmp(path, theirs, shallow=False)
    return stat.S_ISDIR(ours.st_mode) and not os.listdir(path)


def tidy(path, theirs):
    """One entry of the layer, its children first."""
    below = look(theirs)
    ours = os.lstat(path)
    if stat.S_ISDIR(ours.st_mode):
        opaque = OPAQUE in os.listxattr(path, follow_symlinks=False)
        # New directories are opaque too, as an optimization; then there is nothing below to hide.
        if opaque and below is not None and stat.S_ISDIR(below.st_mode) and os.listdir(theirs):
            sys.exit(f"{theirs} replaces a directory of the parent as a whole: not supported")
        for name in sorted(os.listdir(path)):
            tidy(os.path.join(path, name), os.path.join(theirs, name))
    elif stat.S_ISCHR(ours.st_mode) and ours.st_rdev == 0:
        if below is None:
            os.unlink(path)
        return
    elif not stat.S_ISREG(ours.st_mode) and not stat.S_ISLNK(ours.st_mode):
        sys.exit(f"{theirs} is a device node, a pipe or a socket")
    for attribute in os.listxattr(path, follow_symlinks=False):
        os.removexattr(path, attribute, follow_symlinks=False)
    if not stat.S_ISLNK(ours.st_mode):
        mode = stat.S_IMODE(ours.st_mode)
        wanted = mode & (0o1777 if stat.S_ISDIR(ours.st_mode) else 0o777)
        if mode != wanted:
            os.chmod(path, wanted)
    ours = os.lstat(path)
    if same(ours, theirs, path, below):
        (os.rmdir if stat.S_ISDIR(ours.st_mode) else os.unlink)(path)


for name in sorted(os.listdir(layer)):
    tidy(os.path.join(layer, name), os.path.join(parent, name))
if not os.listdir(layer):
    sys.exit("the layer is empty: the parent has all of it")
