/** `mayfly top`: what the installation is doing, once a second. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { executorListSchema, overviewSchema } from '../../contract/overview.js';
import { adminCall } from '../admin-client.js';
import { overviewText, type Snapshot } from '../overview-text.js';
import { openScreen } from '../screen.js';
import { styleOf } from '../style.js';
import { CliError, show, type OutputOptions, type Terminal } from '../terminal.js';

const REDRAW_MS = 1_000;
const ROWS_DEFAULT = 24;

async function look(terminal: Terminal): Promise<Snapshot> {
  const [overview, { executors }] = await Promise.all([
    adminCall(terminal, 'GET', '/overview', overviewSchema),
    adminCall(terminal, 'GET', '/executors', executorListSchema),
  ]);
  return { overview, executors };
}

/** What is there stays on the screen while the API does not answer, and is said to be old. */
async function watch(terminal: Terminal, first: Snapshot): Promise<void> {
  const style = styleOf(terminal);
  const screen = openScreen({
    write: terminal.write,
    input: process.stdin,
    rows: () => process.stdout.rows || ROWS_DEFAULT,
  });
  let now = first;
  let before: Snapshot | null = null;
  let trouble = '';
  try {
    for (;;) {
      const at = now.overview.at.slice(11, 19);
      const head = style.dim(`mayfly top   ${at} UTC   q quits`);
      screen.draw(`${head}${style.bad(trouble)}\n${overviewText(now, before, style)}`);
      await sleep(REDRAW_MS, undefined, { signal: screen.left }).catch(() => undefined);
      if (screen.left.aborted) break;
      try {
        const next = await look(terminal);
        [before, now, trouble] = [now, next, ''];
      } catch (error) {
        if (!(error instanceof CliError)) throw error;
        trouble = `   ${error.message.split('\n')[0] ?? ''}`;
      }
    }
  } finally {
    screen.close();
  }
}

export function addTopCommand(program: Command, terminal: Terminal): void {
  program
    .command('top')
    .description('Slots, backlog, tenants, outcomes and slow stages, once a second (operator).')
    .option('--json', 'one snapshot, for machines')
    .action(async (options: OutputOptions) => {
      const first = await look(terminal);
      if (options.json !== true && terminal.isTerminal === true) await watch(terminal, first);
      else show(terminal, options, first, overviewText(first, null, styleOf(terminal)));
    });
}
