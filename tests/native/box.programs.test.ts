import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NativeSandbox } from '../../workers/executor/native-sandbox.js';
import { MIB, openBox, runInBox, startTestSandbox, stepOf } from '../helpers/boxes.js';

describe('programs in a box', () => {
  let sandbox: NativeSandbox;
  beforeAll(async () => {
    sandbox = await startTestSandbox();
  });
  afterAll(() => sandbox.stop());

  it('get their arguments, environment, input and working directory', async () => {
    const end = await runInBox(sandbox, {
      argv: ['bash', '-c', 'pwd; echo "$1 $A"; cat; echo oops >&2', 'bash', 'ä b'],
      env: { A: 'x=y' },
      stdin: 'in\nput',
      cwd: '/tmp',
    });
    expect(end).toMatchObject({
      outcome: 'exited',
      exitCode: 0,
      stdout: '/tmp\nä b x=y\nin\nput',
      stderr: 'oops\n',
    });
    expect(end.cpuTimeUs).toBeGreaterThan(0);
    expect(end.contextSwitches).not.toBeNull();
    expect(end.boxUs).toBeGreaterThan(0);
  });

  it('may leave their input unread', async () => {
    const end = await runInBox(sandbox, { argv: ['true'], stdin: 'x'.repeat(4 * MIB) });
    expect(end).toMatchObject({ outcome: 'exited', exitCode: 0 });
  });

  it('write both streams as one, in order, when told to merge', async () => {
    const end = await runInBox(sandbox, {
      argv: ['bash', '-c', 'for i in 1 2 3; do echo out $i; echo err $i >&2; done'],
      mergeStderr: true,
    });
    expect(end.stdout).toBe('out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n');
    expect(end.stderr).toBe('');
  });

  it.each([
    ['that do not exist', ['/no/such/program'], 127],
    ['that are not in PATH', ['no-such-program'], 127],
    ['that are not executable', ['/etc/hostname'], 126],
    ['that are directories', ['/box'], 126],
  ])('%s are an outcome, with the reason on stderr', async (_what, argv, exitCode) => {
    const end = await runInBox(sandbox, { argv });
    expect(end).toMatchObject({ outcome: 'exited', exitCode });
    expect(end.stderr).toContain(argv[0]);
  });

  it('whose working directory does not exist are an outcome', async () => {
    const end = await runInBox(sandbox, { argv: ['true'], cwd: '/box/missing' });
    expect(end.outcome).toBe('exited');
    expect(end.exitCode).toBeGreaterThanOrEqual(126);
    expect(end.stderr).toContain('/box/missing');
  });

  it('in no known format are an outcome', async () => {
    const files = [{ path: '/box/program', mode: 0o755, content: Buffer.from([0, 1, 2, 3]) }];
    const end = await runInBox(sandbox, { files, argv: ['/box/program'] });
    expect(end).toMatchObject({ outcome: 'exited', exitCode: 126 });
    expect(end.stderr).not.toBe('');
  });

  it('that crash are signaled', async () => {
    const end = await runInBox(sandbox, { argv: ['bash', '-c', 'kill -SEGV $$'] });
    expect(end).toMatchObject({ outcome: 'signaled', signal: 11, exitCode: null });
  });

  it('find their files with mode and directories, owned by them', async () => {
    const end = await runInBox(sandbox, {
      files: [
        { path: '/box/a/b/data', mode: 0o640, content: Buffer.from('data') },
        { path: '/tmp/t', mode: 0o755, content: Buffer.alloc(0) },
      ],
      argv: ['stat', '-c', '%n %a %u %F', '/box/a/b/data', '/tmp/t', '/box/a'],
    });
    expect(end.stdout.split('\n')).toEqual([
      '/box/a/b/data 640 1000 regular file',
      '/tmp/t 755 1000 regular empty file',
      '/box/a 755 1000 directory',
      '',
    ]);
  });

  it.each([
    ['through a file', '/etc/hostname/x', 20],
    ['where the user may not write', '/etc/x', 13],
    ['over a directory', '/tmp', 21],
  ])('whose file leads %s are told so by its number', async (_what, path, errno) => {
    const box = await openBox(sandbox);
    try {
      const content = Buffer.from('x');
      const end = await box.put([
        { path: '/box/good', mode: 0o644, content },
        { path, mode: 0o644, content },
      ]);
      expect(end).toEqual({ errno, index: 1 });
    } finally {
      await box.close();
    }
  });

  it('whose files are larger than the disk are told so', async () => {
    const box = await openBox(sandbox, { limits: { diskBytes: MIB } });
    try {
      const content = Buffer.alloc(4 * MIB, 1);
      const end = await box.put([{ path: '/box/big', mode: 0o644, content }]);
      expect(end).toEqual({ errno: 28, index: 0 });
    } finally {
      await box.close();
    }
  });

  it('run one after the other in the same box, and none outlives its step', async () => {
    const box = await openBox(sandbox);
    try {
      const first = stepOf({ argv: ['bash', '-c', 'echo kept > f; sleep 60 & sleep 61 &'] });
      const second = stepOf({ argv: ['bash', '-c', 'cat f >&2; ls -d /proc/[0-9]* | wc -l'] });
      const chunks: string[] = [];
      const ends = await Promise.all([
        box.step(first, () => undefined),
        box.step(second, (stream, chunk) => chunks.push(`${stream} ${chunk.toString()}`)),
      ]);
      expect(ends.map(({ outcome, exitCode }) => [outcome, exitCode])).toEqual([
        ['exited', 0],
        ['exited', 0],
      ]);
      expect(chunks).toContain('stderr kept\n');
      // pid 1, bash, ls and wc
      expect(Number(/stdout (\d+)/.exec(chunks.join('\n'))?.[1])).toBeLessThanOrEqual(4);
    } finally {
      await box.close();
    }
  });

  it('leave files to be collected: regular ones within the caps, the rest is named', async () => {
    const script =
      'mkdir -p out/deep; echo 1 > out/a.txt; echo 2 > out/deep/b.txt; ln -s /etc/passwd out/l.txt;' +
      'head -c 1500000 /dev/zero > out/big.txt; mkfifo out/fifo.txt; echo no > out/other';
    const end = await runInBox(sandbox, {
      argv: ['bash', '-c', script],
      collect: ['/box/out/**/*.txt', '/box/missing'],
    });
    const { files, omitted } = end.collected ?? { files: [], omitted: [] };
    expect(files.map(({ path, content }) => [path, content.toString()]).sort()).toEqual([
      ['/box/out/a.txt', '1\n'],
      ['/box/out/deep/b.txt', '2\n'],
    ]);
    expect(Object.fromEntries(omitted.map(({ path, reason }) => [path, reason]))).toEqual({
      '/box/out/l.txt': 'not_regular',
      '/box/out/fifo.txt': 'not_regular',
      '/box/out/big.txt': 'too_large',
      '/box/missing': 'missing',
    });
  });

  it('end as cancelled with what they used', async () => {
    const run = { argv: ['bash', '-c', 'echo started; while :; do :; done'] };
    const box = await openBox(sandbox, run);
    box.follow();
    const end = await box.step(stepOf(run), () => {
      box.cancel();
    });
    await box.close();
    expect(end.outcome).toBe('cancelled');
    expect(end.cpuTimeUs).toBeGreaterThan(0);
  });

  it('that still run when their box is closed are dead when it is', async () => {
    const box = await openBox(sandbox);
    const ending = box.step(stepOf({ argv: ['sleep', '60'] }), () => undefined);
    await box.close();
    await expect(ending).rejects.toThrow(/closed/);
    await expect(box.step(stepOf({ argv: ['true'] }), () => undefined)).rejects.toThrow(/closed/);
  });

  it('run twenty at a time', async () => {
    const ends = await Promise.all(
      Array.from({ length: 20 }, (_unused, index) =>
        runInBox(sandbox, { argv: ['echo', String(index)] }),
      ),
    );
    expect(ends.map(({ stdout }) => stdout)).toEqual(ends.map((_end, index) => `${index}\n`));
  });
});
