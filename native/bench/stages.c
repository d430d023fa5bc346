#include <stdint.h>
#include <stdlib.h>

#include "bench.h"
#include "boxes_client.h"
#include "measure.h"
#include "report.h"

#define REST_MS 10.0

/* The first three make up what the sequential part measures; nobody waits for the last. */
enum { TO_EXEC, PROGRAM, MESSAGES, DESTROY, STAGES };
static const char *const modes[STAGES] = {"stage:to-exec", "stage:program", "stage:messages",
                                          "stage:destroy"};

static void take(struct client *client, struct series *series)
{
    sleep_ms(REST_MS);
    struct box_times times = client_run(client, &programs[0]);
    series_add(&series[TO_EXEC], times.box_ms);
    series_add(&series[PROGRAM], times.wall_ms);
    series_add(&series[MESSAGES], times.ended_ms - times.box_ms - times.wall_ms);
    series_add(&series[DESTROY], times.destroyed_ms - times.ended_ms);
}

void measure_stages(int samples)
{
    static const char *const names[2] = {"mayfly-pooled", "mayfly-cold"};
    struct series series[2][STAGES] = {{{0}}};
    struct client clients[2] = {client_start(8, 2), client_start(8, 0)};
    for (int k = 0; k < 2; k++)
        client_load_image(&clients[k]);
    for (int i = 0; i < 2 * samples; i++)
        take(&clients[i % 2], series[i % 2]);
    for (int k = 0; k < 2; k++)
        client_stop(&clients[k]);
    for (int i = 0; i < STAGES; i++)
        for (int k = 0; k < 2; k++) {
            report_add(names[k], programs[0].name, modes[i], &series[k][i],
                       1e3 * samples / series_sum(&series[k][i]));
            free(series[k][i].ms);
        }
}
