import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkWritten } from '../../workers/executor/judge/program.js';
import {
  runJoined,
  type Joint,
  type JoinedRun,
  type Member,
} from '../../workers/executor/joined-boxes.js';
import type { NativeSandbox } from '../../workers/executor/native-sandbox.js';
import type { StepEnd } from '../../workers/executor/sandbox.js';
import { createOutput } from '../../workers/executor/step-result.js';
import { MIB, startTestSandbox, stepOf } from '../helpers/boxes.js';
import type { LimitsRequest } from '../../services/contract/limits.js';

let sandbox: NativeSandbox;
beforeAll(async () => {
  sandbox = await startTestSandbox();
});
afterAll(() => sandbox.stop());

const outputs: ReturnType<typeof createOutput>[] = [];

function member(script: string, limits: LimitsRequest = {}): Member {
  const output = createOutput();
  outputs.push(output);
  return {
    box: { image: 'base', diskBytes: MIB, files: 64 },
    files: [{ path: '/tmp/script', mode: 0o644, content: Buffer.from(script) }],
    step: stepOf({ argv: ['bash', '/tmp/script'], limits }),
    onOutput: output.add,
  };
}

const joint = (writer: number, reader: number, more: Partial<Joint> = {}): Joint => ({
  ...{ writer, reader, from: 1, to: 0, held: false, onPassed: null },
  ...more,
});

async function run(
  members: readonly Member[],
  joints: readonly Joint[],
  more: Partial<JoinedRun> = {},
): Promise<readonly StepEnd[]> {
  const { signal } = new AbortController();
  const written: JoinedRun['written'] = (place, end) =>
    checkWritten(end, members[place]?.files ?? []);
  return await runJoined({ sandbox, members, joints, signal, written, ...more }, (ends) =>
    Promise.resolve(ends),
  );
}

const exits = (ends: readonly StepEnd[]) => ends.map(({ exitCode }) => exitCode);

describe('boxes joined by pipes', () => {
  it('talk both ways, and each ends by itself', async () => {
    const ends = await run(
      [member('echo 20; read x; [ $x = 21 ]'), member('read x; echo $((x + 1)); exit 7')],
      [joint(0, 1), joint(1, 0)],
    );
    expect(exits(ends)).toEqual([0, 7]);
  });

  it('may be three in a ring, with descriptors of any number', async () => {
    const ends = await run(
      [
        member('echo a >&5; read x <&6; [ $x = abc ]'),
        member('read x; echo ${x}b'),
        member('read x <&9; echo ${x}c >&3'),
      ],
      [joint(0, 1, { from: 5 }), joint(1, 2, { to: 9 }), joint(2, 0, { from: 3, to: 6 })],
    );
    expect(exits(ends)).toEqual([0, 0, 0]);
  });

  it('tell what went through, in the order in which it did', async () => {
    const said: string[] = [];
    const hear = (who: string) => (chunk: Buffer) =>
      void said.push(`${who}: ${chunk.toString().trim()}`);
    await run(
      [
        member('for i in 1 2 3; do echo $i; read x; done'),
        member('while read x; do echo =$x; done'),
      ],
      [joint(0, 1, { onPassed: hear('a') }), joint(1, 0, { onPassed: hear('b') })],
    );
    expect(said).toEqual(['a: 1', 'b: =1', 'a: 2', 'b: =2', 'a: 3', 'b: =3']);
  });

  it('end in an order that can be told where their pipes are held', async () => {
    for (let i = 0; i < 10; i += 1) {
      const [first, second] = await run(
        [member('exit 3'), member('read x; exit 4')],
        [joint(0, 1, { held: true }), joint(1, 0, { held: true })],
      );
      expect(first?.endedAtUs).toBeLessThan(second?.endedAtUs ?? 0);
    }
  });

  it('have limits of their own, and the others are told', async () => {
    const ends = await run(
      [member('while :; do :; done', { cpuTimeMs: 100 }), member('cat; exit 5')],
      [joint(0, 1)],
    );
    expect(ends[0]?.outcome).toBe('cpu_limit');
    expect(ends[1]?.exitCode).toBe(5);
  });

  it('can be stopped when one of them has ended', async () => {
    const ends = await run(
      [member('sleep 60', { wallTimeMs: 60_000 }), member('exit 1')],
      [joint(0, 1), joint(1, 0)],
      { ended: (place, _end, boxes) => place === 1 && boxes[0]?.cancel() },
    );
    expect(ends.map(({ outcome }) => outcome)).toEqual(['cancelled', 'exited']);
  });

  it('are all taken away when one cannot be made', async () => {
    const broken = { ...member(''), box: { image: 'nowhere', diskBytes: MIB, files: 64 } };
    await expect(run([member('sleep 60'), broken], [joint(0, 1)])).rejects.toThrow('nowhere');
    const file = { path: '/proc/no', mode: 0o644, content: Buffer.alloc(0) };
    await expect(
      run([member('sleep 60'), { ...member(''), files: [file] }], [joint(0, 1)]),
    ).rejects.toThrow('/proc/no cannot be written');
  });

  it('fill their pipe without a copy in the heap of anybody', async () => {
    const bytes = 64 * MIB;
    const ends = await run(
      [member(`head -c ${bytes} /dev/zero`), member(`[ $(wc -c) = ${bytes} ]`)],
      [joint(0, 1)],
    );
    expect(exits(ends)).toEqual([0, 0]);
    expect(outputs.every((output) => output.size('stdout') === 0)).toBe(true);
  });
});
