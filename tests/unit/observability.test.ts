// Dashboards, alerts and runbooks name only what the code has. That they return data, a long test shows.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { METRICS } from '../../services/platform/metrics.js';

const root = join(import.meta.dirname, '..', '..');
const read = (...path: string[]): string => readFileSync(join(root, ...path), 'utf8');
const dashboards = readdirSync(join(root, 'infra/observability/dashboards'));
const rules = read('infra/observability/rules.yml');
const alerts = [...rules.matchAll(/- alert: (\w+)/g)].map((match) => match[1] ?? '');

function unknownMetrics(text: string): string[] {
  const named = [...text.matchAll(/\bmayfly_\w+/g)].map(([name]) => name);
  expect(named.length).toBeGreaterThan(0);
  return named.filter((name) => {
    const base = name.replace(/_(bucket|sum|count)$/, '');
    const isHistogram =
      base in METRICS && METRICS[base as keyof typeof METRICS].kind === 'histogram';
    return isHistogram ? name === base : !(name in METRICS);
  });
}

describe('dashboards and alerts', () => {
  it.each(dashboards)('%s asks for metrics that exist, as they exist', (file) => {
    const text = read('infra/observability/dashboards', file);
    expect(unknownMetrics(text)).toEqual([]);
    const { panels } = JSON.parse(text) as { panels: { type: string; description?: string }[] };
    expect(panels.filter(({ type, description }) => type !== 'row' && !description)).toEqual([]);
  });

  it('the rules ask for metrics that exist', () => {
    expect(unknownMetrics(rules)).toEqual([]);
  });

  it('every metric is on a dashboard', () => {
    const shown = dashboards.map((file) => read('infra/observability/dashboards', file)).join();
    expect(
      Object.keys(METRICS).filter((name) => !shown.includes(name) && name !== 'mayfly_redis_up'),
    ).toEqual([]);
  });

  it('every alert has a section of its name, and every section an alert', () => {
    const sections = [...read('docs/alerts.md').matchAll(/^## (\w+)$/gm)].map((match) => match[1]);
    expect(sections).toEqual(alerts);
    for (const name of alerts) expect(rules).toContain(`docs/alerts.md#${name.toLowerCase()}`);
  });

  it('no label is an id', () => {
    const labels = new Set(Object.values(METRICS).flatMap(({ labels: names }) => [...names]));
    expect(
      [...labels].filter((label) => /job|task|run$|request|executor|box$/.test(label)),
    ).toEqual([]);
  });
});
