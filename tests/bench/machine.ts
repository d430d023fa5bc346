/** What the kernel says of the machine and of the service's processes. */
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, machine, release, totalmem } from 'node:os';

/** /proc counts in these; USER_HZ is 100 on every Linux that Node runs on. */
const TICK_MS = 10;

export interface Machine {
  readonly kernel: string;
  readonly architecture: string;
  readonly cpu: string;
  readonly cpus: number;
  readonly memoryKib: number;
  readonly cgroups: 'v1' | 'v2' | 'hybrid';
  /** Runnable, over the last minute, when the run began. */
  readonly loadAverage: number;
}

export function describeMachine(): Machine {
  const v2 = existsSync('/sys/fs/cgroup/cgroup.controllers');
  const beside = existsSync('/sys/fs/cgroup/unified/cgroup.controllers');
  return {
    kernel: release(),
    architecture: machine(),
    cpu: cpus()[0]?.model ?? 'unknown',
    cpus: availableParallelism(),
    memoryKib: Math.round(totalmem() / 1024),
    cgroups: v2 ? 'v2' : beside ? 'hybrid' : 'v1',
    loadAverage: loadavg()[0] ?? Number.NaN,
  };
}

export interface ProcessCost {
  readonly residentKib: number;
  /** Shared pages counted in part: what the machine would win if it ended. */
  readonly proportionalKib: number;
}

export function processCost(pid: number): ProcessCost {
  const rollup = fieldsOf(pid, 'smaps_rollup');
  return { residentKib: rollup('Rss'), proportionalKib: rollup('Pss') };
}

/** What is resident, and the most that was since `forgetPeak`. */
export function memoryOf(pid: number): { residentKib: number; peakKib: number } {
  const status = fieldsOf(pid, 'status');
  return { residentKib: status('VmRSS'), peakKib: status('VmHWM') };
}

export function forgetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
}

/** By all system calls that read, from files and sockets alike. */
export function readBytes(pid: number): number {
  return fieldsOf(pid, 'io')('rchar');
}

/** NaN for what the file does not have. */
function fieldsOf(pid: number, file: 'smaps_rollup' | 'status' | 'io') {
  const text = readFileSync(`/proc/${pid}/${file}`, 'utf8');
  return (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1]);
}

/** CPU time of a process and of those it has waited for. */
export function cpuMs(pid: number): number {
  const fields = statFields(pid);
  const ticks = fields?.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  if (ticks === undefined) throw new Error(`process ${pid} is gone`);
  return ticks * TICK_MS;
}

/** CPU time of a process in nanosecond steps: of the threads that it has. */
export function threadsCpuMs(pid: number): number {
  return readdirSync(`/proc/${pid}/task`)
    .map((thread) => readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8'))
    .reduce((sum, text) => sum + Number(text.split(' ')[0]) / 1e6, 0);
}

/** All processes below one, the nearest first. */
export function descendants(ancestor: number): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    const parent = /^\d+$/.test(name) ? statFields(Number(name))?.[1] : undefined;
    if (parent !== undefined) parents.set(Number(name), Number(parent));
  }
  const found = [ancestor];
  for (const pid of found) {
    for (const [child, parent] of parents) if (parent === pid) found.push(child);
  }
  return found.slice(1);
}

/** Of /proc/pid/stat, those after the name, which may hold anything: state, parent, … */
function statFields(pid: number): string[] | null {
  try {
    return (
      /\) (.*)$/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8').trim())?.[1]?.split(' ') ?? null
    );
  } catch {
    // It ended in the meantime.
    return null;
  }
}
