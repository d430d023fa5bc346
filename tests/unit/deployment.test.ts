// The executor's privileges are named once for systemd and once for containers: they must be the same.
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { nativeProducts } from '../../workers/executor/native-products.js';
import { executorCapabilities } from '../helpers/confinement.js';

const root = join(import.meta.dirname, '..', '..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const compose = read('docker-compose.yml');

describe('deployment', () => {
  it('gives the executor the same capabilities by systemd and by containers', () => {
    const unit = executorCapabilities('systemd');
    expect(unit).toContain('SYS_ADMIN');
    expect(unit.length).toBeLessThan(10);
    expect([...executorCapabilities('compose')].sort()).toEqual([...unit].sort());
  });

  it('cannot be privileged anywhere, and every image has a version', () => {
    expect(compose).not.toMatch(/privileged:\s*true/);
    const images = [...compose.matchAll(/image: (\S+)/g)].map((match) => match[1] ?? '');
    const foreign = images.filter((image) => !image.startsWith('mayfly-'));
    expect(foreign.length).toBeGreaterThan(3);
    expect(foreign.filter((image) => !/:v?\d+\.\d+\.\d+/.test(image))).toEqual([]);
  });

  it('builds the image with the libraries that the bootstrap installs, and ships every program', () => {
    const dockerfile = read('infra/Dockerfile');
    const libraries = /^packages=\((.*)\)$/m
      .exec(read('infra/bootstrap'))?.[1]
      ?.match(/\S+-dev\b/g);
    expect(libraries?.length).toBeGreaterThan(2);
    for (const library of libraries ?? []) expect(dockerfile).toContain(` ${library}`);
    const { libraryPath, ...programs } = nativeProducts(null);
    expect(dockerfile).toContain(`native/build/${basename(libraryPath)}`);
    for (const program of Object.values(programs)) expect(basename(program)).toMatch(/^mayfly/);
    expect(dockerfile).toContain('native/build/mayfly* native/build/');
  });

  it('lets the executor keep layers and blobs, and the API alone own the store of blobs', () => {
    const executor = compose.slice(compose.indexOf('\n  executor:'));
    expect(executor).toContain('- executor-state:/var/lib/mayfly\n');
    expect(executor).not.toMatch(/:\/var\/lib\/mayfly:ro/);
    const unit = read('infra/systemd/mayfly-executor.service');
    expect(unit).toMatch(/^StateDirectory=mayfly$/m);
    for (const deployment of [executor, unit]) {
      expect(deployment).toMatch(/MAYFLY_API_URL/);
      expect(deployment).toMatch(/MAYFLY_INTERNAL_KEY_FILE/);
    }
    for (const api of [compose, read('infra/systemd/mayfly-api.service')]) {
      expect(api).toMatch(/MAYFLY_INTERNAL_KEY_FILE/);
    }
  });
});
