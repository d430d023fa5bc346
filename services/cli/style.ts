/** Colours, where a person looks at a terminal that has them (https://no-color.org). */
import type { Terminal } from './terminal.js';

export interface Style {
  readonly good: (text: string) => string;
  readonly bad: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly bold: (text: string) => string;
}

const plain = (text: string): string => text;
const coded =
  (code: number) =>
  (text: string): string =>
    `\u001b[${code}m${text}\u001b[0m`;

export function styleOf({ env, isTerminal = false }: Terminal): Style {
  const colours = isTerminal && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb';
  if (!colours) return { good: plain, bad: plain, dim: plain, bold: plain };
  return { good: coded(32), bad: coded(31), dim: coded(2), bold: coded(1) };
}
