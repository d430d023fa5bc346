/*
 * Runs a program under the filters that systemd would install for a unit (systemd.exec(5), SystemCallFilter= with
 * SystemCallErrorNumber=EPERM, SystemCallArchitectures=native, RestrictAddressFamilies=, RestrictRealtime=):
 *
 *   confine SYSCALL,... FAMILY,... PROGRAM [ARGUMENT...]
 *
 * The first are denied; socket(2) takes no family but the second, by number; no scheduling policy is a real-time one.
 * Names that this architecture does not have are skipped, as systemd does. Tests only.
 */
#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Noreturn void die(const char *what, int error)
{
    fprintf(stderr, "confine: %s: %s\n", what, strerror(error));
    exit(125);
}

static void check(const char *what, int result)
{
    if (result != 0)
        die(what, -result);
}

int main(int count, char **arguments)
{
    if (count < 4)
        die("usage", EINVAL);
    /* For an architecture that is not this one: as systemd, the process is killed. */
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    if (!filter)
        die("seccomp_init", ENOMEM);
    int denied = 0;
    for (char *name = strtok(arguments[1], ","); name; name = strtok(NULL, ",")) {
        int number = seccomp_syscall_resolve_name(name);
        if (number < 0)
            continue;
        check(name, seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), number, 0));
        denied++;
    }
    if (denied == 0)
        die("no system call that there is", EINVAL);

    /* Whatever lies between two families that are allowed, and beyond the last. */
    unsigned next = 0;
    for (char *family = strtok(arguments[2], ","); family; family = strtok(NULL, ",")) {
        unsigned allowed = (unsigned)atoi(family);
        if (allowed < next)
            die("families are not in order", EINVAL);
        for (; next < allowed; next++)
            check("socket", seccomp_rule_add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket),
                                             1, SCMP_A0(SCMP_CMP_EQ, next)));
        next = allowed + 1;
    }
    check("socket", seccomp_rule_add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
                                     SCMP_A0(SCMP_CMP_GE, next)));

    const unsigned realtime[] = {SCHED_FIFO, SCHED_RR, SCHED_DEADLINE};
    for (size_t i = 0; i < sizeof realtime / sizeof *realtime; i++)
        check("sched_setscheduler",
              seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(sched_setscheduler), 1,
                               SCMP_A1(SCMP_CMP_EQ, realtime[i])));

    /* Whoever has CAP_SYS_ADMIN needs no NO_NEW_PRIVS for it; that is setpriv's to set. */
    check("no_new_privs", seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0));
    check("seccomp_load", seccomp_load(filter));
    seccomp_release(filter);
    execv(arguments[3], arguments + 3);
    die(arguments[3], errno);
}
