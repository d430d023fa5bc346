/** The supervisor with no more than a deployment gives it, instead of what a test has as root. */
import { chmodSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nativeProducts } from '../../workers/executor/native-products.js';

export type Deployment = 'systemd' | 'compose';

const root = join(import.meta.dirname, '..', '..');

export function executorCapabilities(deployment: Deployment): readonly string[] {
  if (deployment === 'systemd') {
    const unit = readFileSync(join(root, 'infra/systemd/mayfly-executor.service'), 'utf8');
    const line = /^CapabilityBoundingSet=(.+)$/m.exec(unit)?.[1] ?? '';
    return line.split(' ').map((name) => name.replace('CAP_', ''));
  }
  const compose = readFileSync(join(root, 'docker-compose.yml'), 'utf8');
  const executor = compose.slice(compose.indexOf('\n  executor:'));
  const list = /cap_add:\n((?: +- .*\n)+)/.exec(executor)?.[1] ?? '';
  return [...list.matchAll(/- (\w+)/g)].map((match) => match[1] ?? '');
}

/**
 * A program to be started as supervisor: it gives away all other capabilities and every way to gain one.
 * As systemd does for ProtectSystem=strict, all but the control groups is read-only to it.
 */
export function confinedSupervisor(deployment: Deployment): string {
  const path = join(mkdtempSync(join(tmpdir(), 'mayfly-confined-')), 'supervisor');
  const kept = executorCapabilities(deployment).map((name) => `+${name.toLowerCase()}`);
  const confined = [
    'exec /usr/bin/setpriv --inh-caps=-all --no-new-privs',
    `--bounding-set=-all,${kept.join(',')}`,
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
