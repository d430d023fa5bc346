// The documents do what they say: their shell and TypeScript blocks run in order against a live stack.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createCallbackAddresses } from '../../services/platform/callback-address.js';
import { freePorts } from '../helpers/free-ports.js';
import { startTestStack, type TestStack } from '../helpers/stack.js';

const root = join(import.meta.dirname, '..', '..');
const directory = mkdtempSync(join(tmpdir(), 'mayfly-docs-'));
let stack: TestStack;
let metricsPort: number;

beforeAll(async () => {
  metricsPort = await freePorts(2);
  stack = await startTestStack({ MAYFLY_METRICS_PORT: String(metricsPort) });
  for (const name of ['bin', 'native', 'dist', 'tests'])
    symlinkSync(join(root, name), join(directory, name));
  symlinkSync(join(root, 'dist', 'services'), join(directory, 'services'));
  writeFileSync(join(directory, 'package.json'), '{"type": "module"}');
});

afterAll(async () => {
  await stack.stop();
  rmSync(directory, { recursive: true });
});

function blocksOf(page: string, language: 'sh' | 'ts' | 'js'): string[] {
  const text = readFileSync(join(root, page), 'utf8');
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm'))]
    .map((match) => match[1] ?? '')
    .filter((block) => !/\bnpm (run|start|test)/.test(block));
}

/** Another address and another key than the page's; all else is as it stands there. */
function here(block: string): string {
  return block
    .replace(/http:\/\/127\.0\.0\.1:8080/g, stack.stack.url)
    .replace(/127\.0\.0\.1:9464/g, `127.0.0.1:${metricsPort}`)
    .replace(/127\.0\.0\.1:9465/g, `127.0.0.1:${metricsPort + 1}`)
    .replace(/(MAYFLY_API_KEY=)secret\S*/g, `$1${stack.stack.apiKey}`)
    .replace(/Bearer secret\b/g, `Bearer ${stack.stack.apiKey}`)
    .replace(/apiKey: '…'/g, `apiKey: '${stack.stack.apiKey}'`);
}

function execute(command: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const env = {
      PATH: process.env['PATH'],
      HOME: directory,
      MAYFLY_API_KEY: stack.stack.apiKey,
      // What commands take when nothing is said is where npm start listens.
      MAYFLY_URL: stack.stack.url,
    };
    const child = spawn(command, args, { cwd: directory, env, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    let errors = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
    child.on('close', (code) => {
      if (code === 0) resolve(output);
      else
        reject(new Error(`ended with ${code}\n${errors.slice(-2_000)}\n${output.slice(-2_000)}`));
    });
  });
}

/** A refusal is a failure here, unlike for curl. */
const SHELL = 'set -euo pipefail\ncurl() { command curl --fail-with-body "$@"; }\n';

/** Each block has names of its own, as in the page; what the first declares is for all. */
function asOneModule(blocks: readonly string[]): string {
  const [first = '', ...others] = blocks;
  const source = [first, ...others.map((block) => `{\n${block}}`)].map(here).join('\n');
  const compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 };
  return ts.transpileModule(source, { compilerOptions }).outputText;
}

const PAGES: readonly { page: string; blocks: number; says: readonly (string | RegExp)[] }[] = [
  { page: 'README.md', blocks: 4, says: ['"stdout":"42\\n"', /^42$/m, '"verdict":"accepted"'] },
  {
    page: 'docs/quickstart.md',
    blocks: 5,
    says: [
      'HELLO\n',
      /^python +/m,
      'accepted · 5 of 5 points',
      '"content":"* * *"',
      /^mayfly_steps_total\{.*exited/m,
    ],
  },
  {
    page: 'docs/api.md',
    blocks: 11,
    says: [
      '"stdout":"hello\\n"',
      /(\{"id":"job_\w+"\}\n?)\1/,
      '"verdict":"accepted"',
      '"status":"cancelled"',
      /^event: finished$/m,
      'nextCursor',
      '\nmade\n',
      "['1', '2', '3']",
      '"cpuSecondsToday"',
    ],
  },
  {
    page: 'docs/judging.md',
    blocks: 2,
    says: ['"verdict":"accepted"', '"points":6', '"points":10,"pointsMax":10'],
  },
  {
    page: 'docs/files.md',
    blocks: 4,
    says: ['"bytes":25', '"stdout":"True\\n"', '"stdout":"unpacked\\n"', /^1\n2\n3\n4\n5\n$/m],
  },
  {
    page: 'docs/streaming.md',
    blocks: 5,
    says: [
      /^id: 1\.0\.0\.0\nevent: state\n/m,
      /"data":"MAo[^"]*","offset":0\}/,
      /"data":"Mg[^"]*","offset":4\}/,
      /^event: finished$/m,
      '"signal":"SIGTERM"',
      '"stdout":"brought, typed and over"',
    ],
  },
];

describe('the shell blocks', () => {
  it.each(PAGES)(
    'of $page do what they say',
    { timeout: 120_000 },
    async ({ page, blocks, says }) => {
      const found = blocksOf(page, 'sh');
      expect(found.length).toBeGreaterThanOrEqual(blocks);
      const output = await execute('bash', ['-c', SHELL + found.map(here).join('\necho\n')]);
      for (const said of says) expect(output).toMatch(said);
    },
  );
});

describe('the TypeScript blocks', () => {
  it('of docs/quickstart.md do what they say', async () => {
    const blocks = blocksOf('docs/quickstart.md', 'ts');
    expect(blocks).toHaveLength(1);
    writeFileSync(join(directory, 'quickstart.js'), asOneModule(blocks));
    expect(await execute(process.execPath, ['quickstart.js'])).toBe('42\n');
  });

  it('of docs/api.md do what they say', { timeout: 120_000 }, async () => {
    const found = blocksOf('docs/api.md', 'ts');
    expect(found.length).toBeGreaterThanOrEqual(8);
    writeFileSync(join(directory, 'api.js'), asOneModule(found));
    const output = await execute(process.execPath, ['api.js']);
    expect(output).toContain('exited hello\n');
    expect(output).toContain('accepted\n');
    expect(output).toMatch(/^stdout \{/m);
    expect(output).toMatch(/^finished \{/m);
    expect(output).toContain('3 1 2\n');
  });
});

describe('the blocks of docs/callbacks.md', () => {
  it('tell a genuine delivery from all others', async () => {
    const [block, ...others] = blocksOf('docs/callbacks.md', 'js');
    expect(others).toEqual([]);
    const check = `
import { signatureOf } from './services/platform/callback-post.js';
const now = Math.floor(Date.now() / 1000);
const body = '{"id":"ä"}';
const signed = signatureOf('the secret', body, now);
console.log(
  isGenuine(signed, Buffer.from(body), 'the secret'),
  isGenuine(signed, Buffer.from(body), 'another'),
  isGenuine(signed, Buffer.from(body + ' '), 'the secret'),
  isGenuine(signatureOf('the secret', body, now - 301), Buffer.from(body), 'the secret'),
  isGenuine('nonsense', Buffer.from(body), 'the secret'),
);`;
    writeFileSync(join(directory, 'callbacks.js'), `${block}${check}`);
    const output = await execute(process.execPath, ['callbacks.js']);
    expect(output).toBe('true false false false false\n');
  });

  it('allow the addresses that the page says', async () => {
    const blocks = blocksOf('docs/callbacks.md', 'sh');
    expect(blocks).toHaveLength(1);
    const output = await execute('bash', ['-c', `${blocks[0]}printf %s "$MAYFLY_CALLBACK_ALLOW"`]);
    const addresses = createCallbackAddresses(output);
    const wanted = [
      ['10.20.3.4', 443, true],
      ['10.20.3.4', 8_080, false],
      ['10.30.0.7', 8_080, true],
      ['fd00::1', 8_500, true],
      ['192.168.1.5', 22, true],
      ['192.168.1.6', 443, false],
    ] as const;
    for (const [address, port, may] of wanted)
      expect(addresses.allows(address, port), address).toBe(may);
  });
});
