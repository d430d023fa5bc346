import { expect, it } from 'vitest';
import { apiAttacks } from './api.attacks.js';
import { exhaust } from './exhaust.attacks.js';
import { getOut } from './get-out.attacks.js';
import { lies } from './lie.attacks.js';
import { publishedHoles } from './published-holes.attacks.js';
import { reachOthers } from './reach-others.attacks.js';

it('there are at least 120 attacks, each named for what it cannot do, no two alike', () => {
  const tables = { getOut, reachOthers, exhaust, lies, apiAttacks, publishedHoles };
  const titles = Object.values(tables).flatMap((table) => table.map(({ title }) => title));
  expect(titles.filter((title) => !/(^|: )cannot /.test(title))).toEqual([]);
  expect(new Set(titles).size).toBe(titles.length);
  expect(titles.length).toBeGreaterThanOrEqual(120);
  const counts = Object.entries(tables).map(([name, { length }]) => `${name} ${length}`);
  console.info(`attacks with controls, in tables: ${titles.length} (${counts.join(', ')})`);
});
