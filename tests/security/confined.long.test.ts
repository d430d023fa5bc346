// The executor's sandbox holds with what its systemd unit and its container leave it, not only as full root:
// the suites of limits and attacks, with a supervisor that is confined so. What looks into the supervisor
// itself, and the control runs with weak supervisors, keep what they need.
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { rmSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { confinedSupervisor } from '../helpers/confinement.js';

const root = join(import.meta.dirname, '..', '..');
const SUITES = [
  'box.limits',
  'box.programs',
  'box.isolation',
  'get-out',
  'exhaust',
  'lie',
  'reach-others',
];

describe.each(['systemd', 'compose'] as const)('confined as by %s', (deployment) => {
  it('passes the suites of limits and attacks', { timeout: 900_000 }, () => {
    const supervisor = confinedSupervisor(deployment);
    const { status, stdout, stderr } = spawnSync(
      join(root, 'node_modules/.bin/vitest'),
      ['run', '--project', 'native', '--project', 'security', '--reporter=dot', ...SUITES],
      {
        cwd: root,
        encoding: 'utf8',
        env: {
          ...process.env,
          NO_COLOR: '1',
          MAYFLY_TEST_SUPERVISOR: supervisor,
          VITEST: undefined,
        },
      },
    );
    rmSync(dirname(supervisor), { recursive: true });
    expect(status, `${stdout.slice(-2_000)}\n${stderr.slice(0, 6_000)}`).toBe(0);
    expect(Number(/Tests .*?(\d+) passed/.exec(stdout)?.[1])).toBeGreaterThan(100);
  });
});
