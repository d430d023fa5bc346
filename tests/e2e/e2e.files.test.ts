import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
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

const sha256 = (content: Uint8Array): string => createHash('sha256').update(content).digest('hex');

function fetchRaw(method: string, path: string, body?: Buffer): Promise<Response> {
  const { url, apiKey } = stack.stack;
  const headers = { authorization: `Bearer ${apiKey}` };
  return fetch(`${url}${path}`, { method, headers, ...(body && { body: new Uint8Array(body) }) });
}

async function upload(content: Buffer): Promise<string> {
  const digest = sha256(content);
  expect((await fetchRaw('PUT', `/v1/blobs/${digest}`, content)).status).toBe(200);
  return digest;
}

async function bytesAt(path: string): Promise<Buffer> {
  const response = await fetchRaw('GET', path);
  expect(response.status, path).toBe(200);
  return Buffer.from(await response.arrayBuffer());
}

describe('blobs in jobs', () => {
  it('are files and input of a program', async () => {
    const content = randomBytes(3 * MIB);
    const blob = await upload(content);
    const source = `import hashlib, os, stat, sys
print(hashlib.sha256(open("data/big.bin", "rb").read()).hexdigest())
print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())
print(oct(os.stat("data/big.bin").st_mode & 0o777), open("small").read())`;
    const files = [
      { path: 'data/big.bin', blob, mode: '0640' },
      { path: 'small', content: 'text' },
    ];
    const job = await stack.submit({ language: 'python', source, files, stdin: { blob } }, 20);
    const stdout = `${blob}\n${blob}\n0o640 text\n`;
    expect(job.run, JSON.stringify(job)).toMatchObject({ outcome: 'exited', exitCode: 0, stdout });
  });

  it('are the input of each step that names one', async () => {
    const [one, two] = [await upload(Buffer.from('one')), await upload(Buffer.from('two'))];
    const steps = [
      { name: 'a', argv: ['cat'], stdin: { blob: one } },
      { name: 'b', argv: ['cat'], stdin: 'text' },
      { name: 'c', argv: ['cat'], stdin: { blob: two } },
    ];
    const job = await stack.submit({ image: 'base', steps }, 20);
    expect(job.steps?.map(({ stdout }) => stdout)).toEqual(['one', 'text', 'two']);
  });

  it('have to be there, or the field is named', async () => {
    const missing = sha256(Buffer.from('nobody has this'));
    const there = await upload(Buffer.from('x'));
    const { status, body } = await stack.call('POST', '/v1/jobs', {
      language: 'python',
      source: 'pass',
      files: [
        { path: 'a', blob: there },
        { path: 'b', blob: missing },
      ],
      stdin: { blob: missing },
    });
    expect(status).toBe(400);
    expect(body).toMatchObject({
      code: 'invalid_request',
      issues: [{ path: 'files[1].blob' }, { path: 'stdin.blob' }],
    });
  });

  it('cannot be larger than the disk of the box', async () => {
    const blob = await upload(randomBytes(2 * MIB));
    const job = await stack.submit(
      {
        language: 'bash',
        source: 'true',
        files: [{ path: 'b', blob }],
        limits: { diskBytes: MIB },
      },
      20,
    );
    expect(job).toMatchObject({ status: 'failed', runs: 1, problem: { stage: 'files' } });
    expect(job.problem?.detail).toMatch(/\/box\/b .*ENOSPC/);
  });
});

describe('large results', () => {
  it('come as blobs: output and files; small ones as they are', async () => {
    const source = `import sys, random
out = random.Random(1).randbytes(100_000)
sys.stdout.buffer.write(out)
sys.stderr.write("small")
open("big.png", "wb").write(out)
open("small.txt", "w").write("ä")`;
    const job = await stack.submit(
      { language: 'python', source, collect: ['*.png', '*.txt', 'none'] },
      20,
    );
    const { run, files = [], filesOmitted } = job;
    expect(run).toMatchObject({ exitCode: 0, stderr: 'small', stdoutTruncated: false });
    const big = files.find(({ path }) => path === 'big.png');
    expect(big).toEqual({ path: 'big.png', bytes: 100_000, blob: expect.any(String) as string });
    if (big === undefined || !('blob' in big)) throw new Error('no blob');
    expect(run?.stdout).toEqual({ blob: big.blob, bytes: 100_000 });
    expect(files.find(({ path }) => path === 'small.txt')).toMatchObject({ content: 'ä' });
    expect(filesOmitted).toEqual([{ path: 'none', reason: 'missing' }]);
    expect(sha256(await bytesAt(`/v1/blobs/${big.blob}`))).toBe(big.blob);

    const image = await fetchRaw('GET', `/v1/jobs/${job.id}/files/big.png`);
    expect(Object.fromEntries(image.headers)).toMatchObject({
      'content-type': 'image/png',
      'content-length': '100000',
      'content-disposition': 'inline; filename=big.png',
      'x-content-type-options': 'nosniff',
    });
    expect(sha256(new Uint8Array(await image.arrayBuffer()))).toBe(big.blob);
    const text = await fetchRaw('GET', `/v1/jobs/${job.id}/files/small.txt`);
    expect(text.headers.get('content-type')).toBe('text/plain; charset=utf-8');
    expect(await text.text()).toBe('ä');
  });

  it('are named as their program chose, and cannot become a page of this address', async () => {
    const name = 'e"v\nil\u202e.svg';
    const source = `import os
os.makedirs("a/b")
open("a/b/" + ${JSON.stringify(name)}, "w").write("<svg/>")
open("x.html", "w").write("<script>1</script>")`;
    const job = await stack.submit({ language: 'python', source, collect: ['**'] }, 20);
    const paths = job.files?.map(({ path }) => path) ?? [];
    expect(paths.sort()).toEqual([`a/b/${name}`, 'main.py', 'x.html']);
    for (const path of [`a/b/${name}`, 'x.html']) {
      for (const written of [
        encodeURIComponent(path),
        path.split('/').map(encodeURIComponent).join('/'),
      ]) {
        const response = await fetchRaw('GET', `/v1/jobs/${job.id}/files/${written}`);
        expect(response.status).toBe(200);
        expect(response.headers.get('content-disposition')).toMatch(/^attachment; filename=/);
        expect(response.headers.get('content-security-policy')).toMatch(/sandbox/);
      }
    }
    for (const path of ['', 'y.html', '..%2f..%2fetc%2fpasswd', 'a', 'a/b']) {
      expect((await fetchRaw('GET', `/v1/jobs/${job.id}/files/${path}`)).status, path).toBe(404);
    }
  });

  it('of a job that does not exist are missing', async () => {
    const other = 'job_aaaaaaaaaaaaaaaaaaaaaaaaaa';
    expect((await fetchRaw('GET', `/v1/jobs/${other}/files/x`)).status).toBe(404);
  });
});
