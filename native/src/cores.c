#include "cores.h"

#include <errno.h>

#include "cgroup.h"
#include "cpus.h"

static bool can_be_alone;

void cores_open(bool can)
{
    can_be_alone = can;
}

int cores_confine(const struct box *box)
{
    cpu_set_t core;
    if (box->core == CGROUP_NO_CORE)
        return CPU_COUNT(cpus_shared()) < (int)cpus_count()
                   ? cgroup_set_cpus(box->leaf.name, cpus_shared())
                   : 0;
    CPU_ZERO(&core);
    CPU_SET((uint32_t)box->core, &core);
    return cgroup_set_cpus(box->leaf.name, &core);
}

/* Has all boxes without a core of their own run on the CPUs that are shared now. */
static int share_cpus(void)
{
    int error = cgroup_set_cpus("init", cpus_shared());
    for (struct box *box = boxes_next(NULL); !error && box; box = boxes_next(box))
        if (box->core == CGROUP_NO_CORE && box->leaf.name[0] != '\0')
            error = cgroup_set_cpus(box->leaf.name, cpus_shared());
    return error;
}

int cores_take(void)
{
    if (!can_be_alone)
        return -ENOTSUP;
    int core = cpus_reserve();
    if (core < 0)
        return core;
    int error = share_cpus();
    if (error) {
        cpus_share((uint32_t)core);
        share_cpus();
    }
    return error ? error : core;
}

void cores_give_back(int core)
{
    if (core == CGROUP_NO_CORE)
        return;
    cpus_share((uint32_t)core);
    share_cpus();
}
