/**
 * `npm run bench:tables -- FILE…`: what `bench:box -- --json` and `bench:http -- --json` wrote, as the tables
 * of docs/performance.md, one for each mode.
 */
import { readFileSync } from 'node:fs';
import { z } from 'zod';

const reportSchema = z.object({
  machine: z.looseObject({
    kernel: z.string(),
    cpu: z.string(),
    cpus: z.number(),
    memoryKib: z.number(),
    cgroups: z.string(),
    loadAverage: z.number(),
  }),
  samples: z.number(),
  results: z.array(
    z.object({
      name: z.string(),
      program: z.string(),
      mode: z.string(),
      p50Ms: z.number(),
      p95Ms: z.number(),
      p99Ms: z.number(),
      perSecond: z.number(),
    }),
  ),
});

type Report = z.infer<typeof reportSchema>;
type Row = Report['results'][number];

function print(line = ''): void {
  process.stdout.write(`${line}\n`);
}

function figure(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function printMode(mode: string, rows: readonly Row[], report: Report): void {
  print(`\n| ${mode} | | p50 | p95 | p99 | per s | × spawn |`);
  print('|---|---|--:|--:|--:|--:|--:|');
  let program = '';
  for (const row of rows) {
    const ofProgram = report.results.filter((r) => r.name === 'spawn' && r.program === row.program);
    const spawn = ofProgram.find((r) => r.mode === mode) ?? ofProgram[0];
    const ratio = spawn === undefined ? '' : figure(row.p50Ms / spawn.p50Ms);
    const figures = [row.p50Ms, row.p95Ms, row.p99Ms, row.perSecond].map(figure).join(' | ');
    const first = row.program === program ? '' : `\`${row.program}\``;
    print(`| ${first} | ${row.name} | ${figures} | ${ratio} |`);
    program = row.program;
  }
}

for (const path of process.argv.slice(2)) {
  const report = reportSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
  const { cpu, cpus, memoryKib, kernel, cgroups, loadAverage } = report.machine;
  const gib = Math.round(memoryKib / 1024 / 1024);
  print(`${cpu}, ${cpus} CPUs, ${gib} GiB, Linux ${kernel}, control groups ${cgroups}.`);
  print(`${report.samples} samples, load average ${loadAverage.toFixed(1)} at the start.`);
  for (const mode of new Set(report.results.map((row) => row.mode))) {
    printMode(
      mode,
      report.results.filter((row) => row.mode === mode),
      report,
    );
  }
}
