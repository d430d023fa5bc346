import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { overviewText, type Snapshot } from '../../services/cli/overview-text.js';
import { styleOf } from '../../services/cli/style.js';
import { sumTallies } from '../../services/platform/run-tally.js';
import { VERSION } from '../../services/platform/version.js';
import type { Tally } from '../../services/contract/overview.js';

const plain = styleOf({ env: {}, write: () => undefined, writeError: () => undefined });

function tally(exited: number, settles: number, seconds: number): Tally {
  return {
    runs: { finished: exited },
    outcomes: { exited },
    stages: { settle: { count: settles, seconds }, box: { count: 1, seconds: 0.001 } },
  };
}

function snapshot(totals: Tally, tenant = 'class'): Snapshot {
  return {
    overview: {
      at: '2026-01-01T00:00:00.000Z',
      pools: [{ pool: 'default', backlog: 7, delayed: 0, inflight: 2, slots: 4, executors: 1 }],
      tenants: [{ id: 'ten_a', name: tenant, weight: 2, backlog: 7, running: 2 }],
      executors: { live: 1, draining: 0 },
      totals,
      redis: { memoryBytes: 1024 * 1024, memoryBytesMax: 0 },
    },
    executors: [],
  };
}

describe('an overview in words', () => {
  it('shows slots, backlog and tenants', () => {
    const text = overviewText(snapshot(tally(1, 1, 1)), null, plain);
    expect(text).toContain('slots 2/4 [##########..........]   backlog 7');
    expect(text).toMatch(/^class +2 +7 +2$/m);
  });

  it('shows what came between two looks, slowest stage first', () => {
    const [before, now] = [snapshot(tally(10, 10, 0.1)), snapshot(tally(14, 20, 0.6))];
    const text = overviewText(now, before, plain);
    expect(text).toMatch(/^exited +\+4 +14$/m);
    expect(text).toMatch(/^settle +50\.00 +30\.00$/m);
    expect(text.indexOf('\nsettle')).toBeLessThan(text.indexOf('\nbox'));
  });

  it('takes an executor that began again for what it has done since', () => {
    const text = overviewText(snapshot(tally(3, 1, 1)), snapshot(tally(10, 9, 9)), plain);
    expect(text).toMatch(/^exited +\+3 +3$/m);
  });

  it('cannot be steered by a name', () => {
    const text = overviewText(snapshot(tally(1, 1, 1), 'a\u001b[2Jb\u009bc\n'), null, plain);
    expect(text).toContain('a?[2Jb?c?');
  });
});

describe('tallies', () => {
  it('are added by name', () => {
    expect(sumTallies([tally(1, 2, 3), tally(10, 20, 30)])).toEqual({
      runs: { finished: 11 },
      outcomes: { exited: 11 },
      stages: { settle: { count: 22, seconds: 33 }, box: { count: 2, seconds: 0.002 } },
    });
    expect(sumTallies([])).toEqual({ runs: {}, outcomes: {}, stages: {} });
  });
});

describe('the version', () => {
  it('is that of the package', () => {
    const path = join(import.meta.dirname, '..', '..', 'package.json');
    expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({ version: VERSION });
  });
});
