/** An overview in words. Rates are what came between two of them. */
import type { ExecutorReport, Overview } from '../contract/overview.js';
import type { Style } from './style.js';
import { table } from './terminal.js';

export interface Snapshot {
  readonly overview: Overview;
  readonly executors: readonly ExecutorReport[];
}

const MIB = 1024 * 1024;
const BAR_CELLS = 20;
const TENANTS_MAX = 10;

// What tenants and executors are called reaches a terminal: nothing in it may steer that.
const plainName = (name: string): string => name.replace(/[^\x20-\x7e]/g, '?');

function bar(used: number, all: number): string {
  const filled = all === 0 ? 0 : Math.min(BAR_CELLS, Math.round((used / all) * BAR_CELLS));
  return `[${'#'.repeat(filled)}${'.'.repeat(BAR_CELLS - filled)}]`;
}

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

/** A restarted executor begins at zero again. */
const grown = (now: number, before: number): number => (now >= before ? now - before : now);

function headText({ overview, executors }: Snapshot, style: Style): string {
  const { pools, redis } = overview;
  const slots = sum(pools.map((pool) => pool.slots));
  const inflight = sum(pools.map((pool) => pool.inflight));
  const backlog = sum(pools.map((pool) => pool.backlog));
  const { live, draining } = overview.executors;
  const bound = redis.memoryBytesMax === 0 ? '' : ` of ${(redis.memoryBytesMax / MIB).toFixed(0)}`;
  const count = `${inflight}/${slots}`;
  return [
    `slots ${slots === 0 ? style.bad(count) : style.bold(count)} ${bar(inflight, slots)}`,
    `backlog ${style.bold(String(backlog))}`,
    `executors ${live === 0 ? style.bad('0') : live}${draining === 0 ? '' : `, ${draining} draining`}`,
    `load ${executors.map(({ load, cpus }) => `${load.toFixed(1)}/${cpus}`).join(' ') || '-'}`,
    `redis ${(redis.memoryBytes / MIB).toFixed(1)}${bound} MiB`,
  ].join('   ');
}

function countsText(title: string, now: Record<string, number>, before: Record<string, number>) {
  const rows = Object.entries(now)
    .sort(([, a], [, b]) => b - a)
    .map(([name, count]) => [
      plainName(name),
      `+${grown(count, before[name] ?? 0)}`,
      String(count),
    ]);
  return table([title, 'NOW', 'TOTAL'], rows);
}

/** The slowest first, by what they took lately, else altogether. */
function stagesText(now: Overview, before: Overview | null): string {
  const rows = Object.entries(now.totals.stages).map(([name, total]) => {
    const past = before?.totals.stages[name] ?? { count: 0, seconds: 0 };
    const count = total.count - past.count;
    const lately =
      before === null || count <= 0 ? 0 : ((total.seconds - past.seconds) / count) * 1e3;
    const overall = total.count === 0 ? 0 : (total.seconds / total.count) * 1e3;
    return { name, lately, overall };
  });
  rows.sort((a, b) => b.lately - a.lately || b.overall - a.overall);
  return table(
    ['STAGE', 'NOW MS', 'MEAN MS'],
    rows.map(({ name, lately, overall }) => [
      plainName(name),
      lately > 0 ? lately.toFixed(2) : '-',
      overall.toFixed(2),
    ]),
  );
}

function poolsText({ pools }: Overview): string {
  const rows = pools.map((each) => [
    plainName(each.pool),
    ...[each.inflight, each.slots, each.backlog, each.delayed, each.executors].map(String),
  ]);
  return table(['POOL', 'BUSY', 'SLOTS', 'BACKLOG', 'DELAYED', 'EXECUTORS'], rows);
}

function tenantsText({ tenants }: Overview): string {
  if (tenants.length === 0) return 'No tenant has anything waiting or running.';
  const rows = tenants
    .slice(0, TENANTS_MAX)
    .map(({ id, name, weight, backlog, running }) => [
      plainName(name ?? id),
      String(running),
      String(backlog),
      String(weight ?? '-'),
    ]);
  const more = tenants.length > TENANTS_MAX ? `\nand ${tenants.length - TENANTS_MAX} more` : '';
  return table(['TENANT', 'RUNNING', 'BACKLOG', 'WEIGHT'], rows) + more;
}

function executorsText(executors: readonly ExecutorReport[]): string {
  const rows = executors.map((each) => [
    plainName(each.id),
    plainName(each.pool),
    `${each.busySlots}/${each.slots}`,
    `${each.load.toFixed(1)}/${each.cpus}`,
    plainName(each.version),
    each.draining ? 'draining' : 'takes jobs',
    plainName(each.images.join(',')),
  ]);
  return table(['EXECUTOR', 'POOL', 'BUSY', 'LOAD', 'VERSION', 'STATE', 'IMAGES'], rows);
}

export function overviewText(now: Snapshot, before: Snapshot | null, style: Style): string {
  const { totals } = now.overview;
  const past = before?.overview.totals ?? totals;
  return [
    headText(now, style),
    poolsText(now.overview),
    tenantsText(now.overview),
    countsText('OUTCOME', totals.outcomes, past.outcomes),
    countsText('RUN', totals.runs, past.runs),
    stagesText(now.overview, before?.overview ?? null),
    executorsText(now.executors),
  ].join('\n\n');
}
