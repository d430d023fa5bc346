/** The processes of the service under a benchmark. */
import type { TestStack } from '../helpers/stack.js';
import { descendants } from './machine.js';

/** The pids of the service; the supervisor and its box maker are the executor's first descendants. */
export function servicePids({ stack }: TestStack): Record<string, number> {
  const pid = (name: 'api' | 'executor' | 'redis'): number => {
    const running = stack[name].pid();
    if (running === null) throw new Error(`${name} does not run`);
    return running;
  };
  const [supervisor, maker] = descendants(pid('executor'));
  if (supervisor === undefined || maker === undefined) throw new Error('no supervisor runs');
  return { api: pid('api'), executor: pid('executor'), redis: pid('redis'), supervisor, maker };
}
