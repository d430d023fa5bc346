import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SandboxFault } from '../../services/contract/faults.js';
import type { Job } from '../../services/contract/job.js';
import type { StepEnd } from '../../workers/executor/sandbox.js';
import { attackProgram, attemptOutside, createRange, type Range } from '../helpers/attacks.js';
import { contents, MIB, openBox, SLOWNESS, stepOf } from '../helpers/boxes.js';
import { leftovers, nothingLeft } from '../helpers/leftovers.js';
import { startTestStack, type TestStack } from '../helpers/stack.js';
import { lies, type Lie, type View } from './lie.attacks.js';

const CAPS = { files: 256, fileBytes: 4 * MIB, totalBytes: 16 * MIB };

const argvOf = (words: readonly string[]): readonly string[] =>
  words[0]?.startsWith('/') === true ? words : ['/box/attacks', ...words];

function jobOf({ steps, collect = [], limits = {} }: Lie): object {
  const content = attackProgram().toString('base64');
  return {
    image: 'base',
    files: [{ path: 'attacks', content, encoding: 'base64', mode: '0755' }],
    steps: steps.map((words, index) => ({ name: `s${index}`, argv: argvOf(words) })),
    collect,
    limits,
  };
}

function viewOfJob(job: Job): View {
  const last = job.steps?.at(-1);
  return {
    outcome: job.status === 'failed' ? 'fault' : (last?.outcome ?? 'none'),
    exitCode: last?.exitCode ?? null,
    stdout: typeof last?.stdout === 'string' ? last.stdout : '',
    oomKills: last?.usage.oomKills ?? 0,
    files: Object.fromEntries((job.files ?? []).map(({ path }) => [path, 'returned'])),
    omitted: job.filesOmitted,
  };
}

/** The same steps through the sandbox port, for control runs. */
async function viewOfBox(range: Range, lie: Lie): Promise<View> {
  const twin = 'steps' in lie.control;
  const sandbox = await range.sandbox('steps' in lie.control ? [] : lie.control);
  const steps = 'steps' in lie.control ? lie.control.steps : lie.steps;
  const box = await openBox(sandbox, lie.limits === undefined ? {} : { limits: lie.limits });
  try {
    await box.put([{ path: '/box/attacks', mode: 0o755, content: attackProgram() }]);
    let stdout = '';
    let end: StepEnd | null = null;
    for (const words of steps) {
      const run = { argv: argvOf(words), ...(lie.limits && { limits: lie.limits }) };
      end = await box.step(stepOf(run), (_stream, chunk) => (stdout += chunk.toString()));
    }
    const patterns = twin ? [] : (lie.collect ?? []);
    const none = { files: [], omitted: [] };
    const { files, omitted } = patterns.length
      ? await contents(box.collect({ patterns, ...CAPS }))
      : none;
    return {
      outcome: end?.outcome ?? 'none',
      exitCode: end?.exitCode ?? null,
      stdout,
      oomKills: end?.oomKills ?? 0,
      files: Object.fromEntries(files.map(({ path, content }) => [path, content.toString()])),
      omitted,
    };
  } catch (error) {
    if (!(error instanceof SandboxFault)) throw error;
    return { outcome: 'fault', exitCode: null, stdout: '', oomKills: 0, files: {}, omitted: [] };
  } finally {
    await box.close();
  }
}

describe('lie', () => {
  let before: Set<string>;
  let range: Range;
  let stack: TestStack;
  beforeAll(async () => {
    before = leftovers();
    range = createRange();
    stack = await startTestStack();
  });
  afterAll(async () => {
    await range.stop();
    await stack.stop();
    await nothingLeft(before);
    console.info(`lie: ${lies.length + 4} attacks, each with its control`);
  });

  it.each(lies)('$title', async (lie) => {
    const control = await viewOfBox(range, lie);
    expect(lie.believed(control), `the control run: ${JSON.stringify(control)}`).toBe(true);
    const view = viewOfJob(await stack.submit(jobOf(lie), 30));
    expect(lie.believed(view), JSON.stringify(view)).toBe(false);
    expect(view.outcome).not.toBe('fault');
  });

  it('cannot keep its job open by a process that holds its output', async () => {
    const since = Date.now();
    attemptOutside({ title: '', attack: ['leave_process'], control: 'outside' });
    expect(Date.now() - since, 'the control run').toBeGreaterThan(1_500);
    const steps = [{ name: 'run', argv: ['/bin/bash', '-c', 'sleep 30 & echo done'] }];
    const job = await stack.submit({ image: 'base', steps }, 20);
    expect(job.steps?.[0]).toMatchObject({ outcome: 'exited', exitCode: 0, stdout: 'done\n' });
    expect(job.steps?.[0]?.usage.wallTimeMs).toBeLessThan(1_500);
  });

  it('cannot change a file while it is read', async () => {
    const script = '(while :; do echo x >> /box/out.txt; done) & sleep 0.1';
    async function twice(weak: boolean): Promise<string[]> {
      const sandbox = await range.sandbox(weak ? ['leftovers'] : []);
      const box = await openBox(sandbox);
      const read: string[] = [];
      try {
        await box.step(stepOf({ argv: ['bash', '-c', script] }), () => undefined);
        for (let i = 0; i < 2; i++) {
          const { files } = await contents(box.collect({ patterns: ['/box/out.txt'], ...CAPS }));
          read.push(String(files[0]?.content));
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
      } finally {
        await box.close();
      }
      return read;
    }
    expect(new Set(await twice(true)).size, 'the control run').toBe(2);
    expect(new Set(await twice(false)).size).toBe(1);
  });

  it('cannot hold up everybody with a pattern that fits in ever more ways', async () => {
    const patterns = [`/box/${'**/a/'.repeat(12)}missing`];
    async function ends(weak: boolean): Promise<boolean> {
      const sandbox = await range.sandbox(weak ? ['budget'] : []);
      const box = await openBox(sandbox);
      try {
        await box.put([{ path: '/box/attacks', mode: 0o755, content: attackProgram() }]);
        const run = { argv: ['/box/attacks', 'deep', '48'] };
        const { outcome, exitCode } = await box.step(stepOf(run), () => undefined);
        expect({ outcome, exitCode }).toEqual({ outcome: 'exited', exitCode: 0 });
        const collecting = box.collect({ patterns, ...CAPS }).then(
          () => true,
          (error: unknown) => {
            // One that answers nobody for long enough is killed.
            if (error instanceof SandboxFault && error.stage === 'supervisor') return false;
            throw error;
          },
        );
        return await Promise.race([collecting, sleep(4_000 * SLOWNESS, false)]);
      } finally {
        await box.close();
      }
    }
    expect(await ends(true), 'the control run').toBe(false);
    expect(await ends(false)).toBe(true);
  });

  it('cannot write to the terminal of who reads an answer', async () => {
    const evil = String.raw`printf '\033]0;evil\007\033[2J\r\xff\xfe' >&2; printf '\033[31m\u2028'`;
    const raw = attemptOutside({ title: '', attack: ['escapes'], control: 'outside' });
    expect(raw.stdout, 'the control run').toContain('\u001b[2J');
    const answer = await stack.call('POST', '/v1/jobs?wait=20', {
      image: 'base',
      steps: [{ name: 'run', argv: ['/bin/bash', '-c', evil] }],
    });
    const text = JSON.stringify(answer.body);
    // JSON as it came over the wire holds no control character, and bytes that are no text are base64.
    expect(Array.from(answer.raw).filter((c) => c < ' ' || c === '\u007f')).toEqual([]);
    expect(text).toContain('"stderrEncoding":"base64"');
  });
});
