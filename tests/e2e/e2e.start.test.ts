import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { STATE_DIR } from '../helpers/boxes.js';
import { eventually } from '../helpers/eventually.js';
import { leftovers, nothingLeft } from '../helpers/leftovers.js';

interface Started {
  readonly child: ChildProcess;
  readonly output: () => string;
}

describe('npm start', () => {
  const API_KEY = 'key-of-the-start-test';
  let before: Set<string>;
  let stateDir: string;
  let started: Started[];

  /** State of its own, with the images of this host. */
  beforeEach(() => {
    before = leftovers();
    stateDir = mkdtempSync(join(tmpdir(), 'mayfly-start-'));
    started = [];
    for (const part of ['images', 'layers'])
      symlinkSync(join(STATE_DIR, part), join(stateDir, part));
  });

  afterEach(async () => {
    for (const { child } of started) child.kill('SIGKILL');
    await eventually(() => processesOf(stateDir).length === 0);
    rmSync(stateDir, { recursive: true });
    await nothingLeft(before);
  });

  function start(env: Readonly<Record<string, string>> = {}): Started {
    const { PATH } = process.env;
    const child = spawn(process.execPath, ['dist/infra/start/main.js'], {
      env: {
        PATH,
        MAYFLY_STATE_DIR: stateDir,
        MAYFLY_API_KEY: API_KEY,
        PORT: '0',
        MAYFLY_ADMIN_PORT: '0',
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()));
    const one = { child, output: () => text };
    started.push(one);
    return one;
  }

  async function ready({ child, output }: Started): Promise<string> {
    await eventually(() => /Ctrl-C/.test(output()) || child.exitCode !== null, 60_000);
    const url = /http:\/\/127\.0\.0\.1:\d+/.exec(output())?.[0];
    if (url === undefined) throw new Error(output());
    return url;
  }

  async function run(url: string): Promise<unknown> {
    const response = await fetch(`${url}/v1/jobs?wait=20`, {
      method: 'POST',
      headers: { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json' },
      body: JSON.stringify({ language: 'bash', source: 'echo hello' }),
    });
    return response.json();
  }

  it('prints what can be pasted, runs jobs, and stops in order on Ctrl-C', async () => {
    const one = start();
    const url = await ready(one);
    expect(one.output()).toContain(`Bearer ${API_KEY}`);
    expect(one.output()).toContain(`curl -s '${url}/v1/jobs`);
    expect(await run(url)).toMatchObject({ status: 'finished', run: { stdout: 'hello\n' } });
    one.child.kill('SIGINT');
    expect(await once(one.child, 'exit')).toEqual([0, null]);
    expect(processesOf(stateDir)).toEqual([]);
  });

  it('says at once what is wrong with a setting', async () => {
    const one = start({ MAYFLY_SLOTS: 'many' });
    expect(await once(one.child, 'exit')).toEqual([1, null]);
    expect(one.output()).toMatch(/MAYFLY_SLOTS: must be a whole number/);
  });

  it('refuses state that another one uses', async () => {
    await ready(start());
    const second = start();
    expect(await once(second.child, 'exit')).toEqual([1, null]);
    expect(second.output()).toContain('is used by another Mayfly');
  });

  it('leaves nothing behind even when it is killed, and finds its jobs again', async () => {
    const one = start();
    const job = await run(await ready(one));
    one.child.kill('SIGKILL');
    await eventually(() => processesOf(stateDir).length === 0);
    const url = await ready(start());
    const { id } = job as { id: string };
    const response = await fetch(`${url}/v1/jobs/${id}`, {
      headers: { authorization: `Bearer ${API_KEY}` },
    });
    expect(await response.json()).toEqual(job);
  });
});

/** Everything that was started with this state directory, by its environment or its arguments. */
function processesOf(stateDir: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'latin1');
      const environment = readFileSync(`/proc/${pid}/environ`, 'latin1');
      return command.includes(stateDir) || environment.includes(stateDir);
    } catch {
      // It has ended in the meantime.
      return false;
    }
  });
}
