import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readSlice } from '../../workers/executor/collected-files.js';
import { encodeStrings } from '../../workers/executor/native-archives.js';
import { stepRequest } from '../../workers/executor/native-messages.js';
import type { NativeSandbox } from '../../workers/executor/native-sandbox.js';
import type { Memory, StepEnd } from '../../workers/executor/sandbox.js';
import { createOutput } from '../../workers/executor/step-result.js';
import { MIB, nativeLibrary, openBox, startTestSandbox, stepOf } from '../helpers/boxes.js';

const EINVAL = -22;

function keptOf(end: StepEnd): Memory {
  if (end.kept === undefined) throw new Error('nothing was kept');
  return end.kept;
}

function wholeOf(memory: Memory): Promise<Buffer> {
  return readSlice({ fd: memory.fd, at: 0, bytes: memory.bytes });
}

describe('contents outside of the heap', () => {
  let sandbox: NativeSandbox;
  let directory: string;
  const opened: number[] = [];
  beforeAll(async () => {
    sandbox = await startTestSandbox();
    directory = await mkdtemp(join(tmpdir(), 'mayfly-memory-'));
  });
  afterAll(async () => {
    for (const fd of opened) closeSync(fd);
    await rm(directory, { recursive: true });
    await sandbox.stop();
  });

  function hostFile(content: Buffer): number {
    const path = join(directory, `file-${opened.length}`);
    writeFileSync(path, content, { mode: 0o400 });
    const fd = openSync(path, 'r');
    opened.push(fd);
    return fd;
  }

  it('are written into a box from a file of the host, beside others', async () => {
    const large = Buffer.alloc(5 * MIB + 3, 'mayfly');
    const fd = hostFile(large);
    const packed = await sandbox.pack([
      { path: '/box/a', mode: 0o644, content: Buffer.from('small') },
      { path: '/box/dir/b', mode: 0o600, content: { fd, at: 0, bytes: large.length } },
      { path: '/box/c', mode: 0o644, content: { fd, at: 6, bytes: 6 } },
      { path: '/box/d', mode: 0o644, content: { fd, at: 0, bytes: 0 } },
    ]);
    const box = await openBox(sandbox);
    const output = createOutput();
    const written = box.put(packed);
    const argv = ['bash', '-c', 'cat a c; stat -c "%s %a" a dir/b c d; sha256sum < dir/b'];
    const ending = box.step(stepOf({ argv }), output.add);
    expect(await written).toBeNull();
    packed.memory.close();
    await ending;
    await box.close();
    const digest = createHash('sha256').update(large).digest('hex');
    expect(output.bytesOf('stdout').toString()).toBe(
      `smallmayfly5 644\n${large.length} 600\n6 644\n0 644\n${digest}  -\n`,
    );
  });

  it('are read by two boxes at once, each from the beginning', async () => {
    const input = await sandbox.gather([Buffer.from('one '), Buffer.from('two')]);
    const boxes = await Promise.all([openBox(sandbox), openBox(sandbox)]);
    const outputs = boxes.map(() => createOutput());
    const spec = { ...stepOf({ argv: ['cat'] }), stdin: input };
    await Promise.all(boxes.map((box, i) => box.step(spec, outputs[i]?.add ?? (() => undefined))));
    input.close();
    await Promise.all(boxes.map((box) => box.close()));
    expect(outputs.map((output) => output.bytesOf('stdout').toString())).toEqual([
      'one two',
      'one two',
    ]);
  });

  it('are kept of a step, whole, and are input and file of another box', async () => {
    const bytes = 256 * MIB;
    const first = await openBox(sandbox);
    const limits = { outputBytes: 16 * MIB };
    const make = stepOf({ argv: ['bash', '-c', 'head -c 268435456 /dev/zero; echo e >&2'] });
    const output = createOutput();
    const spec = { ...make, keepStdout: true, limits: { ...make.limits, outputBytes: bytes } };
    const before = process.memoryUsage();
    const end = await first.step(spec, output.add);
    expect(process.memoryUsage().arrayBuffers - before.arrayBuffers).toBeLessThan(MIB);
    expect(output.bytesOf('stdout')).toHaveLength(0);
    expect(output.bytesOf('stderr').toString()).toBe('e\n');
    expect(keptOf(end).bytes).toBe(bytes);
    await first.close();

    const second = await openBox(sandbox, { limits });
    const kept = keptOf(end);
    const packed = await sandbox.pack([
      { path: '/box/part', mode: 0o644, content: { fd: kept.fd, at: bytes - 7, bytes: 7 } },
    ]);
    const putting = second.put(packed);
    const counted = createOutput();
    const count = { ...stepOf({ argv: ['wc', '-c', '-', '/box/part'] }), stdin: kept };
    const ending = second.step(count, counted.add);
    expect(await putting).toBeNull();
    await ending;
    packed.memory.close();
    kept.close();
    await second.close();
    expect(counted.bytesOf('stdout').toString().replace(/^ +/gm, '')).toBe(
      `${bytes} -\n7 /box/part\n${bytes + 7} total\n`,
    );
  });

  it.each([
    ['kill', false, 'output_limit'],
    ['truncate', true, 'exited'],
  ])('are kept up to the output limit: %s', async (_what, truncateOutput, outcome) => {
    const box = await openBox(sandbox);
    const argv = ['head', '-c', '2000000', '/dev/zero'];
    const spec = { ...stepOf({ argv, truncateOutput }), keepStdout: true };
    const end = await box.step(
      { ...spec, limits: { ...spec.limits, outputBytes: 100_001 } },
      () => undefined,
    );
    expect(end).toMatchObject({ outcome, stdoutTruncated: true });
    expect(keptOf(end).bytes).toBe(100_001);
    keptOf(end).close();
    await box.close();
  });

  it('of a merged stream are in order, and say why a program cannot be run', async () => {
    const box = await openBox(sandbox);
    const merged = { mergeStderr: true, argv: ['bash', '-c', 'echo 1; echo 2 >&2; echo 3'] };
    const first = await box.step({ ...stepOf(merged), keepStdout: true }, () => undefined);
    expect((await wholeOf(keptOf(first))).toString()).toBe('1\n2\n3\n');
    const missing = { mergeStderr: true, argv: ['no-such-program'] };
    const second = await box.step({ ...stepOf(missing), keepStdout: true }, () => undefined);
    expect((await wholeOf(keptOf(second))).toString()).toContain('no-such-program');
    keptOf(first).close();
    keptOf(second).close();
    await box.close();
  });

  it('cannot be changed by anybody once they are sealed', async () => {
    const memory = await sandbox.gather([Buffer.from('fixed')]);
    expect(nativeLibrary().memoryAppend(memory.fd, Buffer.from('x'))).toBeLessThan(0);
    expect(() => {
      writeFileSync(memory.fd, 'x');
    }).toThrow();
    const box = await openBox(sandbox);
    const argv = ['bash', '-c', 'echo changed 1<>/proc/self/fd/0 || echo refused'];
    const output = createOutput();
    await box.step({ ...stepOf({ argv }), stdin: memory }, output.add);
    expect(output.bytesOf('stdout').toString()).toBe('refused\n');
    await box.close();
    expect((await wholeOf(memory)).toString()).toBe('fixed');
    memory.close();
  });

  it('cannot be a file of the host, nor memory that may still change', () => {
    const library = nativeLibrary();
    const file = hostFile(Buffer.from('secret'));
    const open = library.memory();
    opened.push(open);
    for (const fd of [file, open]) {
      expect(library.putMemory(-1, 1, fd)).toBe(EINVAL);
      const spec = stepOf({ argv: ['cat'] });
      const packed = encodeStrings(spec);
      const request = stepRequest(1, spec, packed);
      expect(library.stepMemory(-1, request, packed.strings, fd)).toBe(EINVAL);
    }
  });

  it('cannot be taken from a file that is shorter than it was', async () => {
    const fd = hostFile(Buffer.from('short'));
    await expect(sandbox.gather([{ fd, at: 0, bytes: 6 }])).rejects.toMatchObject({
      stage: 'files',
    });
    expect(fstatSync(fd).size).toBe(5);
    expect(readFileSync(fd, 'utf8')).toBe('short');
  });
});
