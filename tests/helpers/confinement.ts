/** The supervisor with no more than a deployment gives it, instead of what a test has as root. */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nativeProducts } from '../../workers/executor/native-products.js';

export type Deployment = 'systemd' | 'compose';

const root = join(import.meta.dirname, '..', '..');

/** What the unit says: the values of each setting, in order. */
function unitSetting(name: string): readonly string[] {
  const unit = readFileSync(join(root, 'infra/systemd/mayfly-executor.service'), 'utf8');
  const values = [...unit.matchAll(new RegExp(`^${name}=(.*)$`, 'gm'))].map(
    ([, value = '']) => value,
  );
  if (values.length === 0) throw new Error(`the executor's unit has no ${name}`);
  return values;
}

export function executorCapabilities(deployment: Deployment): readonly string[] {
  if (deployment === 'systemd') {
    const [line = ''] = unitSetting('CapabilityBoundingSet');
    return line.split(' ').map((name) => name.replace('CAP_', ''));
  }
  const compose = readFileSync(join(root, 'docker-compose.yml'), 'utf8');
  const executor = compose.slice(compose.indexOf('\n  executor:'));
  const list = /cap_add:\n((?: +- .*\n)+)/.exec(executor)?.[1] ?? '';
  return [...list.matchAll(/- (\w+)/g)].map((match) => match[1] ?? '');
}

/** The system calls of one of systemd's sets, as this host's systemd has them; sets are in sets. */
function callsOf(name: string): readonly string[] {
  if (!name.startsWith('@')) return [name];
  const listed = execFileSync('systemd-analyze', ['syscall-filter', name], { encoding: 'utf8' });
  const members = listed.split('\n').slice(1);
  return members
    .map((line) => line.trim())
    .filter((line) => /^@?\w/.test(line))
    .flatMap(callsOf);
}

/** Of socket(2), by the kernel's numbers. */
const FAMILIES: Readonly<Record<string, number>> = {
  AF_UNIX: 1,
  AF_INET: 2,
  AF_INET6: 10,
  AF_NETLINK: 16,
};

/** The unit's filters, by the program that installs them as systemd does (native/tests/confine.c). */
function unitFilters(): string {
  for (const [setting, value] of [
    ['SystemCallErrorNumber', 'EPERM'],
    ['SystemCallArchitectures', 'native'],
    ['RestrictRealtime', 'yes'],
    ['NoNewPrivileges', 'yes'],
  ] as const) {
    if (unitSetting(setting).join() !== value)
      throw new Error(`confine.c knows only ${setting}=${value}`);
  }
  const filters = unitSetting('SystemCallFilter');
  if (!filters.every((filter) => filter.startsWith('~'))) throw new Error('confine.c only denies');
  const denied = filters.flatMap((filter) => filter.slice(1).split(' ')).flatMap(callsOf);
  const [families = ''] = unitSetting('RestrictAddressFamilies');
  const numbers = families.split(' ').map((family) => {
    const number = FAMILIES[family];
    if (number === undefined) throw new Error(`no number is known for ${family}`);
    return number;
  });
  const program = join(root, 'native/build/tests/confine');
  return `${program} ${denied.join(',')} ${numbers.sort((x, y) => x - y).join(',')}`;
}

/**
 * A program to be started as supervisor: it gives away all other capabilities and every way to gain one.
 * As systemd does for ProtectSystem=strict, all but the control groups is read-only to it, and by the unit's filters it
 * and its boxes are denied system calls.
 */
export function confinedSupervisor(deployment: Deployment): string {
  const path = join(mkdtempSync(join(tmpdir(), 'mayfly-confined-')), 'supervisor');
  const kept = executorCapabilities(deployment).map((name) => `+${name.toLowerCase()}`);
  const confined = [
    'exec /usr/bin/setpriv --inh-caps=-all --no-new-privs',
    `--bounding-set=-all,${kept.join(',')}`,
    deployment === 'systemd' ? unitFilters() : '',
    `${nativeProducts(null).supervisorPath} "$@"`,
  ].join(' ');
  const readOnly = 'mount -o remount,bind,ro / && mount -t tmpfs -o ro tmpfs /home';
  writeFileSync(
    path,
    `#!/bin/bash
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
exec unshare --mount --propagation slave bash -c '${readOnly} && ${confined.replaceAll("'", '"')}' -- "$@"
`,
  );
  chmodSync(path, 0o755);
  return path;
}
