/**
 * `npm run bench:files -- [--json] [--rounds N] [--mib N]`: what API and executor hold while a large content passes
 * through them, in and out. Each round is a fresh stack, which has run one job with small files before.
 *
 * Once with a directory that both share, and once with an executor that asks the API for its blobs.
 */
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startStack, type Stack } from '../../infra/start/stack.js';
import type { Job } from '../../services/contract/job.js';
import { freePorts } from '../helpers/free-ports.js';
import { describeMachine, forgetPeak, memoryOf, readBytes } from './machine.js';

const MIB = 1024 * 1024;
const SMALL_BYTES = 64 * 1024;
const GOAL_MIB = 16;
const PROCESSES = ['api', 'executor'] as const;
const TRANSFERS = ['upload', 'job reads it', 'same blob again', 'job writes', 'download'] as const;
type Transfer = (typeof TRANSFERS)[number];
type OfEach<T> = Record<(typeof PROCESSES)[number], T>;

interface Measured {
  readonly ms: number;
  /** The peak during the transfer, less what was resident before it. */
  readonly growthMib: OfEach<number>;
  /** By `read` and the like, files and sockets alike: what the kernel counts as rchar. */
  readonly readBytes: OfEach<number>;
  /** As the executor's cache counts them. */
  readonly fetchedBytes: number;
}

interface Round {
  readonly transfers: Record<Transfer, Measured>;
  /** The highest peak of all, less what was resident before the first. */
  readonly growthMib: OfEach<number>;
}

interface Installation {
  readonly stack: Stack;
  readonly metricsUrl: string;
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

function ofEach<T>({ stack }: Installation, read: (pid: number) => T): OfEach<T> {
  const of = (name: (typeof PROCESSES)[number]): T => {
    const pid = stack[name].pid();
    if (pid === null) throw new Error(`${name} does not run`);
    return read(pid);
  };
  return { api: of('api'), executor: of('executor') };
}

const difference = (after: OfEach<number>, before: OfEach<number>): OfEach<number> => ({
  api: after.api - before.api,
  executor: after.executor - before.executor,
});

const residentMib = (pid: number): number => memoryOf(pid).residentKib / 1_024;
const peakMib = (pid: number): number => memoryOf(pid).peakKib / 1_024;

async function fetchedBytes({ metricsUrl }: Installation): Promise<number> {
  const text = await (await fetch(metricsUrl)).text();
  const line = /^mayfly_blob_cache_fetched_bytes_total(?:\{[^}]*\})? (\S+)/m.exec(text);
  if (line === null) throw new Error(`no account of the cache at ${metricsUrl}`);
  return Number(line[1]);
}

async function measure(at: Installation, transfer: () => Promise<void>) {
  const fetchedBefore = await fetchedBytes(at);
  const residentBefore = ofEach(at, residentMib);
  const readBefore = ofEach(at, readBytes);
  ofEach(at, forgetPeak);
  const since = performance.now();
  await transfer();
  const ms = performance.now() - since;
  const peak = ofEach(at, peakMib);
  const read = difference(ofEach(at, readBytes), readBefore);
  const measured: Measured = {
    ms,
    growthMib: difference(peak, residentBefore),
    readBytes: read,
    fetchedBytes: (await fetchedBytes(at)) - fetchedBefore,
  };
  return { measured, peak };
}

async function call(stack: Stack, path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  headers.set('authorization', `Bearer ${stack.apiKey}`);
  const response = await fetch(`${stack.url}${path}`, { ...init, headers });
  if (response.status !== 200) {
    throw new Error(`${path}: ${response.status} ${(await response.text()).slice(0, 500)}`);
  }
  return response;
}

/** What the program wrote, once it has exited with 0. */
async function run(stack: Stack, request: object): Promise<{ id: string; stdout: string }> {
  const response = await call(stack, '/v1/jobs?wait=60', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(request),
  });
  const job = (await response.json()) as Job;
  const last = job.steps?.at(-1);
  if (last?.exitCode !== 0 || typeof last.stdout !== 'string') {
    throw new Error(`the job did not exit with 0: ${JSON.stringify(job).slice(0, 500)}`);
  }
  return { id: job.id, stdout: last.stdout };
}

function shell(script: string, more: object): object {
  const limits = { diskBytes: 256 * MIB, memoryBytes: 640 * MIB, fileBytes: 256 * MIB };
  return { image: 'base', steps: [{ name: 'run', argv: ['sh', '-c', script] }], limits, ...more };
}

function same(said: string, expected: string, where: string): void {
  if (said !== expected) throw new Error(`${where}: ${said} instead of ${expected}`);
}

/** In and out, each verified at the other end. */
function transfersOf(stack: Stack, bytes: number): Record<Transfer, () => Promise<void>> {
  const content = randomBytes(bytes);
  const blob = sha256(content);
  let left = { id: '', digest: '' };
  const read = async (): Promise<void> => {
    const job = shell('sha256sum < in.bin', { files: [{ path: 'in.bin', blob }] });
    same((await run(stack, job)).stdout, `${blob}  -\n`, 'in the box');
  };
  return {
    upload: async () => {
      const response = await call(stack, `/v1/blobs/${blob}`, { method: 'PUT', body: content });
      await response.arrayBuffer();
    },
    'job reads it': read,
    'same blob again': read,
    'job writes': async () => {
      const script = `head -c ${bytes} /dev/urandom > out.bin && sha256sum < out.bin`;
      const { id, stdout } = await run(stack, shell(script, { collect: ['out.bin'] }));
      left = { id, digest: stdout.slice(0, 64) };
    },
    download: async () => {
      const hash = createHash('sha256');
      const response = await call(stack, `/v1/jobs/${left.id}/files/out.bin`);
      for await (const chunk of response.body ?? []) hash.update(chunk as Uint8Array);
      same(hash.digest('hex'), left.digest, 'the download');
    },
  };
}

async function playRound(at: Installation, bytes: number): Promise<Round> {
  const small = transfersOf(at.stack, SMALL_BYTES);
  for (const name of TRANSFERS) await small[name]();
  const large = transfersOf(at.stack, bytes);
  const before = ofEach(at, residentMib);
  const highest = { ...before };
  const transfers: Partial<Record<Transfer, Measured>> = {};
  for (const name of TRANSFERS) {
    const { measured, peak } = await measure(at, large[name]);
    transfers[name] = measured;
    for (const each of PROCESSES) highest[each] = Math.max(highest[each], peak[each]);
  }
  return {
    transfers: transfers as Record<Transfer, Measured>,
    growthMib: difference(highest, before),
  };
}

async function onFreshStack(asksApi: boolean, bytes: number): Promise<Round> {
  const directory = mkdtempSync(join(tmpdir(), 'mayfly-bench-'));
  const output = openSync('/dev/null', 'w');
  try {
    const port = await freePorts(3);
    const askApi = {
      MAYFLY_INTERNAL_KEY: 'key-of-the-executors',
      MAYFLY_API_URL: `http://127.0.0.1:${port}`,
    };
    const stack = await startStack({
      redisDir: join(directory, 'redis'),
      port,
      apiKey: null,
      admin: null,
      env: {
        MAYFLY_LOG_LEVEL: 'warn',
        MAYFLY_BLOB_DIR: join(directory, 'blobs'),
        MAYFLY_CACHE_DIR: join(directory, 'cache'),
        MAYFLY_METRICS_PORT: String(port + 1),
        ...(asksApi ? askApi : {}),
      },
      output,
      report: () => undefined,
    });
    try {
      return await playRound({ stack, metricsUrl: `http://127.0.0.1:${port + 2}/metrics` }, bytes);
    } finally {
      await stack.stop();
    }
  } finally {
    closeSync(output);
    rmSync(directory, { recursive: true });
  }
}

function print(title: string, rounds: readonly Round[]): void {
  const write = (line: string): boolean => process.stdout.write(`${line}\n`);
  const most = (figures: readonly number[], digits = 0): string =>
    Math.max(...figures)
      .toFixed(digits)
      .padStart(12);
  const growth = (of: readonly { readonly growthMib: OfEach<number> }[]): string =>
    PROCESSES.map((each) =>
      most(
        of.map(({ growthMib }) => growthMib[each]),
        1,
      ),
    ).join('');
  write(`${title}: growth in MiB, the most of ${rounds.length} rounds`);
  write('                             API    executor     fetched          ms');
  for (const name of TRANSFERS) {
    const all = rounds.map(({ transfers }) => transfers[name]);
    const rest = most(all.map((each) => each.fetchedBytes)) + most(all.map(({ ms }) => ms));
    write(`  ${name.padEnd(18)}${growth(all)}${rest}`);
  }
  write(`  ${'all of it'.padEnd(18)}${growth(rounds)}   goal ${GOAL_MIB}`);
}

const { values: options } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '5' },
    mib: { type: 'string', default: '50' },
  },
});
const machine = describeMachine();
const bytes = Number(options.mib) * MIB;
const results = { shared: [] as Round[], asked: [] as Round[] };
for (let round = 0; round < Number(options.rounds); round += 1) {
  results.shared.push(await onFreshStack(false, bytes));
  results.asked.push(await onFreshStack(true, bytes));
}
if (options.json) {
  process.stdout.write(`${JSON.stringify({ machine, bytes, ...results }, null, 2)}\n`);
} else {
  print('One directory for API and executor', results.shared);
  print('The executor asks the API', results.asked);
}
