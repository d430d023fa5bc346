/*
 * What a box costs, beside a plain spawn and beside other sandboxes, interleaved in one run: in each round
 * every contender runs every program once, in an order that changes. native/bench/run starts it.
 *
 *   bench_box <build directory> <scratch directory> [--json] [--samples N] [--back-to-back N] [--only PART]
 *
 * Parts: sequential, concurrent, back-to-back, stages, costs. Without --only: all of them, but costs only in the table.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "manifest.h"
#include "measure.h"
#include "mayfly.h"
#include "report.h"
#include "rivals.h"

#define NUMBER_MAX 1000000

struct options {
    int samples;
    long back_to_back;
    const char *only;
    bool json;
};

static _Noreturn void usage(void)
{
    fprintf(stderr, "usage: npm run bench:box -- [--json] [--samples N] [--back-to-back N]\n"
                    "         [--only sequential|concurrent|back-to-back|stages|costs]\n");
    exit(2);
}

static long positive(const char *text)
{
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    if (errno || *end || number < 1 || number > NUMBER_MAX)
        usage();
    return number;
}

static struct options parse(int argc, char **argv)
{
    static const char *const parts[] = {"sequential", "concurrent", "back-to-back", "stages",
                                        "costs"};
    struct options options = {.samples = 200, .back_to_back = 1000};
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            options.json = true;
        else if (i + 1 == argc)
            usage();
        else if (strcmp(argv[i], "--samples") == 0)
            options.samples = (int)positive(argv[++i]);
        else if (strcmp(argv[i], "--back-to-back") == 0)
            options.back_to_back = positive(argv[++i]);
        else if (strcmp(argv[i], "--only") == 0)
            options.only = argv[++i];
        else
            usage();
    }
    bool known = !options.only;
    for (size_t i = 0; i < sizeof parts / sizeof *parts && options.only; i++)
        known = known || strcmp(options.only, parts[i]) == 0;
    if (!known)
        usage();
    return options;
}

static bool wanted(const struct options *options, const char *part)
{
    if (options->only)
        return strcmp(options->only, part) == 0;
    return strcmp(part, "costs") != 0 || !options->json;
}

static void find_places(const char *build, const char *scratch)
{
    const char *state = getenv("MAYFLY_STATE_DIR");
    uint32_t count;
    snprintf(places.supervisor, sizeof places.supervisor, "%s/mayfly-supervisor", build);
    snprintf(places.scratch, sizeof places.scratch, "%s", scratch);
    snprintf(places.hello_layer, sizeof places.hello_layer, "%s/hello-layer", scratch);
    int error = manifest_layers(state ? state : "/var/lib/mayfly", "base", places.base_layers,
                                sizeof places.base_layers, &count);
    if (error)
        die("image base (infra/bootstrap builds it)", -error);
    places.base_layers_count = count;
    places.root_layer = places.base_layers;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        usage();
    struct options options = parse(argc - 3, argv + 3);
    struct costs costs;
    bool costs_wanted = wanted(&options, "costs");
    find_places(argv[1], argv[2]);
    struct machine machine = machine_read();
    if (wanted(&options, "sequential") || wanted(&options, "concurrent"))
        rivals_find(getenv("GO_JUDGE_URL"));
    if (wanted(&options, "sequential"))
        measure_sequential(options.samples);
    if (wanted(&options, "concurrent"))
        measure_concurrent();
    if (wanted(&options, "back-to-back"))
        measure_back_to_back(options.back_to_back);
    if (wanted(&options, "stages"))
        measure_stages(options.samples);
    if (costs_wanted)
        costs = costs_measure(options.back_to_back);
    (options.json ? report_json : report_table)(&machine, options.samples,
                                                costs_wanted ? &costs : NULL);
    return 0;
}
