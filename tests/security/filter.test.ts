/** Every denial of native/src/filter.c, seen from inside a box; and programs that have to work under it. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { languageOf } from '../../services/contract/languages.js';
import type { NativeSandbox } from '../../workers/executor/native-sandbox.js';
import { attackProgram, attemptOutside } from '../helpers/attacks.js';
import { MIB, runInBox, startTestSandbox } from '../helpers/boxes.js';

const NATIVE = fileURLToPath(new URL('../../native/', import.meta.url));
const EPERM = 1;
const ENOSYS = 38;

const tablesSchema = z.object({
  denied: z.array(z.number()),
  missing: z.array(z.number()),
  known: z.number(),
});

/** The numbers that the compiler put into the tables. */
function filterTables(): z.infer<typeof tablesSchema> {
  const scratch = mkdtempSync(join(tmpdir(), 'filter-'));
  try {
    const program = join(scratch, 'print-filter');
    const source = join(NATIVE, 'tests', 'print-filter.c');
    execFileSync('gcc', ['-D_GNU_SOURCE', `-I${NATIVE}src`, '-o', program, source]);
    return tablesSchema.parse(JSON.parse(execFileSync(program, { encoding: 'utf8' })));
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

function answers(stdout: string): Map<number, number> {
  const lines = stdout.trim().split('\n');
  return new Map(lines.map((line) => line.split(' ').map(Number) as [number, number]));
}

describe('the filter', () => {
  const tables = filterTables();
  let sandbox: NativeSandbox;
  beforeAll(async () => {
    sandbox = await startTestSandbox();
  });
  afterAll(() => sandbox.stop());

  async function inBox(numbers: readonly number[]): Promise<Map<number, number>> {
    const files = [{ path: '/box/attacks', mode: 0o755, content: attackProgram() }];
    const argv = ['/box/attacks', 'probe', ...numbers.map(String)];
    return answers((await runInBox(sandbox, { files, argv })).stdout);
  }

  /** As root outside, with arguments that no call accepts: whatever the kernel says is not the filter's answer. */
  function outside(numbers: readonly number[]): Map<number, number> {
    const attack = ['probe', ...numbers.map(String)];
    return answers(attemptOutside({ title: '', attack, control: 'outside' }).stdout);
  }

  it('denies each call of its table with EPERM, which the kernel itself would not', async () => {
    const seen = await inBox(tables.denied);
    const control = outside(tables.denied);
    expect(tables.denied.length).toBeGreaterThan(40);
    for (const call of tables.denied) expect([call, seen.get(call)]).toEqual([call, EPERM]);
    const shown = tables.denied.filter((call) => control.get(call) !== EPERM);
    console.info(`filter: ${shown.length} of ${tables.denied.length} denials shown with a control`);
    expect(shown.length).toBeGreaterThanOrEqual(tables.denied.length - 3);
  });

  it('answers ENOSYS for each call that a library has another way for, and for newer ones', async () => {
    const newer = [tables.known, tables.known + 11, tables.known + 100, 1_000];
    const all = [...tables.missing, ...newer];
    const seen = await inBox(all);
    for (const call of all) expect([call, seen.get(call)]).toEqual([call, ENOSYS]);
    const control = outside(all);
    const shown = all.filter((call) => control.get(call) !== ENOSYS);
    console.info(`filter: ${shown.length} of ${all.length} missing calls are in this kernel`);
    expect(shown.length).toBeGreaterThanOrEqual(5);
  });

  it('lets every other call through to the kernel', async () => {
    const stopped = new Set([...tables.denied, ...tables.missing]);
    // Not those that end or change the program itself, or wait.
    const own = new Set([
      15, 34, 56, 57, 58, 59, 60, 61, 101, 130, 219, 231, 247, 322, 35, 41, 16, 135,
    ]);
    const others = Array.from({ length: 100 }, (_unused, call) => call).filter(
      (call) => !stopped.has(call) && !own.has(call),
    );
    const seen = await inBox(others);
    expect([...seen.values()].filter((errno) => errno === EPERM).length).toBeLessThan(8);
  });
});

interface Program {
  readonly title: string;
  readonly files?: Readonly<Record<string, string>>;
  readonly argv: readonly string[];
  readonly stdout: RegExp;
}

const C_THREADS = `
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
static void *work(void *p) { int *q = malloc(64); q[0] = 1; free(q); return p; }
int main(void) {
  pthread_t t[8];
  for (int i = 0; i < 8; i++) pthread_create(&t[i], NULL, work, NULL);
  for (int i = 0; i < 8; i++) pthread_join(t[i], NULL);
  puts("sanitized");
  return 0;
}`;
const NODE_WORKERS = `
const { Worker, isMainThread, parentPort } = require('node:worker_threads');
const os = require('node:os');
if (isMainThread) {
  const workers = Array.from({ length: 3 }, () => new Worker(__filename));
  let left = 3;
  for (const w of workers) w.on('message', () => --left || console.log('workers', Object.keys(os.networkInterfaces())));
} else parentPort.postMessage(1);`;
const PYTHON_PROCESSES = `
import concurrent.futures, multiprocessing, socket, ssl, sqlite3, subprocess, tempfile, threading
def square(x): return x * x
if __name__ == '__main__':
    with multiprocessing.Pool(3) as pool: total = sum(pool.map(square, range(100)))
    with concurrent.futures.ThreadPoolExecutor(4) as pool: total += sum(pool.map(square, range(100)))
    lock = multiprocessing.Lock()
    with lock, tempfile.TemporaryFile() as f: f.write(b'x')
    server = socket.create_server(('127.0.0.1', 0))
    client = socket.create_connection(server.getsockname())
    print(total, subprocess.run(['echo', 'child'], capture_output=True).stdout)`;

const programs: readonly Program[] = [
  {
    title: 'gcc -fsanitize=address, with threads',
    files: { 'a.c': C_THREADS },
    argv: ['bash', '-c', 'gcc -g -fsanitize=address -pthread a.c -o a && ./a'],
    stdout: /^sanitized$/m,
  },
  {
    title: 'g++ with exceptions and the standard library',
    files: {
      'a.cpp':
        '#include <iostream>\n#include <thread>\nint main(){try{throw 1;}catch(int){std::thread([]{std::cout<<"caught\\n";}).join();}}',
    },
    argv: ['bash', '-c', 'g++ a.cpp -o a && ./a'],
    stdout: /^caught$/m,
  },
  { title: 'setarch -R', argv: ['setarch', '-R', 'echo', 'fixed'], stdout: /^fixed$/m },
  {
    title: 'node with worker threads and os.networkInterfaces()',
    files: { 'a.js': NODE_WORKERS },
    argv: ['node', 'a.js'],
    stdout: /^workers \[ 'lo' \]$/m,
  },
  {
    title: 'Python with processes, threads, sockets and temporary files',
    files: { 'a.py': PYTHON_PROCESSES },
    argv: ['python3', 'a.py'],
    stdout: /^656700 b'child\\n'$/m,
  },
  {
    title: 'shell pipelines, here documents, traps and job control',
    argv: [
      'bash',
      '-c',
      'set -m; trap "echo trapped" EXIT; (sleep 0.01 &); seq 1000 | sort -R | sort -n | tail -1 | tee /tmp/x; cat <(echo sub)',
    ],
    stdout: /^1000\nsub\ntrapped$/m,
  },
  {
    title: 'files of lower layers moved, removed and replaced',
    argv: [
      'bash',
      '-c',
      'cp -r /usr/lib/python3/ /box/p && mv /box/p /box/q && rm -r /box/q && mkdir -p a/b && mv a c && tar cf t.tar c && tar xf t.tar && echo moved',
    ],
    stdout: /^moved$/m,
  },
];

describe('under the filter', () => {
  let sandbox: NativeSandbox;
  beforeAll(async () => {
    sandbox = await startTestSandbox();
  });
  afterAll(() => sandbox.stop());

  it.each(programs)('works: $title', async ({ files = {}, argv, stdout }) => {
    const end = await runInBox(sandbox, {
      files: Object.entries(files).map(([name, text]) => ({
        path: `/box/${name}`,
        mode: 0o644,
        content: Buffer.from(text),
      })),
      argv,
      env: languageOf('c').env,
      limits: {
        cpuTimeMs: 20_000,
        memoryBytes: 1_024 * MIB,
        diskBytes: 256 * MIB,
        fileBytes: 256 * MIB,
      },
    });
    expect(end.stdout, end.stderr).toMatch(stdout);
    expect(end).toMatchObject({ outcome: 'exited', exitCode: 0 });
  });
});
