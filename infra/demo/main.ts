/** `npm run demo`: the whole stack, a program per language and five that misbehave, one table. */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jobSchema, type Job } from '../../services/contract/job.js';
import { startStack, type Stack } from '../start/stack.js';
import { PROGRAMS, type DemoProgram } from './programs.js';
import { createTable, type Table } from './table.js';

const COLUMNS = [
  { title: 'program', width: 18 },
  { title: 'outcome', width: 13 },
  { title: 'output', width: 32 },
  { title: 'CPU ms', width: 8, alignRight: true },
  { title: 'wall ms', width: 8, alignRight: true },
  { title: 'peak MiB', width: 8, alignRight: true },
  { title: 'queue ms', width: 8, alignRight: true },
  { title: 'box ms', width: 7, alignRight: true },
  { title: '', width: 2 },
] as const;
const OUTCOME_COLUMN = 1;
const VERDICT_COLUMN = 8;
const MIB = 1024 * 1024;
/** Longer than any of the programs may take. */
const WAIT_SECONDS = 60;

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function submit({ url, apiKey }: Stack, program: DemoProgram): Promise<Job> {
  const { language, source, stdin = '', limits = {} } = program;
  const response = await fetch(`${url}/v1/jobs?wait=${WAIT_SECONDS}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ language, source, stdin, limits }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${program.title}: ${response.status} ${text.slice(0, 500)}`);
  return jobSchema.parse(JSON.parse(text));
}

/** What is wrong with how it went, or null. */
function complaintAbout(job: Job, program: DemoProgram): string | null {
  if (job.status !== 'finished')
    return `${job.status}: ${job.problem?.detail ?? 'no reason given'}`;
  const { run } = job;
  if (run === null) return `was not run: ${JSON.stringify(job.compile?.stderr)}`;
  if (!program.outcomes.includes(run.outcome)) return `expected ${program.outcomes.join(' or ')}`;
  return program.complaint?.(run) ?? null;
}

function printRow(table: Table, job: Job, program: DemoProgram, good: boolean): void {
  const { run, timings } = job;
  const fixed = (value: number | null | undefined): string => value?.toFixed(1) ?? '-';
  const colour = good ? 'green' : 'red';
  table.row(
    [
      program.title,
      run?.outcome ?? job.status,
      typeof run?.stdout === 'string' ? (run.stdout.split('\n', 1)[0] ?? '') : '',
      fixed(run?.usage.cpuTimeMs),
      fixed(run?.usage.wallTimeMs),
      fixed(run === null ? null : run.usage.memoryBytesPeak / MIB),
      fixed(timings.queuedMs),
      fixed(timings.boxMs),
      good ? 'ok' : '!!',
    ],
    { [OUTCOME_COLUMN]: colour, [VERDICT_COLUMN]: colour },
  );
}

/** The number of programs that did not end as they should. */
async function runPrograms(stack: Stack): Promise<number> {
  const coloured = process.stdout.isTTY && process.env['NO_COLOR'] === undefined;
  const table = createTable(COLUMNS, print, coloured);
  const complaints: string[] = [];
  table.header();
  for (const program of PROGRAMS) {
    const job = await Promise.race([submit(stack, program), stack.failed]);
    const complaint = complaintAbout(job, program);
    printRow(table, job, program, complaint === null);
    if (complaint !== null) complaints.push(`${program.title}: ${complaint}`);
  }
  print('');
  for (const complaint of complaints) print(complaint);
  const good = PROGRAMS.length - complaints.length;
  print(`${good} of ${PROGRAMS.length} ended as they should.`);
  return complaints.length;
}

/** Rejects when we are told to stop; whoever starts something in the meantime finishes that first. */
function interrupted(): Promise<never> {
  const promise = new Promise<never>((_resolve, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(signal, () => {
        reject(new Error(`stopped by ${signal}`));
      });
    }
  });
  promise.catch(() => undefined);
  return promise;
}

async function main(): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), 'mayfly-demo-'));
  const logPath = join(directory, 'log');
  const log = openSync(logPath, 'a');
  const { PATH, MAYFLY_STATE_DIR } = process.env;
  const env = {
    MAYFLY_LOG_LEVEL: 'info',
    ...(PATH === undefined ? {} : { PATH }),
    ...(MAYFLY_STATE_DIR === undefined ? {} : { MAYFLY_STATE_DIR }),
  };
  const stop = interrupted();
  try {
    print('Starting Redis, API and executor …');
    const redisDir = join(directory, 'redis');
    const starting = startStack({
      redisDir,
      port: 0,
      apiKey: null,
      admin: null,
      env,
      output: log,
      report: print,
    });
    const stack = await starting;
    try {
      return await Promise.race([runPrograms(stack), stop]);
    } finally {
      await stack.stop();
    }
  } catch (error) {
    const lines = readFileSync(logPath, 'utf8').trimEnd().split('\n');
    process.stderr.write(`${lines.slice(-20).join('\n')}\n`);
    throw error;
  } finally {
    closeSync(log);
    rmSync(directory, { recursive: true, force: true });
  }
}

main().then(
  (bad) => process.exit(bad === 0 ? 0 : 1),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  },
);
