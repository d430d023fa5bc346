/** The run command of a language and its environment, before the job's own is laid over the base's. */
import { BASE_ENV, runArgv, type Language } from '../../services/contract/languages.js';
import type { Limits } from '../../services/contract/limits.js';
import type { StepSpec } from './sandbox.js';

export function languageRun(
  language: Language,
  limits: Readonly<Limits>,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Pick<StepSpec, 'argv' | 'env'> {
  return {
    argv: runArgv(language, limits, args),
    env: { ...BASE_ENV, ...language.env, ...language.runEnv?.(limits), ...env },
  };
}
