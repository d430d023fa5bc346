import { closeSync, openSync, writeFileSync } from 'node:fs';
import { lstat, mkdir, mkdtemp, readdir, readFile, rm, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createLayerCache, type LayerCache } from '../../workers/executor/layer-cache.js';
import { nativeProducts } from '../../workers/executor/native-products.js';
import type { NativeSandbox } from '../../workers/executor/native-sandbox.js';
import type { Box, Memory, TreeSpec } from '../../workers/executor/sandbox.js';
import { removeLayer, unpackLayer } from '../../workers/executor/unpack.js';
import { MIB, openBox, startTestSandbox, stepOf } from '../helpers/boxes.js';
import { packed, type PackedEntry } from '../helpers/packed.js';

const { unpackPath } = nativeProducts(null);
const PACK: TreeSpec = { directory: '/box', files: 1_000, totalBytes: 16 * MIB };

describe('layers', () => {
  let sandbox: NativeSandbox;
  let root: string;
  let next = 0;
  const freshPath = (): string => join(root, String((next += 1)));

  beforeAll(async () => {
    sandbox = await startTestSandbox();
    root = await mkdtemp(join(tmpdir(), 'mayfly-layers-'));
  });
  afterAll(async () => {
    await sandbox.stop();
    await rm(root, { recursive: true, force: true });
  });

  async function sh(box: Box, script: string): Promise<string> {
    let out = '';
    const end = await box.step(stepOf({ argv: ['bash', '-c', script] }), (_stream, chunk) => {
      out += chunk.toString();
    });
    return `${end.outcome} ${end.exitCode ?? ''}\n${out}`;
  }

  async function packAfter(script: string, spec: TreeSpec = PACK): Promise<Memory> {
    const box = await openBox(sandbox);
    try {
      expect(await sh(box, script)).toMatch(/^exited 0\n/);
      return await box.packTree(spec);
    } finally {
      await box.close();
    }
  }

  async function layerAfter(script: string): Promise<string> {
    const tree = await packAfter(script);
    const path = freshPath();
    await unpackLayer(unpackPath, tree.fd, path);
    tree.close();
    return path;
  }

  async function inLayer(layer: string, script: string): Promise<string> {
    const box = await sandbox.openBox({ image: 'base', layer, diskBytes: MIB, files: 100 });
    try {
      return await sh(box, script);
    } finally {
      await box.close();
    }
  }

  it('carry files, directories, modes and links to the boxes that name them, and to no other', async () => {
    const layer = await layerAfter(
      'mkdir -p a/b; echo one > a/b/f; chmod 640 a/b/f; printf "#!/bin/sh\\necho ran" > x; chmod 755 x;' +
        'ln -s a/b/f l; mkfifo p; mkdir empty; chmod 555 a; touch "line\nbreak"',
    );
    const script =
      'cat l; ./x; stat -c "%a %u %g %F" a/b/f x a empty l; ls | wc -l; touch new a/b/g && echo writable';
    expect(await inLayer(layer, script)).toBe(
      'exited 0\none\nran\n640 1000 1000 regular file\n755 1000 1000 regular file\n' +
        '755 1000 1000 directory\n755 1000 1000 directory\n777 1000 1000 symbolic link\n6\nwritable\n'.replace(
          '6\n',
          '6\n',
        ),
    );
    const plain = await openBox(sandbox);
    expect(await sh(plain, 'ls -A')).toBe('exited 0\n');
    await plain.close();
  });

  it('cannot be changed by a program that runs on them, nor carry what it wrote', async () => {
    const layer = await layerAfter('echo mine > f; cp /bin/true ./main');
    const attack =
      'echo changed > f; rm main; cp /bin/false main; echo x > /tmp/t; echo x > /dev/shm/s; echo x > left; echo done';
    expect(await inLayer(layer, attack)).toBe('exited 0\ndone\n');
    expect(await inLayer(layer, 'cat f; ./main && ls -A . /tmp /dev/shm')).toBe(
      'exited 0\nmine\n.:\nf\nmain\n\n/dev/shm:\n\n/tmp:\n',
    );
    expect(await readFile(join(layer, 'box', 'f'), 'utf8')).toBe('mine\n');
  });

  it('go from the supervisor when they are dropped, with boxes of them still open', async () => {
    const layer = await layerAfter('echo mine > f');
    const box = await sandbox.openBox({ image: 'base', layer, diskBytes: MIB, files: 100 });
    expect(await sh(box, 'true')).toBe('exited 0\n');
    sandbox.dropLayer(layer);
    expect(await sh(box, 'cat f')).toBe('exited 0\nmine\n');
    await box.close();
    await removeLayer(unpackPath, layer);
    const late = await sandbox.openBox({ image: 'base', layer, diskBytes: MIB, files: 100 });
    await expect(sh(late, 'true')).rejects.toMatchObject({ name: 'SandboxFault' });
    await late.close();
  });

  it.each([
    ['files', { ...PACK, files: 3 }, 'touch 1 2 3 4'],
    [
      'bytes',
      { ...PACK, totalBytes: 1_000 },
      'head -c 600 /dev/zero > a; head -c 600 /dev/zero > b',
    ],
    ['depth', PACK, 'for i in $(seq 70); do mkdir d; cd d; done'],
    [
      'length of a path',
      PACK,
      'for i in 1 2 3 4 5; do d=$(printf %0250d 0); mkdir $d; cd $d; done',
    ],
  ])('are refused beyond the cap of %s', async (_what, spec, script) => {
    await expect(packAfter(script, spec)).rejects.toMatchObject({ stage: 'files' });
  });

  it('cannot bring set-id bits along', async () => {
    const layer = await layerAfter('cp /bin/true s; chmod 6755 s');
    expect(await inLayer(layer, 'stat -c %a s')).toBe('exited 0\n755\n');
  });

  describe('an archive made by hand', () => {
    const file = (path: string): PackedEntry => ({ path, mode: 0o100644, content: 'x' });
    it.each<[string, readonly PackedEntry[]]>([
      ['an absolute path', [file('/etc/owned')]],
      ['a way up', [file('../owned')]],
      ['a way up further in', [{ path: 'a', mode: 0o040755 }, file('a/../../owned')]],
      ['an empty segment', [{ path: 'a', mode: 0o040755 }, file('a//b')]],
      ['a path through a link', [{ path: 'a', mode: 0o120777, content: '/tmp' }, file('a/owned')]],
      ['a file over a link', [{ path: 'a', mode: 0o120777, content: '/tmp/owned' }, file('a')]],
      ['a link to a parent', [{ path: 'a', mode: 0o120777, content: '..' }, file('a/owned')]],
      ['a device', [{ path: 'sda', mode: 0o060666 }]],
      ['a character device', [{ path: 'kmsg', mode: 0o020666 }]],
      ['a FIFO', [{ path: 'p', mode: 0o010666 }]],
      ['the same file twice', [file('a'), file('a')]],
      ['a directory with content', [{ path: 'a', mode: 0o040755, content: 'x' }]],
      ['a NUL', [file('a\0b')]],
      ['a path without end', [file('a/'.repeat(600) + 'b')]],
    ])('cannot leave the directory by %s', async (_what, entries) => {
      const path = freshPath();
      const archive = join(root, 'archive');
      writeFileSync(archive, packed([file('before'), ...entries]));
      const fd = openSync(archive, 'r');
      await expect(unpackLayer(unpackPath, fd, path)).rejects.toMatchObject({
        stage: 'files',
        retryable: false,
      });
      closeSync(fd);
      await expect(lstat(path)).rejects.toThrow('ENOENT'); // nothing is left of it
      for (const owned of ['/etc/owned', '/tmp/owned', join(root, 'owned')]) {
        await expect(lstat(owned)).rejects.toThrow('ENOENT');
      }
    });

    it.each([1, 15, 16, 17, 21])('cut to %i bytes is refused', async (bytes) => {
      const archive = join(root, 'archive');
      writeFileSync(archive, packed([file('before'), file('after')]).subarray(0, bytes));
      const fd = openSync(archive, 'r');
      await expect(unpackLayer(unpackPath, fd, freshPath())).rejects.toMatchObject({
        stage: 'files',
      });
      closeSync(fd);
    });
  });

  describe('in the cache', () => {
    let cache: LayerCache;
    let dropped: string[];
    let directory: string;
    const deps = () => ({
      directory,
      bytesMax: 100_000,
      unpackPath,
      onDropped: (path: string) => void dropped.push(path),
      log: { error: () => undefined },
    });
    beforeEach(async () => {
      directory = freshPath();
      dropped = [];
      cache = await createLayerCache(deps());
    });

    it('are found by their key, and the least recently used goes when they are too many bytes', async () => {
      const make = async (key: string) =>
        (await cache.add(key, await packAfter(`head -c 40000 /dev/zero > ${key}`))).release();
      await make('a');
      await make('b');
      cache.find('a')?.release();
      await make('c');
      expect(cache.find('b')).toBeNull();
      const held = cache.find('a');
      expect(await inLayer(held?.path ?? '', 'stat -c %s a')).toBe('exited 0\n40000\n');
      await make('d'); // a is held: c goes
      await make('e');
      expect(cache.find('c')).toBeNull();
      expect(cache.find('a')).not.toBeNull();
      expect(dropped.length).toBe(3);
      await cache.close();
      expect(await readdir(directory)).toEqual([]);
    });

    it('that a killed executor left go when the next starts, and a living one’s stay', async () => {
      await mkdir(join(directory, 'executor-dead'), { recursive: true });
      const tree = await packAfter('mkdir -p a/b; touch a/b/c');
      await unpackLayer(unpackPath, tree.fd, join(directory, 'executor-dead', '1'));
      tree.close();
      const old = new Date(Date.now() - 3_600_000);
      await utimes(join(directory, 'executor-dead'), old, old);
      const held = await cache.add('k', await packAfter('touch k'));
      const second = await createLayerCache(deps());
      expect((await readdir(directory)).length).toBe(2);
      expect(await readdir(join(held.path, 'box'))).toEqual(['k']);
      await second.close();
      await cache.close();
    });
  });
});
