/**
 * What an archive cannot do to the box it is unpacked in, nor to anything outside. The control is the same archive in
 * the hands of an extractor that believes what it reads, in a directory of the test's own.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Sandbox } from '../../workers/executor/sandbox.js';
import { tarGzOf, zipOf, type Entry } from '../helpers/archives.js';
import { startTestSandbox } from '../helpers/boxes.js';
import { runJob, type JobEnd } from '../helpers/languages.js';

const MIB = 1024 * 1024;
let sandbox: Sandbox;
let scratch: string;

beforeAll(async () => {
  sandbox = await startTestSandbox();
  scratch = mkdtempSync(join(tmpdir(), 'mayfly-archives-'));
  mkdirSync(join(scratch, 'in'));
});
afterAll(async () => {
  rmSync(scratch, { recursive: true });
  await sandbox.stop();
});

function unpack(
  format: 'zip' | 'tar.gz',
  archive: Buffer,
  limits: object = {},
  script = 'find / -xdev -newer /proc/1 2>/dev/null; ls -A . ..',
): Promise<JobEnd> {
  return runJob(sandbox, {
    image: 'base',
    steps: [{ name: 'look', argv: ['sh', '-c', script] }],
    archives: [{ format, content: archive.toString('base64'), path: 'in' }],
    limits,
  });
}

/** The box's user sees nothing of it: the job has failed before its first step. */
async function refused(format: 'zip' | 'tar.gz', archive: Buffer, why: RegExp): Promise<void> {
  const fault = await unpack(format, archive).then(
    () => null,
    (error: unknown) => JSON.parse((error as Error).message) as unknown,
  );
  expect(fault).toMatchObject({
    status: 'fault',
    fault: { stage: 'archive', retryable: false, detail: expect.stringMatching(why) as string },
    work: null,
  });
}

/** Extractors as they are often written: as root, and believing everything. */
const NAIVE = {
  zip: `import os, stat, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as archive:
    for entry in archive.infolist():
        path = os.path.join(sys.argv[2], entry.filename)
        if stat.S_ISLNK(entry.external_attr >> 16): os.symlink(archive.read(entry), path)
        else: open(path, "wb").write(archive.read(entry))`,
  'tar.gz': `import os, sys, tarfile
with tarfile.open(sys.argv[1]) as archive:
    for entry in archive:
        path = os.path.join(sys.argv[2], entry.name)
        if entry.isreg(): open(path, "wb").write(archive.extractfile(entry).read())
        elif entry.issym(): os.symlink(entry.linkname, path)
        elif entry.islnk(): os.link(os.path.join(sys.argv[2], entry.linkname), path)
        elif entry.ischr(): os.mknod(path, 0o20666, os.makedev(entry.devmajor, entry.devminor))
        elif entry.isfifo(): os.mkfifo(path)
        if not entry.issym(): os.chmod(path, entry.mode)`,
};

function naively(format: 'zip' | 'tar.gz', archive: Buffer): void {
  const path = join(scratch, 'archive');
  writeFileSync(path, archive);
  rmSync(join(scratch, 'in'), { recursive: true });
  mkdirSync(join(scratch, 'in'));
  execFileSync('python3', ['-c', NAIVE[format], path, join(scratch, 'in')]);
}

const formats = [
  { format: 'zip', make: zipOf },
  { format: 'tar.gz', make: tarGzOf },
] as const;

describe.each(formats)('an archive ($format)', ({ format, make }) => {
  const outside = (): string => join(scratch, 'outside');
  const written = (): boolean => {
    const there = existsSync(outside());
    rmSync(outside(), { force: true });
    return there;
  };

  it('cannot write outside of its directory by a name that leads up', async () => {
    const archive = make([
      { name: 'x', content: '1' },
      { name: '../outside', content: '2' },
    ]);
    await refused(format, archive, /^archives\[0\]: \.\.\/outside: leads out of/);
    naively(format, archive);
    expect(written()).toBe(true);
  });

  it('cannot write outside of its directory by an absolute name', async () => {
    const archive = make([{ name: outside(), content: '2' }]);
    await refused(format, archive, /is an absolute path/);
    naively(format, archive);
    expect(written()).toBe(true);
  });

  it('cannot write through a link that it has made before', async () => {
    const link: Entry =
      format === 'zip'
        ? { name: 'way', mode: 0o120777, content: scratch }
        : { name: 'way', type: '2', target: scratch };
    const archive = make([link, { name: 'way/outside', content: '2' }]);
    await refused(format, archive, /way: is (a link|neither a regular file nor a directory)/);
    naively(format, archive);
    expect(written()).toBe(true);
  });

  it('cannot fill more than the disk, and cannot fill it with files', async () => {
    const large = make([{ name: 'zeros', content: Buffer.alloc(32 * MIB) }]);
    expect(large.length).toBeLessThan(MIB);
    const many = make(Array.from({ length: 300 }, (_, i) => ({ name: `f${i}` })));
    const limits = { diskBytes: 4 * MIB, files: 64 };
    for (const archive of [large, many]) {
      await expect(unpack(format, archive, limits)).rejects.toThrow(
        /"stage":"archive","errno":28,/,
      );
    }
    const script = 'ls in | wc -l; du -sm in | cut -f 1';
    expect((await unpack(format, large, {}, script)).stdout).toBe('1\n32\n');
    expect((await unpack(format, many, {}, script)).stdout).toMatch(/^300\n/);
  });
});

describe('a tar archive', () => {
  it('cannot make a hard link to what lies outside', async () => {
    writeFileSync(join(scratch, 'secret'), 's', { mode: 0o600 });
    const archive = tarGzOf([{ name: 'mine', type: '1', target: '../secret' }]);
    await refused('tar.gz', archive, /mine: is a link/);
    naively('tar.gz', archive);
    expect(statSync(join(scratch, 'in/mine')).nlink).toBe(2);
  });

  it('cannot make a device or a pipe', async () => {
    for (const [type, is] of [
      ['3', 'isCharacterDevice'],
      ['6', 'isFIFO'],
    ] as const) {
      const archive = tarGzOf([{ name: 'special', type }]);
      await refused('tar.gz', archive, /special: is neither a regular file nor a directory/);
      naively('tar.gz', archive);
      expect(statSync(join(scratch, 'in/special'))[is]()).toBe(true);
    }
  });

  it('cannot give a program the rights of its owner', async () => {
    const archive = tarGzOf([{ name: 'program', content: 'x', mode: 0o106755 }]);
    const { stdout } = await unpack('tar.gz', archive, {}, 'stat -c %a in/program');
    expect(stdout).toBe('755\n');
    naively('tar.gz', archive);
    expect(statSync(join(scratch, 'in/program')).mode & 0o7777).toBe(0o6755);
  });
});

it('cannot speak to a terminal by the name of an entry', async () => {
  const archive = zipOf([{ name: '../\u001b[2J\n', content: '' }]);
  await refused('zip', archive, /^archives\[0\]: \.\.\/\\x1b\[2J\\x0a: leads out/);
  expect('../\u001b[2J\n').not.toMatch(/^[\x20-\x7e]*$/); // the control: it would have
});
