import { mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { SandboxFault } from '../../services/contract/faults.js';
import { parseJobRequest } from '../../services/contract/job-spec.js';
import { taskResultSchema, WHOLE, type Task } from '../../services/contract/task.js';
import { createRunTask } from '../../workers/executor/run-task.js';
import { ownMemory } from '../../workers/executor/native-memory.js';
import type {
  Box,
  Memory,
  PutEnd,
  Sandbox,
  StepEnd,
  StepSpec,
} from '../../workers/executor/sandbox.js';

const EXITED: StepEnd = {
  outcome: 'exited',
  exitCode: 0,
  signal: null,
  stdoutTruncated: false,
  stderrTruncated: false,
  cpuTimeUs: 1_500,
  cpuUserUs: 1_000,
  cpuSystemUs: 500,
  wallTimeUs: 2_000,
  memoryBytesPeak: 4_096,
  processesPeak: 1,
  oomKills: 0,
  diskBytes: 0,
  ioReadBytes: 0,
  ioWriteBytes: 0,
  contextSwitches: 1,
  majorPageFaults: 0,
  counterReads: 0,
  boxUs: 400,
  askedAtUs: 1_000,
  startedAtUs: 1_200,
  executedAtUs: 1_400,
  endedAtUs: 3_400,
  warm: false,
  poolReady: 1,
};

interface Script {
  readonly put?: PutEnd | SandboxFault;
  /** One per step, in order. */
  readonly steps?: ((cancelled: Promise<void>) => StepEnd | SandboxFault | Promise<StepEnd>)[];
}

/** A sandbox that answers as it is told and notes what it was asked. */
function scriptedSandbox({ put = null, steps = [] }: Script) {
  const calls: string[] = [];
  let cancel: () => void = () => undefined;
  const cancelled = new Promise<void>((resolve) => (cancel = resolve));
  const box: Box = {
    put(files) {
      calls.push(`put ${'length' in files ? files.length : files.files}`);
      return put instanceof SandboxFault ? Promise.reject(put) : Promise.resolve(put);
    },
    async step(spec: StepSpec, onOutput) {
      calls.push(`step ${spec.argv[0] ?? ''}`);
      const next = steps.shift();
      if (next === undefined) throw new Error('one step too many');
      onOutput('stdout', Buffer.from('out'));
      const end = await next(cancelled);
      if (end instanceof SandboxFault) throw end;
      return end;
    },
    collect(spec) {
      calls.push(`collect ${spec.patterns.join()}`);
      const memory = memoryOf(Buffer.from([0xff]));
      return Promise.resolve({
        files: [{ path: '/box/out.bin', content: { fd: memory.fd, at: 0, bytes: 1 } }],
        omitted: [{ path: '/tmp/x', reason: 'missing' }],
        memory,
      });
    },
    control({ kind }) {
      calls.push(kind);
      return Promise.resolve(null);
    },
    packTree: unwanted,
    pipeTo: unwanted,
    follow() {
      calls.push('follow');
    },
    cancel() {
      calls.push('cancel');
      cancel();
    },
    close() {
      calls.push('close');
      return Promise.resolve();
    },
  };
  const sandbox: Sandbox = {
    openBox: () => Promise.resolve(box),
    gather: unwanted,
    pack: unwanted,
    dropLayer: () => undefined,
    stop: () => Promise.resolve(),
  };
  const runTask = createRunTask({
    sandbox,
    extractor: { fd: -1, at: 0, bytes: 0 },
    imageVersion: (name) => `${name}@sha256:0`,
    blobs: { cache: { open: unwanted }, results: { keepResult: unwanted } },
  });
  return { runTask, calls };
}

function unwanted(): never {
  throw new Error('nothing here is large');
}

/** A file in its place. */
function memoryOf(content: Buffer): Memory {
  const directory = mkdtempSync(join(tmpdir(), 'memory-'));
  const path = join(directory, 'memory');
  writeFileSync(path, content);
  const memory = ownMemory(openSync(path, 'r'), content.length);
  rmSync(directory, { recursive: true });
  return memory;
}

function taskOf(request: object): Task {
  const result = parseJobRequest(request);
  if (!result.ok) throw new Error(JSON.stringify(result.issues));
  return {
    taskId: 'task_a',
    jobId: 'job_a',
    tenantId: 'default',
    run: 1,
    runToken: 'token',
    spec: result.job.spec,
    part: WHOLE,
  };
}

const C_JOB = { language: 'c', source: 'int main;', collect: ['*.bin'] };
const never = new AbortController().signal;

describe('the story of a task', () => {
  it('puts, compiles, runs, collects and closes, in this order', async () => {
    const { runTask, calls } = scriptedSandbox({ steps: [() => EXITED, () => EXITED] });
    const result = await runTask(taskOf(C_JOB), never);
    expect(calls).toEqual(['put 1', 'step gcc', 'step ./main', 'collect /box/*.bin', 'close']);
    expect(taskResultSchema.parse(result)).toMatchObject({
      status: 'finished',
      work: {
        compile: { outcome: 'exited', usage: { cpuTimeMs: 1.5 } },
        run: { outcome: 'exited', exitCode: 0, stdout: 'out' },
        steps: null,
        files: [{ path: 'out.bin', bytes: 1, content: '/w==', encoding: 'base64' }],
        filesOmitted: [{ path: '/tmp/x', reason: 'missing' }],
        image: 'base@sha256:0',
        boxMs: 0.8,
      },
    });
  });

  it('stops at the first step that does not exit with 0', async () => {
    const { runTask, calls } = scriptedSandbox({ steps: [() => ({ ...EXITED, exitCode: 1 })] });
    const result = await runTask(taskOf({ language: 'c', source: 'x' }), never);
    expect(calls).toEqual(['put 1', 'step gcc', 'close']);
    expect(result).toMatchObject({
      status: 'finished',
      work: { compile: { exitCode: 1 }, run: null },
    });
  });

  it('names signals and leaves the steps of a steps job under their names', async () => {
    const killed: StepEnd = { ...EXITED, outcome: 'signaled', exitCode: null, signal: 11 };
    const { runTask } = scriptedSandbox({ steps: [() => EXITED, () => killed] });
    const steps = [
      { name: 'one', argv: ['a'] },
      { name: 'two', argv: ['b'] },
      { name: 'three', argv: ['c'] },
    ];
    const result = await runTask(taskOf({ image: 'base', steps }), never);
    expect(result).toMatchObject({
      status: 'finished',
      work: {
        compile: null,
        run: null,
        steps: [{ name: 'one' }, { name: 'two', outcome: 'signaled', signal: 'SIGSEGV' }],
      },
    });
  });

  it('fails without a retry when a file cannot be written, and runs nothing more', async () => {
    const { runTask, calls } = scriptedSandbox({
      put: { errno: 20, index: 0 },
      steps: [() => EXITED],
    });
    const result = await runTask(taskOf({ language: 'c', source: 'x' }), never);
    expect(calls).toEqual(['put 1', 'step gcc', 'close']);
    expect(result).toMatchObject({
      status: 'fault',
      fault: { stage: 'files', errno: 20, retryable: false },
      work: null,
    });
    if (result.status !== 'fault') throw new Error('unreachable');
    expect(result.fault.detail).toContain('/box/main.c cannot be written: ENOTDIR');
  });

  it('returns a fault with what had finished before it, and closes the box', async () => {
    const fault = new SandboxFault({ stage: 'supervisor', errno: 32, detail: 'gone' });
    const { runTask, calls } = scriptedSandbox({ steps: [() => EXITED, () => fault] });
    const result = await runTask(taskOf(C_JOB), never);
    expect(calls.at(-1)).toBe('close');
    expect(result).toMatchObject({
      status: 'fault',
      fault: { stage: 'supervisor', errno: 32, detail: 'gone', retryable: true },
      work: { compile: { outcome: 'exited' }, run: null },
    });
  });

  it('cancels the running step, keeps its usage and collects nothing', async () => {
    const controller = new AbortController();
    const { runTask, calls } = scriptedSandbox({
      steps: [
        () => EXITED,
        async (cancelled) => {
          controller.abort();
          await cancelled;
          return { ...EXITED, outcome: 'cancelled', exitCode: null, signal: 9 };
        },
      ],
    });
    const result = await runTask(taskOf(C_JOB), controller.signal);
    expect(calls).toEqual(['put 1', 'step gcc', 'step ./main', 'cancel', 'close']);
    expect(result).toMatchObject({
      status: 'cancelled',
      work: { run: { outcome: 'cancelled', usage: { cpuTimeMs: 1.5 } } },
    });
  });

  it('opens no box for a task that was cancelled before', async () => {
    const { runTask, calls } = scriptedSandbox({});
    const result = await runTask(taskOf(C_JOB), AbortSignal.abort());
    expect(result).toEqual({ status: 'cancelled', work: null });
    expect(calls).toEqual([]);
  });
});
