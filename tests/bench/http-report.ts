/** Rows of figures over HTTP, as JSON or as a table. */
import type { Machine, ProcessCost } from './machine.js';
import type { Samples } from './samples.js';

export interface RowName {
  readonly name: string;
  readonly program: string;
  readonly mode: string;
}

export interface Row extends RowName {
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
  readonly perSecond: number;
}

export interface ServiceCosts {
  readonly processes: Readonly<Record<string, ProcessCost>>;
  /** Of one core, with nothing to do. */
  readonly idleCpuPercent: number;
}

export function addRow(rows: Row[], of: RowName, samples: Samples, perSecond: number): void {
  rows.push({
    name: of.name,
    program: of.program,
    mode: of.mode,
    p50Ms: rounded(samples.percentile(0.5)),
    p95Ms: rounded(samples.percentile(0.95)),
    p99Ms: rounded(samples.percentile(0.99)),
    perSecond: rounded(perSecond),
  });
}

export function printJson(
  machine: Machine,
  samples: number,
  rows: readonly Row[],
  costs: ServiceCosts | null,
): void {
  const report = { machine, samples, results: rows, ...(costs === null ? {} : { costs }) };
  print(JSON.stringify(report, null, 1));
}

export function printTable(
  machine: Machine,
  samples: number,
  rows: readonly Row[],
  costs: ServiceCosts | null,
): void {
  const { cpu, cpus, memoryKib, kernel, cgroups, loadAverage } = machine;
  print(
    `${cpu}, ${cpus} CPUs, ${Math.round(memoryKib / 1024)} MiB, Linux ${kernel}, control groups ` +
      `${cgroups}, load ${loadAverage.toFixed(2)}; ${samples} samples`,
  );
  const spawns = new Map(
    rows.filter((row) => row.name === 'spawn').map((row) => [row.program, row]),
  );
  let heading = '';
  for (const row of rows) {
    const next = `${row.program.padEnd(14)} ${row.mode.padEnd(17)}`;
    if (next !== heading) print(`\n${next}    p50 ms      p95      p99     per s  × spawn`);
    heading = next;
    const figures = [row.p50Ms, row.p95Ms, row.p99Ms].map((ms) => ms.toFixed(2).padStart(9));
    const spawn = spawns.get(row.program);
    const ratio = spawn === undefined ? '' : (row.p50Ms / spawn.p50Ms).toFixed(2).padStart(9);
    const rate = row.perSecond.toFixed(1).padStart(10);
    print(`  ${row.name.padEnd(30)}${figures.join('')}${rate}${ratio}`);
  }
  if (costs !== null) printCosts(costs);
}

function printCosts({ processes, idleCpuPercent }: ServiceCosts): void {
  print('\nmemory               resident KiB  proportional KiB');
  for (const [name, { residentKib, proportionalKib }] of Object.entries(processes)) {
    print(
      `  ${name.padEnd(18)}${String(residentKib).padStart(13)}${String(proportionalKib).padStart(18)}`,
    );
  }
  print(`idle: ${idleCpuPercent.toFixed(2)} % of a core, all of them together`);
}

function rounded(value: number): number {
  return Math.round(value * 1_000) / 1_000;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
