import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Job } from '../../services/contract/job.js';
import { paxOf, tarGzOf, zipOf } from '../helpers/archives.js';
import { leftovers, nothingLeft } from '../helpers/leftovers.js';
import { startTestStack, type TestStack } from '../helpers/stack.js';

const MIB = 1024 * 1024;
let stack: TestStack;
const before = leftovers();

beforeAll(async () => {
  stack = await startTestStack();
});
afterAll(async () => {
  await stack.stop();
  await nothingLeft(before);
});

/** Everything below the working directory, with types, modes and contents. */
const LIST = `find . -mindepth 1 | sort | while IFS= read -r f; do
  stat -c '%A %n' "$f"; [ -f "$f" ] && { cat "$f"; echo; }; done; ls -A /tmp`;

interface Given {
  readonly format: 'zip' | 'tar.gz';
  readonly content?: string;
  readonly blob?: string;
  readonly path?: string;
}

const inline = (format: Given['format'], archive: Buffer, path?: string): Given => ({
  format,
  content: archive.toString('base64'),
  ...(path === undefined ? {} : { path }),
});

function run(archives: readonly Given[], script = LIST, more: object = {}): Promise<Job> {
  const steps = [{ name: 'look', argv: ['sh', '-c', script] }];
  return stack.submit({ image: 'base', steps, archives, ...more }, 20);
}

async function listing(archives: readonly Given[]): Promise<string> {
  const job = await run(archives);
  expect(job.status, JSON.stringify(job.problem)).toBe('finished');
  expect(job.steps).toHaveLength(1);
  return job.steps?.[0]?.stdout as string;
}

const ENTRIES = [
  { name: 'data/', mode: 0o40750 },
  { name: 'data/ä.txt', content: 'text', mode: 0o100640 },
  { name: 'run.sh', content: 'x'.repeat(10), mode: 0o104755 },
];
const LISTED = `drwxr-x--- ./data
-rw-r----- ./data/ä.txt
text
-rwxr-xr-x ./run.sh
xxxxxxxxxx
`;

describe('archives', () => {
  it('are unpacked, with what their entries may have of a mode, and nothing else is there', async () => {
    expect(await listing([inline('zip', zipOf(ENTRIES))])).toBe(LISTED);
    expect(await listing([inline('zip', zipOf(ENTRIES, { stored: true }))])).toBe(LISTED);
    expect(await listing([inline('tar.gz', tarGzOf(ENTRIES))])).toBe(LISTED);
  });

  it('are unpacked one after the other, where they belong, before files are written', async () => {
    const one = inline('zip', zipOf([{ name: 'a', content: '1' }]), 'in/one');
    const two = inline('tar.gz', tarGzOf([{ name: 'a', content: '2' }]), '/tmp/two');
    const files = [{ path: 'in/one/a', content: 'instead' }];
    const job = await run([one, two], 'cat in/one/a /tmp/two/a', { files });
    expect(job.steps?.[0]).toMatchObject({ stdout: 'instead2', exitCode: 0 });
  });

  it('have names as long as pax and GNU tar make them', async () => {
    const long = `${'d'.repeat(120)}/${'n'.repeat(200)}`;
    const archive = tarGzOf([
      paxOf({ path: `${long}x` }),
      { name: 'short', content: 'pax' },
      { name: '././@LongLink', type: 'L', content: `${long}y\0` },
      { name: 'short', content: 'gnu' },
    ]);
    const job = await run([inline('tar.gz', archive)], `cat ${long}x ${long}y`);
    expect(job.steps?.[0]).toMatchObject({ stdout: 'paxgnu' });
  });

  it('are a source, and come as a blob', async () => {
    const content = randomBytes(2 * MIB);
    const archive = zipOf([
      { name: 'big', content },
      { name: 'm.py', content: 'X = 5' },
    ]);
    const blob = createHash('sha256').update(archive).digest('hex');
    const { url, apiKey } = stack.stack;
    const headers = { authorization: `Bearer ${apiKey}` };
    const body = new Uint8Array(archive);
    expect((await fetch(`${url}/v1/blobs/${blob}`, { method: 'PUT', headers, body })).status).toBe(
      200,
    );
    const source = `import hashlib, m
print(m.X, hashlib.sha256(open("big", "rb").read()).hexdigest())`;
    const job = await stack.submit(
      { language: 'python', source, archives: [{ blob, format: 'zip' }] },
      20,
    );
    const digest = createHash('sha256').update(content).digest('hex');
    expect(job.run, JSON.stringify(job)).toMatchObject({ stdout: `5 ${digest}\n` });
  });

  it('of others are read: python writes them', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'mayfly-archives-'));
    try {
      mkdirSync(join(directory, 'tree'));
      writeFileSync(join(directory, 'tree/a'), 'a'.repeat(100_000));
      writeFileSync(join(directory, 'tree/b'), '');
      for (const format of ['zip', 'gztar'] as const) {
        const script = `import shutil,sys; print(shutil.make_archive(sys.argv[1], sys.argv[2], sys.argv[3]))`;
        const to = join(directory, format);
        const path = execFileSync('python3', ['-c', script, to, format, join(directory, 'tree')]);
        const archive = readFileSync(path.toString().trim());
        const given = inline(format === 'zip' ? 'zip' : 'tar.gz', archive);
        const job = await run([given], 'stat -c "%s %n" a b');
        expect(job.steps?.[0], JSON.stringify(job)).toMatchObject({ stdout: '100000 a\n0 b\n' });
      }
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('that are refused fail the job at once, and say which and why', async () => {
    const good = inline('zip', zipOf(ENTRIES), 'good');
    const cases: readonly (readonly [Given, RegExp])[] = [
      [
        inline('zip', zipOf([{ name: 'a' }, { name: 'a' }])),
        /^archives\[1\]: a: .*EEXIST|a: .*exists/,
      ],
      [inline('zip', Buffer.from('no')), /^archives\[1\]: this is not a zip archive/],
      [inline('tar.gz', Buffer.from('no')), /^archives\[1\]: .*not compressed with gzip/],
      [inline('tar.gz', tarGzOf(ENTRIES).subarray(0, -9)), /^archives\[1\]: .*cut short/],
      [
        inline('zip', zipOf(ENTRIES, { central: (header) => header.writeUInt32LE(7, 16) })),
        /^archives\[1\]: data\/: is not what the directory says/,
      ],
    ];
    for (const [archive, detail] of cases) {
      const job = await run([good, archive]);
      expect(job).toMatchObject({ status: 'failed', runs: 1, problem: { stage: 'archive' } });
      expect(job.problem?.detail).toMatch(detail);
    }
  });

  it('are checked before a job is accepted, by field', async () => {
    const fine = zipOf([]).toString('base64');
    const { status, body } = await stack.call('POST', '/v1/jobs', {
      language: 'python',
      source: '1',
      archives: [
        { format: 'zip' },
        { format: 'zip', content: fine, blob: 'a'.repeat(64) },
        { format: 'rar', content: fine },
        { format: 'zip', content: '?' },
        { format: 'zip', content: fine, path: '../x' },
        { format: 'zip', content: fine, path: '/etc' },
      ],
    });
    expect(status).toBe(400);
    const { issues } = body as { issues: { path: string }[] };
    expect(issues.map(({ path }) => path).sort()).toEqual([
      'archives[0].content',
      'archives[1].content',
      'archives[2].format',
      'archives[3].content',
      'archives[4].path',
      'archives[5].path',
    ]);
  });

  it('do not go with tests', async () => {
    const archives = [inline('zip', zipOf([]))];
    const tests = [{ stdin: '' }];
    const { status, body } = await stack.call('POST', '/v1/jobs', {
      language: 'python',
      source: '1',
      archives,
      tests,
    });
    expect(status).toBe(400);
    expect(body).toMatchObject({ issues: [{ path: 'archives' }] });
  });
});
