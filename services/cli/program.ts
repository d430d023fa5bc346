/** `mayfly`: what a tenant and an operator do from a shell. Each group of commands is a file of its own. */
import { Command, CommanderError } from 'commander';
import { addCompletionCommand } from './commands/completion.js';
import { addImageCommands } from './commands/images.js';
import { addJobCommands } from './commands/jobs.js';
import { addJudgeCommand } from './commands/judge.js';
import { addKeyCommands } from './commands/keys.js';
import { addTenantCommands } from './commands/tenants.js';
import { addTopCommand } from './commands/top.js';
import { CliError, type Terminal } from './terminal.js';

const FAILED = 1;

export function createProgram(terminal: Terminal): Command {
  const program = new Command('mayfly')
    .description('Runs programs on Mayfly, and operates it.')
    .addHelpText(
      'after',
      '\nEnvironment:\n' +
        '  MAYFLY_API_KEY    your key\n' +
        '  MAYFLY_URL        where the API listens (default http://127.0.0.1:8080)\n' +
        "  MAYFLY_ADMIN_KEY  the operator's key, as the API was started with\n" +
        '  MAYFLY_ADMIN_URL  where the admin API listens (default http://127.0.0.1:8081)',
    )
    .configureOutput({ writeOut: terminal.write, writeErr: terminal.writeError })
    .exitOverride()
    .showHelpAfterError('(add --help for what there is)');
  addJobCommands(program, terminal);
  addJudgeCommand(program, terminal);
  addTenantCommands(program, terminal);
  addKeyCommands(program, terminal);
  addImageCommands(program, terminal);
  addTopCommand(program, terminal);
  addCompletionCommand(program, terminal);
  return program;
}

/** Returns the exit code. */
export async function run(argv: readonly string[], terminal: Terminal): Promise<number> {
  try {
    await createProgram(terminal).parseAsync(argv, { from: 'user' });
    return 0;
  } catch (error) {
    // Commander has said what it had to say.
    if (error instanceof CommanderError) return error.exitCode;
    const text = error instanceof CliError ? error.message : String(error);
    terminal.writeError(`mayfly: ${text}\n`);
    return FAILED;
  }
}
