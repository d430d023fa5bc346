/**
 * Holes that were published about programs of this kind, replayed: what let them out is tried here, and a control
 * run without the defence shows that the replay would succeed.
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NativeSandbox } from '../../workers/executor/native-sandbox.js';
import {
  attackProgram,
  createRange,
  describeAttacks,
  weakSupervisor,
  type Range,
  type Weakness,
} from '../helpers/attacks.js';
import { openBox, runInBox, startTestSandbox, stepOf } from '../helpers/boxes.js';
import { leftovers, nothingLeft } from '../helpers/leftovers.js';
import { DATABASE_PORT, publishedHoles } from './published-holes.attacks.js';

const database = createServer((socket) => socket.destroy());
beforeAll(
  () => new Promise<void>((resolve) => database.listen(DATABASE_PORT, '127.0.0.1', resolve)),
);
afterAll(() => database.close());

describeAttacks('published holes', publishedHoles);

/** Judge0 CVE-2024-28185 and CVE-2024-28189: root wrote, then chowned, through a link that the program had planted. */
describe('files that are put after a program has run', () => {
  let range: Range;
  beforeAll(() => {
    range = createRange();
  });
  afterAll(() => range.stop());

  interface PutThroughLink {
    readonly errno: number;
    readonly target: string;
  }

  async function putThroughLink(
    weak: boolean,
    link: string,
    path: string,
  ): Promise<PutThroughLink> {
    const sandbox = await range.sandbox(weak ? ['files'] : []);
    const box = await openBox(sandbox);
    const bash = async (script: string): Promise<string> => {
      let said = '';
      await box.step(stepOf({ argv: ['bash', '-c', script] }), (_stream, chunk) => {
        said += chunk.toString();
      });
      return said;
    };
    try {
      await bash(`mkdir /tmp/d; echo mine > /tmp/d/target; chmod 600 /tmp/d/target; ln -s ${link}`);
      const end = await box.put([{ path, mode: 0o777, content: Buffer.from('evil\n') }]);
      return {
        errno: end?.errno ?? 0,
        target: await bash('cat /tmp/d/target; stat -c %a /tmp/d/target'),
      };
    } finally {
      await box.close();
    }
  }

  it.each([
    ['the last part (CVE-2024-28185)', '/tmp/d/target /box/script', '/box/script', 40],
    ['a directory (CVE-2024-28189)', '/tmp/d /box/d', '/box/d/target', 20],
  ])('cannot be led elsewhere by a link in place of %s', async (_what, link, path, errno) => {
    expect(await putThroughLink(true, link, path), 'the control run').toEqual({
      errno: 0,
      target: 'evil\n777\n',
    });
    expect(await putThroughLink(false, link, path)).toEqual({ errno, target: 'mine\n600\n' });
  });
});

/** runc CVE-2019-5736: a program of the container overwrote the binary that all later ones were started with. */
describe('layers of an image', () => {
  const before = leftovers();
  let layer: string;
  let weak: NativeSandbox;
  let real: NativeSandbox;

  beforeAll(async () => {
    layer = mkdtempSync(join(tmpdir(), 'attack-layer-'));
    chmodSync(layer, 0o755);
    for (const name of ['proc', 'dev', 'tmp', 'box']) mkdirSync(join(layer, name));
    for (const name of ['attacks', 'setuid', 'capable']) {
      writeFileSync(join(layer, name), attackProgram(), { mode: 0o755 });
    }
    chmodSync(join(layer, 'setuid'), 0o4755);
    // cap_sys_admin+ep, version 2: capability.h of the kernel.
    const caps = Buffer.alloc(20);
    caps.writeUInt32LE(0x02000001, 0);
    caps.writeUInt32LE(1 << 21, 4);
    const set = `import os; os.setxattr("${layer}/capable", "security.capability", bytes.fromhex("${caps.toString('hex')}"))`;
    execFileSync('python3', ['-c', set]);
    chownSync(join(layer, 'box'), 1_000, 1_000);
    const images = [{ name: 'layered', layerPaths: [layer] }];
    real = await startTestSandbox({ images });
    weak = await startTestSandbox({ images, supervisorPath: weakSupervisor(['overlay']) });
  });
  afterAll(async () => {
    await weak.stop();
    await real.stop();
    rmSync(layer, { recursive: true });
    await nothingLeft(before);
  });

  /** Whether the file of the image is another one after the attack. */
  async function changed(sandbox: NativeSandbox, how: string): Promise<boolean> {
    const path = join(layer, 'box', 'tool');
    writeFileSync(path, 'original'.padEnd(4_096), { mode: 0o755 });
    chmodSync(path, 0o755);
    chownSync(path, 1_000, 1_000);
    const run = { image: 'layered', argv: ['/attacks', 'write_layer', how, '/box/tool'] };
    await runInBox(sandbox, run);
    rmSync(join(layer, 'box', 'second-name'), { force: true });
    rmSync(join(layer, 'box', 'renamed'), { force: true });
    const about = statSync(path, { throwIfNoEntry: false });
    return about?.mode !== 0o100755 || !readFileSync(path, 'utf8').startsWith('original');
  }

  it.each(['write', 'mmap', 'link', 'proc', 'truncate', 'chmod', 'rename', 'unlink'])(
    'cannot be changed for who comes after: %s',
    async (how) => {
      expect(await changed(weak, how), 'the control run').toBe(true);
      expect(await changed(real, how)).toBe(false);
    },
  );

  it.each(['setuid', 'capable'])('cannot give rights by a file that is %s', async (name) => {
    const images = [{ name: 'layered', layerPaths: [layer] }];
    const weaknesses: readonly Weakness[] = ['filter', 'setuid'];
    const generous = await startTestSandbox({ images, supervisorPath: weakSupervisor(weaknesses) });
    const run = { image: 'layered', argv: [`/${name}`, 'whoami'] };
    const control = await runInBox(generous, run).finally(() => generous.stop());
    expect(control.stdout, 'the control run').toMatch(/^harm: /);
    expect((await runInBox(real, run)).stdout).toMatch(/^held: /);
  });
});
