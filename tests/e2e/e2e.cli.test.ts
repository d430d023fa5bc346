// The command line as a person uses it, against the real stack.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestStack, type TestStack } from '../helpers/stack.js';

const program = join(import.meta.dirname, '..', '..', 'bin', 'mayfly');
const directory = mkdtempSync(join(tmpdir(), 'mayfly-cli-'));
const POLL = { timeout: 10_000 };
let stack: TestStack;

beforeAll(async () => {
  stack = await startTestStack({}, { key: 'key-of-the-operator', port: 0 });
});

afterAll(async () => {
  await stack.stop();
  rmSync(directory, { recursive: true });
});

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function mayfly(args: string[], env: Record<string, string> = {}, input = ''): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      env: {
        PATH: process.env['PATH'],
        MAYFLY_URL: stack.stack.url,
        MAYFLY_API_KEY: stack.stack.apiKey,
        ...env,
      },
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    child.on('close', (code) => resolve({ code, stdout, stderr }));
    child.stdin.end(input);
  });
}

function file(name: string, content: string): string {
  const path = join(directory, name);
  writeFileSync(path, content);
  return path;
}

describe('mayfly run', () => {
  it('shows what the program wrote, what it cost, and exits as it did', async () => {
    const path = file('hello.py', 'import sys\nprint("hello", *sys.argv[1:])\nsys.exit(3)\n');
    const { code, stdout, stderr } = await mayfly(['run', path, 'a', 'b']);
    expect(stdout).toBe('hello a b\n');
    expect(stderr).toMatch(/^exited with 3 · cpu [\d.]+ ms · wall [\d.]+ ms · memory [\d.]+ MiB/m);
    expect(code).toBe(3);
  });

  it('passes standard input, and bytes that are no text, unchanged', async () => {
    const path = file(
      'cat.py',
      'import sys\nsys.stdout.buffer.write(sys.stdin.buffer.read()[::-1])\n',
    );
    const { stdout, code } = await mayfly(['run', path, '--stdin', '-'], {}, 'abc');
    expect({ stdout, code }).toEqual({ stdout: 'cba', code: 0 });
  });

  it('tells a limit from a crash, and compiler errors from both', async () => {
    const loop = await mayfly(['run', file('loop.py', 'while True: pass\n'), '--cpu-ms', '200']);
    expect(loop.code).toBe(124);
    expect(loop.stderr).toMatch(/^cpu_limit/);
    const broken = await mayfly(['run', file('broken.c', 'int main(void) { return x; }\n')]);
    expect(broken.code).toBe(1);
    expect(broken.stderr).toContain('error:');
    expect(broken.stderr).toMatch(/^compile: exited with 1/m);
  });

  it('speaks JSON to machines', async () => {
    const { stdout } = await mayfly(['run', file('one.py', 'print(1)\n'), '--json']);
    expect(JSON.parse(stdout)).toMatchObject({ status: 'finished', run: { stdout: '1\n' } });
  });
});

describe('mayfly top', () => {
  const admin = () => ({
    MAYFLY_ADMIN_URL: stack.stack.admin?.url ?? '',
    MAYFLY_ADMIN_KEY: stack.stack.admin?.key ?? '',
  });

  /** In a terminal of its own, with the keys pressed once something is to be seen. */
  async function topInTerminal(keys: string): Promise<Ended> {
    const child = spawn('script', ['-qfec', `'${program}' top`, '/dev/null'], {
      env: { PATH: process.env['PATH'], TERM: 'xterm', ...admin() },
    });
    let stdout = '';
    let pressed = false;
    child.stdout.on('data', (chunk: Buffer) => {
      const redraws = (stdout += chunk.toString()).split('q quits').length - 1;
      if (redraws < 2 || pressed) return;
      pressed = true;
      child.stdin.write(keys);
    });
    const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
    return { code, stdout, stderr: '' };
  }

  it('prints one snapshot for machines, and one for a pipe', async () => {
    await mayfly(['run', file('two.py', 'print(2)\n')]);
    await expect
      .poll(async () => {
        const { stdout } = await mayfly(['top', '--json'], admin());
        return JSON.parse(stdout) as object;
      }, POLL)
      .toMatchObject({
        overview: {
          pools: [{ pool: 'default' }],
          executors: { live: 1, draining: 0 },
          totals: {
            outcomes: { exited: expect.any(Number) },
            stages: { program: { count: expect.any(Number) } },
          },
        },
        executors: [{ draining: false, images: expect.arrayContaining(['base']) }],
      });
    const { stdout } = await mayfly(['top'], admin());
    expect(stdout).toMatch(/^slots 0\/\d+ \[\.+\] +backlog 0 +executors 1 /);
    expect(stdout).not.toContain('\u001b');
  });

  it.each([
    ['q', 'q'],
    ['Ctrl-C', '\u0003'],
  ])('redraws until %s, and gives the terminal back', async (_name, keys) => {
    const { code, stdout } = await topInTerminal(keys);
    expect(code).toBe(0);
    expect(stdout.startsWith('\u001b[?1049h')).toBe(true);
    expect(stdout.trimEnd().endsWith('\u001b[?25h\u001b[?1049l')).toBe(true);
    expect(stdout).toContain('EXECUTOR');
  });

  it("says what is wrong when there is no key, or it is not the operator's", async () => {
    const { MAYFLY_ADMIN_URL } = admin();
    const none = await mayfly(['top'], { MAYFLY_ADMIN_URL });
    expect(none).toMatchObject({ code: 1, stdout: '' });
    expect(none.stderr).toContain('MAYFLY_ADMIN_KEY is not set');
    const key = { MAYFLY_ADMIN_URL, MAYFLY_ADMIN_KEY: stack.stack.apiKey };
    expect((await mayfly(['top'], key)).stderr).toContain('is not the one');
  });
});

describe('mayfly', () => {
  it('submits, shows and cancels jobs', async () => {
    const job = file(
      'job.json',
      '{"language": "bash", "source": "echo out; echo err >&2; sleep 60"}',
    );
    const submitted = await mayfly(['submit', job]);
    const id = submitted.stdout.trim();
    expect(id).toMatch(/^job_[a-z2-7]{26}$/);
    const cancelled = await mayfly(['cancel', id]);
    expect(cancelled.stdout).toBe(`${id} cancelled\n`);
    const logs = await mayfly(['logs', id]);
    expect(logs.code).toBe(0);
    const again = await mayfly(['cancel', id]);
    expect(again).toMatchObject({ code: 1, stderr: 'mayfly: The job has ended already.\n' });
  });

  it('lists languages as a table, and as JSON', async () => {
    expect((await mayfly(['languages'])).stdout).toMatch(/^name +language +version +image\n/);
    const list = JSON.parse((await mayfly(['languages', '--json'])).stdout) as { name: string }[];
    expect(list.map(({ name }) => name)).toContain('python');
  });

  it('says what to do about what went wrong', async () => {
    const path = file('x.py', '');
    const said = async (args: string[], env = {}): Promise<string> => {
      const { code, stderr } = await mayfly(args, env);
      expect(code).toBe(1);
      return stderr;
    };
    expect(await said(['run', path], { MAYFLY_API_KEY: '' })).toContain('Set it to a key of yours');
    expect(await said(['run', path], { MAYFLY_API_KEY: 'wrong-key' })).toContain(
      'is not a key of this',
    );
    expect(await said(['run', file('x.unknown', '')])).toContain('say it with --language (');
    expect(await said(['run', '/nowhere.py'])).toContain('/nowhere.py cannot be read');
    expect(await said(['languages'], { MAYFLY_URL: 'nonsense' })).toContain('is not a URL');
    expect(await said(['jobz'])).toContain('Did you mean jobs?');
  });

  it('completes commands, options and languages in bash', async () => {
    const script = file('completion', (await mayfly(['completion'])).stdout);
    const complete = (...words: string[]): string[] => {
      const line = words.map((word) => `'${word}'`).join(' ');
      const bash = `source ${script}; COMP_WORDS=(${line}); COMP_CWORD=${words.length - 1}; _mayfly; echo "\${COMPREPLY[@]}"`;
      const { stdout } = spawnSync('bash', ['-c', bash], { encoding: 'utf8' });
      return stdout.trim().split(' ');
    };
    expect(complete('mayfly', 'can')).toEqual(['cancel']);
    expect(complete('mayfly', 'run', '--cp')).toEqual(['--cpu-ms']);
    expect(complete('mayfly', 'run', '--language', 'py')).toContain('python');
    expect(complete('mayfly', 'tenants', 'cr')).toEqual(['create']);
  });
});
