/** Every language: hello, stdin, compile error, runtime error, time-out, out of memory; with its default limits. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LANGUAGE_NAMES, languageOf } from '../../services/contract/languages.js';
import type { NativeSandbox } from '../../workers/executor/native-sandbox.js';
import { startTestSandbox } from '../helpers/boxes.js';
import { runJob } from '../helpers/languages.js';
import { PROGRAMS } from './programs.js';

let sandbox: NativeSandbox;
beforeAll(async () => {
  sandbox = await startTestSandbox();
});
afterAll(() => sandbox.stop());

describe.each(LANGUAGE_NAMES)('%s', (language) => {
  const programs = PROGRAMS[language];
  const compiled = languageOf(language).compile !== null;

  it('says hello, and nothing else', async () => {
    const { work } = await runJob(sandbox, { language, source: programs.hello });
    const { compile, run } = work;
    if (compiled) {
      expect(compile).toMatchObject({ outcome: 'exited', exitCode: 0, stdout: '', stderr: '' });
    }
    expect(run).toMatchObject({ outcome: 'exited', exitCode: 0, stdout: 'hello\n', stderr: '' });
  });

  it('reads its input', async () => {
    const stdin = 'one\ntwo\n';
    const { work } = await runJob(sandbox, { language, source: programs.echo, stdin });
    const { run } = work;
    expect(run).toMatchObject({ outcome: 'exited', exitCode: 0, stdout: '> one\n> two\n' });
  });

  if (compiled) {
    it('shows what its compiler says, and does not run', async () => {
      const { work } = await runJob(sandbox, { language, source: programs.broken ?? '' });
      const { compile, run } = work;
      expect(run).toBeNull();
      expect(compile?.outcome).toBe('exited');
      expect(compile?.exitCode).not.toBe(0);
      expect(JSON.stringify([compile?.stdout, compile?.stderr])).toMatch(/main/i);
    });
  }

  it('fails by an error of its own', async () => {
    const { work } = await runJob(sandbox, { language, source: programs.crash });
    const { run } = work;
    expect(['exited', 'signaled']).toContain(run?.outcome);
    expect(run?.exitCode).not.toBe(0);
  });

  it('is stopped when its time is over', async () => {
    const limits = { cpuTimeMs: 1_000 };
    const { work } = await runJob(sandbox, { language, source: programs.loop, limits });
    const { run } = work;
    expect(run?.outcome).toBe('cpu_limit');
    expect(run?.usage.cpuTimeMs).toBeGreaterThanOrEqual(1_000);
  });

  it('is stopped when its memory is full', async () => {
    const limits = { cpuTimeMs: 30_000 };
    const { work } = await runJob(sandbox, { language, source: programs.eat, limits });
    const { run } = work;
    if (programs.eatSays === null) {
      expect(run?.outcome).toBe('memory_limit');
    } else {
      expect(run?.stderr).toMatch(programs.eatSays);
      expect(run?.exitCode).not.toBe(0);
    }
  });
});

describe('in 256 MiB', () => {
  it.each(['java', 'go', 'javascript', 'typescript', 'csharp'] as const)(
    '%s runs',
    async (name) => {
      const limits = { memoryBytes: 256 * 1024 * 1024 };
      const {
        work: { run },
      } = await runJob(sandbox, {
        language: name,
        source: PROGRAMS[name].hello,
        limits,
      });
      expect(run).toMatchObject({ outcome: 'exited', exitCode: 0, stdout: 'hello\n' });
    },
  );
});
