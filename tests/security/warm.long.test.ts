/**
 * The attacks of the other suites from a started interpreter, which becomes the attacker: what held there holds here.
 * Each has had its control there.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NativeSandbox } from '../../workers/executor/native-sandbox.js';
import { resolveLimits } from '../../services/contract/limits.js';
import { createOutput } from '../../workers/executor/step-result.js';
import { warmImages, type WarmImage } from '../../workers/executor/warm.js';
import { attackProgram, type Attack } from '../helpers/attacks.js';
import { leftovers, nothingLeft } from '../helpers/leftovers.js';
import { onceWarm, startWarmSandbox } from '../helpers/warm.js';
import { exhaust } from './exhaust.attacks.js';
import { getOut } from './get-out.attacks.js';
import { publishedHoles } from './published-holes.attacks.js';
import { reachOthers } from './reach-others.attacks.js';

const python = warmImages().find(({ name }) => name === 'python') as WarmImage;

/** Of what a started interpreter can be given; and what attacks a victim is about two boxes, not about one. */
const attacks = [...getOut, ...exhaust, ...publishedHoles, ...reachOthers].filter(
  ({ attack, command, victim, cwd, env, limits = {} }) =>
    attack !== undefined &&
    [command, victim, cwd, env].every((each) => each === undefined) &&
    !['stackBytes', 'openFiles', 'fileBytes', 'cpus'].some((name) => name in limits) &&
    (limits.memoryBytes ?? Infinity) >= 16 * 1024 * 1024,
);

describe('attacks from a started interpreter', () => {
  const before = leftovers();
  let sandbox: NativeSandbox;
  beforeAll(async () => {
    attackProgram();
    sandbox = await startWarmSandbox([python]);
  });
  afterAll(async () => {
    await sandbox.stop();
    await nothingLeft(before);
  });

  async function attempt({ attack = [], limits }: Attack) {
    const all = { ...python.step.limits, ...limits };
    const resolved = resolveLimits({ ...all, wallTimeMs: limits?.wallTimeMs }).limits;
    const box = await sandbox.openBox({
      image: 'base',
      warm: 'python',
      diskBytes: resolved.diskBytes,
      files: resolved.files,
    });
    try {
      const source = `import os\nos.execv("/box/attacks", ${JSON.stringify(['/box/attacks', ...attack])})`;
      await box.put([
        { path: '/box/attacks', mode: 0o755, content: attackProgram() },
        { path: '/box/main.py', mode: 0o644, content: Buffer.from(source) },
      ]);
      const output = createOutput();
      const end = await box.step({ ...python.step, limits: resolved }, output.add);
      const [stdout, stderr] = (['stdout', 'stderr'] as const).map((stream) =>
        output.bytesOf(stream).toString(),
      );
      return {
        end: { ...end, stdout: stdout ?? '', stderr: stderr ?? '', collected: null },
        warm: end.warm,
      };
    } finally {
      await box.close();
    }
  }

  it('are most of all', () => {
    expect(attacks.length).toBeGreaterThan(60);
  });

  it.each(attacks)('$title', async (attack) => {
    const { end, warm } = await onceWarm(sandbox, 1, () => attempt(attack));
    expect(warm).toBe(true);
    expect(end.stdout).not.toMatch(/^harm: /m);
    if (attack.stopped === undefined) expect(end.stdout).toMatch(/^held: /m);
    else attack.stopped(end);
  });
});
