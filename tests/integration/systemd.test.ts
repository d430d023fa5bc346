// The units are what systemd takes, and stay as closed as they are. Without a running systemd: offline.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CONFIG_EXIT_CODE } from '../../services/platform/config.js';

const source = join(import.meta.dirname, '..', '..', 'infra', 'systemd');
const units = readdirSync(source).filter((name) => name.endsWith('.service'));
const directory = mkdtempSync(join(tmpdir(), 'mayfly-units-'));

/** The worst that `systemd-analyze security` may say of each (0 is closed, 10 open). */
const EXPOSURE_MAX: Readonly<Record<string, number>> = {
  'mayfly-redis.service': 1.0,
  'mayfly-api.service': 1.5,
  'mayfly-executor.service': 5.5,
};

beforeAll(() => {
  // What they start need not be installed on the machine that verifies them.
  for (const unit of units) {
    const text = readFileSync(join(source, unit), 'utf8');
    writeFileSync(join(directory, unit), text.replace(/^ExecStart=\S+/gm, 'ExecStart=/bin/true'));
  }
});

afterAll(() => rmSync(directory, { recursive: true }));

function analyze(...args: string[]): { status: number | null; text: string } {
  const { status, stdout, stderr } = spawnSync('systemd-analyze', args, { encoding: 'utf8' });
  return { status, text: stdout + stderr };
}

describe.each(units)('%s', (unit) => {
  it('is understood whole', () => {
    expect(analyze('verify', join(directory, unit))).toEqual({ status: 0, text: '' });
  });

  it('is not started again where its settings are wrong', () => {
    const codes = /^RestartPreventExitStatus=(.*)$/m.exec(readFileSync(join(source, unit), 'utf8'));
    // Redis is no process of ours.
    expect(codes?.[1]).toBe(unit === 'mayfly-redis.service' ? undefined : `${CONFIG_EXIT_CODE}`);
  });

  it('is as closed as it was', () => {
    const { text } = analyze(
      'security',
      '--offline=true',
      '--threshold=100',
      join(directory, unit),
    );
    const exposure = Number(/exposure level for \S+: ([\d.]+)/.exec(text)?.[1]);
    expect(exposure).toBeLessThanOrEqual(EXPOSURE_MAX[unit] ?? 0);
  });
});
