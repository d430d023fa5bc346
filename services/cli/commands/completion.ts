/** `mayfly completion`: what a shell needs to complete commands and options. From the commands themselves. */
import type { Command } from 'commander';
import { LANGUAGE_NAMES } from '../../contract/languages.js';
import type { Terminal } from '../terminal.js';

function wordsOf(command: Command): string {
  const names = command.commands.map((each) => each.name());
  const flags = command.options.flatMap(({ long }) => (long === undefined ? [] : [long]));
  return [...names, ...flags, '--help'].join(' ');
}

/** One line for each command that something may follow: its path, and what may. */
function cases(command: Command, path: string): string[] {
  return [
    `    '${path}') words='${wordsOf(command)}' ;;`,
    ...command.commands.flatMap((each) => cases(each, `${path} ${each.name()}`)),
  ];
}

export function bashCompletion(program: Command): string {
  return `# bash completion of mayfly: source <(mayfly completion)
_mayfly() {
  local word="\${COMP_WORDS[COMP_CWORD]}" path='mayfly' words='' each
  for each in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$each" in -*) ;; *) path+=" $each" ;; esac
  done
  if [[ \${COMP_WORDS[COMP_CWORD-1]} == --language ]]; then
    mapfile -t COMPREPLY < <(compgen -W '${LANGUAGE_NAMES.join(' ')}' -- "$word")
    return
  fi
  case "$path" in
${cases(program, 'mayfly').join('\n')}
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -o default -F _mayfly mayfly
`;
}

export function addCompletionCommand(program: Command, terminal: Terminal): void {
  program
    .command('completion')
    .description('For bash: source <(mayfly completion)')
    .action(() => {
      terminal.write(bashCompletion(program));
    });
}
