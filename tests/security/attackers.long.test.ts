/** Timing beside attacks: on a machine that does nothing else, with `npm run test:all`. */
import { cpus } from 'node:os';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NativeSandbox } from '../../workers/executor/native-sandbox.js';
import { attackProgram } from '../helpers/attacks.js';
import { MIB, runInBox, startTestSandbox, type Run, type RunEnd } from '../helpers/boxes.js';
import { leftovers, nothingLeft } from '../helpers/leftovers.js';

const files = [{ path: '/box/attacks', mode: 0o755, content: attackProgram() }];
const limits = { wallTimeMs: 1_000, memoryBytes: 64 * MIB, processes: 64, cpus: 0.5 };

/** What two tenants do at full rate, over and over. */
const ATTACKS: readonly Run[] = [
  { files, argv: ['/box/attacks', 'processes', 'fork', '10000'], limits },
  { files, argv: ['/box/attacks', 'memory', 'anonymous', '512'], limits },
  { files, argv: ['/box/attacks', 'output', '1', '64'], limits },
  { files, argv: ['/box/attacks', 'files', '100000', '250'], limits },
  { files, argv: ['/box/attacks', 'cpu', 'threads', '5000'], limits },
  { files, argv: ['/box/attacks', 'memory', 'pipes', '512'], limits },
];
const HONEST: Run = {
  argv: ['python3', '-c', 'print(sum(i * i for i in range(2_000_000)))'],
  limits: { cpus: 1 },
};

function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}

describe('beside two tenants that attack at full rate', () => {
  let sandbox: NativeSandbox;
  let before: Set<string>;
  beforeAll(async () => {
    before = leftovers();
    sandbox = await startTestSandbox();
  });
  afterAll(async () => {
    await sandbox.stop();
    await nothingLeft(before);
  });

  async function honest(count: number): Promise<RunEnd[]> {
    const ends: RunEnd[] = [];
    for (let i = 0; i < count; i++) ends.push(await runInBox(sandbox, HONEST));
    return ends;
  }

  /** Runs `work` while neighbours run these programs over and over in all slots but one. */
  async function beside<T>(programs: readonly Run[], work: () => Promise<T>): Promise<T> {
    let going = true;
    const slots = Math.max(1, cpus().length - 1);
    const neighbours = Array.from({ length: slots }, async (_unused, slot) => {
      for (let i = slot; going; i++) {
        await runInBox(sandbox, programs[i % programs.length] ?? HONEST);
      }
    });
    try {
      return await work();
    } finally {
      going = false;
      await Promise.all(neighbours);
    }
  }

  // Cores share caches and a clock: what a busy neighbour costs is no attack. So the neighbour of the
  // figure that attackers are held to is an honest one, as busy as they are.
  it('an honest job ends the same, with the same CPU time within 10 %', async () => {
    const alone = await honest(20);
    const among = await beside([HONEST], () => honest(20));
    const attacked = await beside(ATTACKS, () => honest(20));
    const same = (end: RunEnd): unknown[] => [end.outcome, end.exitCode, end.stdout];
    for (const end of [...among, ...attacked]) expect(same(end)).toEqual(same(alone[0] as RunEnd));
    const median = (ends: readonly RunEnd[]): number =>
      quantile(
        ends.map(({ cpuTimeUs }) => cpuTimeUs),
        0.5,
      );
    const [one, two, three] = [alone, among, attacked].map((ends) => median(ends) / 1_000);
    console.info(`CPU ms: alone ${one}, beside honest jobs ${two}, beside attackers ${three}`);
    const change = median(attacked) / median(among);
    expect(change).toBeLessThan(1.1);
  });

  it("a third tenant's box is made within twice its quiet time, at p95", async () => {
    const p95 = (ends: readonly RunEnd[]): number =>
      quantile(
        ends.map(({ boxUs }) => boxUs),
        0.95,
      );
    const quiet = p95(await honest(40));
    const attacked = p95(await beside(ATTACKS, () => honest(40)));
    console.info(`box time p95: quiet ${quiet} us, beside attackers ${attacked} us`);
    expect(attacked).toBeLessThan(2 * quiet);
  });
});
