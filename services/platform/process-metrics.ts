/** What every process tells about itself. */
import { performance } from 'node:perf_hooks';
import type { Metrics } from './metrics.js';

export function observeProcess(metrics: Metrics): void {
  let last = performance.eventLoopUtilization();
  metrics.observe('mayfly_process_cpu_seconds_total', () => {
    const { user, system } = process.cpuUsage();
    return [[{}, (user + system) / 1e6]];
  });
  metrics.observe('mayfly_process_memory_bytes', () => [[{}, process.memoryUsage.rss()]]);
  metrics.observe('mayfly_event_loop_utilization', () => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, last);
    last = now;
    return [[{}, utilization]];
  });
}
