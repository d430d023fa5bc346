#include "bundle.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "bench.h"
#include "rivals_root.h"

static char paths[PROGRAMS][640];

/* All namespaces, no capability, no_new_privs, one CPU, 256 MiB, 64 processes; no filter. */
static const char bundle_head[] =
    "{\"ociVersion\": \"1.0.0\", \"hostname\": \"box\",\n"
    "\"process\": {\"terminal\": false, \"user\": {\"uid\": 0, \"gid\": 0}, \"cwd\": \"/box\",\n"
    "  \"env\": [\"PATH=/usr/local/bin:/usr/bin:/bin\"], \"noNewPrivileges\": true,\n"
    "  \"capabilities\": {\"bounding\": [], \"effective\": [], \"inheritable\": [], \"permitted\": "
    "[], "
    "\"ambient\": []},\n"
    "  \"args\": [";
static const char bundle_middle[] = "]},\n\"root\": {\"readonly\": true, \"path\": \"";
static const char bundle_tail[] =
    "\"},\n\"mounts\": [\n"
    "  {\"destination\": \"/proc\", \"type\": \"proc\", \"source\": \"proc\"},\n"
    "  {\"destination\": \"/dev\", \"type\": \"tmpfs\", \"source\": \"tmpfs\", \"options\": "
    "[\"nosuid\", \"mode=755\", \"size=65536k\"]},\n"
    "  {\"destination\": \"/tmp\", \"type\": \"tmpfs\", \"source\": \"tmpfs\", \"options\": "
    "[\"nosuid\", \"nodev\", \"size=65536k\"]}],\n"
    "\"linux\": {\n"
    "  \"uidMappings\": [{\"containerID\": 0, \"hostID\": 0, \"size\": 65536}],\n"
    "  \"gidMappings\": [{\"containerID\": 0, \"hostID\": 0, \"size\": 65536}],\n"
    "  \"namespaces\": [{\"type\": \"user\"}, {\"type\": \"pid\"}, {\"type\": \"mount\"}, "
    "{\"type\": "
    "\"network\"}, {\"type\": \"ipc\"}, {\"type\": \"uts\"}, {\"type\": \"cgroup\"}],\n"
    "  \"resources\": {\"memory\": {\"limit\": 268435456}, \"pids\": {\"limit\": 64},\n"
    "    \"cpu\": {\"quota\": 100000, \"period\": 100000}},\n"
    "  \"maskedPaths\": [\"/proc/kcore\", \"/proc/keys\", \"/proc/timer_list\"],\n"
    "  \"readonlyPaths\": [\"/proc/sys\", \"/proc/sysrq-trigger\"]}}\n";

void bundles_make(void)
{
    for (int i = 0; i < PROGRAMS; i++) {
        char file[sizeof paths[i] + 16];
        snprintf(paths[i], sizeof paths[i], "%s/bundle-%d", places.scratch, i);
        snprintf(file, sizeof file, "%s/config.json", paths[i]);
        FILE *config = mkdir(paths[i], 0755) == 0 ? fopen(file, "we") : NULL;
        if (!config)
            die(file, errno);
        fputs(bundle_head, config);
        for (const char *const *word = programs[i].argv; *word; word++)
            fprintf(config, "%s\"%s\"", word == programs[i].argv ? "" : ", ", *word);
        fprintf(config, "%s%s%s", bundle_middle, rivals_root(), bundle_tail);
        if (fclose(config) != 0)
            die(file, errno);
    }
}

const char *bundle_path(int program)
{
    return paths[program];
}
