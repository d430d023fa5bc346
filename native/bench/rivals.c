#include "rivals.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "bundle.h"
#include "commands.h"
#include "go_judge.h"
#include "rivals_root.h"

#define ARGUMENTS_MAX 48
#define STEPS_MAX 3

/*
 * Words that begin with @ are replaced: @root the root file system (base layer, and HELLO_PATH over it, read
 * only), @program the program's argv, @bundle an OCI bundle for it, @state a directory, @id a container name,
 * @worker a small number, @layer where the hello is on the host.
 */
static const struct recipe {
    const char *name;
    const char *steps[STEPS_MAX][ARGUMENTS_MAX];
    const char *hello; /* its path inside, where that is another */
} recipes[] = {
    {"bwrap",
     {{"bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--ro-bind", "@root", "/",
       "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--chdir", "/box", "--", "@program"}},
     NULL},
    {"crun", {{"crun", "--root", "@state", "run", "--bundle", "@bundle", "@id"}}, NULL},
    {"runc", {{"runc", "--root", "@state", "run", "--bundle", "@bundle", "@id"}}, NULL},
    {"unshare",
     {{"unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount",
       "--net", "--ipc", "--uts", "--cgroup", "--root=@root", "--wd=/box", "--mount-proc",
       "@program"}},
     NULL},
    {"nsjail",
     {{"nsjail",
       "-Mo",
       "-q",
       "-c",
       "@root",
       "-D",
       "/box",
       "-T",
       "/tmp",
       "-t",
       "10",
       "--detect_cgroupv2",
       "--cgroup_mem_parent=.",
       "--cgroup_pids_parent=.",
       "--cgroup_cpu_parent=.",
       "--cgroup_mem_max=268435456",
       "--cgroup_pids_max=64",
       "--cgroup_cpu_ms_per_sec=1000",
       "--",
       "@program"}},
     NULL},
    /* It takes bin, lib and usr of the host, and wants its box made and removed by commands of their own. */
    {"isolate",
     {{"isolate", "--box-id=@worker", "--silent", "--init"},
      {"isolate", "--box-id=@worker", "--silent", "--processes=64", "--time=5", "--wall-time=10",
       "--dir=bench=@layer", "--run", "--", "@program"},
      {"isolate", "--box-id=@worker", "--silent", "--cleanup"}},
     "/bench" HELLO_PATH},
};
#define RECIPES (sizeof recipes / sizeof *recipes)

static struct rival {
    const struct recipe *recipe; /* NULL: go-judge */
    char tool[256];
} rivals[RIVALS_MAX];
static int count;

static bool find_tool(const char *name, char *path, size_t bytes)
{
    const char *directories = getenv("PATH");
    while (directories && *directories) {
        size_t length = strcspn(directories, ":");
        snprintf(path, bytes, "%.*s/%s", (int)length, directories, name);
        if (length > 0 && access(path, X_OK) == 0)
            return true;
        directories += length + (directories[length] == ':');
    }
    return false;
}

void rivals_find(const char *go_judge)
{
    for (size_t i = 0; i < RECIPES; i++)
        if (find_tool(recipes[i].name, rivals[count].tool, sizeof rivals[count].tool))
            rivals[count++].recipe = &recipes[i];
    rivals_root_make();
    bundles_make();
    if (go_judge && go_judge[0]) {
        go_judge_use(go_judge);
        rivals[count++].recipe = NULL;
    }
}

int rivals_count(void)
{
    return count;
}

const char *rival_name(int rival)
{
    return rivals[rival].recipe ? rivals[rival].recipe->name : "go-judge";
}

/* What stands for a word of a recipe, in `room`, of which it returns what is left. */
static char *replace(const char *word, int program, int worker, char *room)
{
    static unsigned serial;
    const char *at = strchr(word, '@');
    int before = (int)(at - word);
    if (strcmp(at, "@root") == 0)
        return room + sprintf(room, "%.*s%s", before, word, rivals_root()) + 1;
    if (strcmp(at, "@bundle") == 0)
        return room + sprintf(room, "%s", bundle_path(program)) + 1;
    if (strcmp(at, "@state") == 0)
        return room + sprintf(room, "%s/state", places.scratch) + 1;
    if (strcmp(at, "@id") == 0)
        return room + sprintf(room, "bench-%d-%u", (int)getpid(), serial++) + 1;
    if (strcmp(at, "@worker") == 0)
        return room + sprintf(room, "%.*s%d", before, word, worker) + 1;
    if (strcmp(at, "@layer") == 0)
        return room + sprintf(room, "%.*s%s", before, word, places.hello_layer) + 1;
    die(word, EINVAL);
}

static double run_step(const struct rival *rival, int step, int program, int worker)
{
    static const struct surroundings outside = {.root = -1, .mounts = -1};
    const char *argv[ARGUMENTS_MAX + PROGRAM_ARGUMENTS_MAX];
    char text[4096], *room = text;
    const char *const *words = rival->recipe->steps[step];
    size_t length = 0;
    for (size_t i = 0; words[i]; i++) {
        if (strcmp(words[i], "@program") == 0) {
            for (const char *const *word = programs[program].argv; *word; word++)
                argv[length++] = rival->recipe->hello && strcmp(*word, HELLO_PATH) == 0
                                     ? rival->recipe->hello
                                     : *word;
        } else if (strchr(words[i], '@')) {
            argv[length++] = room;
            room = replace(words[i], program, worker, room);
        } else {
            argv[length++] = words[i];
        }
    }
    argv[0] = rival->tool;
    argv[length] = NULL;
    struct surroundings where = outside;
    where.mounts = rivals_mounts();
    return command_run(argv, &where);
}

double rival_run(int rival, int program, int worker)
{
    double ms = 0;
    if (!rivals[rival].recipe)
        return go_judge_run(program);
    for (int step = 0; step < STEPS_MAX && rivals[rival].recipe->steps[step][0]; step++)
        ms += run_step(&rivals[rival], step, program, worker);
    return ms;
}
