/**
 * The languages of images that lie on `base` and are built on demand (infra/images, `mayfly images build`).
 * Grouped by who uses them together; docs/languages.md says why and what each image takes.
 */
import type { Language } from './languages.js';
import type { LimitDefaults, Limits } from './limits.js';

const MIB = 1024 * 1024;

const COMPILER_LIMIT_DEFAULTS: LimitDefaults = {
  cpuTimeMs: 20_000,
  wallTimeMs: 40_000,
  memoryBytes: 1_024 * MIB,
  diskBytes: 256 * MIB,
  fileBytes: 128 * MIB,
};

const mib = (bytes: number): number => Math.floor(bytes / MIB);

/**
 * The JVM beside its heap wants room for itself: compiled code, classes, threads. The serial collector has no
 * threads of its own and starts fastest; deep recursion is the client's choice, as it is for C.
 */
function javaFlags(limits: Readonly<Limits>): string[] {
  const heapMib = Math.max(8, Math.floor(mib(limits.memoryBytes) * 0.75) - 64);
  const stackMib = Math.max(1, mib(limits.stackBytes));
  return ['-XX:+UseSerialGC', '-Xshare:auto', `-Xmx${heapMib}m`, `-Xss${stackMib}m`];
}

/** A collector that knows the limit works harder near it, instead of being killed with garbage in hand. */
function goEnv(limits: Readonly<Limits>): Record<string, string> {
  return { GOMEMLIMIT: `${Math.floor(limits.memoryBytes * 0.9)}` };
}

/** Numerical libraries start a thread for each CPU of the host; a box has its own number. */
function threadsEnv(limits: Readonly<Limits>): Record<string, string> {
  const threads = String(Math.ceil(limits.cpus));
  return { OMP_NUM_THREADS: threads, OPENBLAS_NUM_THREADS: threads };
}

export const DERIVED_LANGUAGES = {
  'python-data': {
    title: 'Python 3 with numpy, pandas, matplotlib, scipy, sympy, Pillow',
    image: 'python-data',
    sourceFile: 'main.py',
    compile: null,
    runArgv: () => ['python3', 'main.py'],
    env: {
      PYTHONDONTWRITEBYTECODE: '1',
      MPLBACKEND: 'Agg',
      MPLCONFIGDIR: '/var/lib/mayfly/matplotlib',
    },
    runEnv: threadsEnv,
    limitDefaults: { cpuTimeMs: 10_000, wallTimeMs: 20_000, memoryBytes: 512 * MIB },
    package: 'python3',
    versionArgv: ['python3', '--version'],
  },
  typescript: {
    title: 'TypeScript (tsc, Node.js)',
    image: 'scripting',
    sourceFile: 'main.ts',
    compile: {
      argvBeforeArgs: [
        'node',
        '/usr/lib/node_modules/typescript/lib/tsc.js',
        ...['--target', 'es2022', '--module', 'commonjs', '--strict', '--skipLibCheck'],
        ...['--typeRoots', '/usr/lib/node_modules/@types', '--types', 'node'],
      ],
      argvAfterArgs: ['main.ts'],
      limitDefaults: COMPILER_LIMIT_DEFAULTS,
    },
    runArgv: (limits) => [
      'node',
      `--max-old-space-size=${Math.max(8, Math.floor(mib(limits.memoryBytes) * 0.6))}`,
      'main.js',
    ],
    env: {},
    limitDefaults: { memoryBytes: 512 * MIB },
    package: 'typescript',
    versionArgv: ['node', '/usr/lib/node_modules/typescript/lib/tsc.js', '--version'],
  },
  ruby: {
    title: 'Ruby',
    image: 'scripting',
    sourceFile: 'main.rb',
    compile: null,
    runArgv: () => ['ruby', 'main.rb'],
    env: {},
    limitDefaults: {},
    package: 'ruby3.1',
    versionArgv: ['ruby', '--version'],
  },
  php: {
    title: 'PHP',
    image: 'scripting',
    sourceFile: 'main.php',
    compile: null,
    runArgv: () => ['php', '-d', 'memory_limit=-1', 'main.php'],
    env: {},
    limitDefaults: {},
    package: 'php8.2-cli',
    versionArgv: ['php', '--version'],
  },
  perl: {
    title: 'Perl',
    image: 'scripting',
    sourceFile: 'main.pl',
    compile: null,
    runArgv: () => ['perl', 'main.pl'],
    env: {},
    limitDefaults: {},
    package: 'perl',
    versionArgv: ['perl', '--version'],
  },
  lua: {
    title: 'Lua 5.4',
    image: 'scripting',
    sourceFile: 'main.lua',
    compile: null,
    runArgv: () => ['lua5.4', 'main.lua'],
    env: {},
    limitDefaults: {},
    package: 'lua5.4',
    versionArgv: ['lua5.4', '-v'],
  },
  r: {
    title: 'R',
    image: 'scripting',
    sourceFile: 'main.R',
    compile: null,
    runArgv: () => ['Rscript', '--vanilla', 'main.R'],
    env: {},
    limitDefaults: {},
    package: 'r-base-core',
    versionArgv: ['Rscript', '--version'],
  },
  sqlite: {
    title: 'SQL (SQLite)',
    image: 'scripting',
    sourceFile: 'main.sql',
    compile: null,
    runArgv: () => ['sqlite3', '-batch', '-bail', ':memory:', '.read main.sql'],
    env: {},
    limitDefaults: {},
    package: 'sqlite3',
    versionArgv: ['sqlite3', '--version'],
  },
  java: {
    title: 'Java 17',
    image: 'jvm',
    sourceFile: 'Main.java',
    compile: {
      argvBeforeArgs: [
        'javac',
        ...['-J-XX:+UseSerialGC', '-J-XX:TieredStopAtLevel=1', '-J-Xmx512m'],
        ...['-J-XX:SharedArchiveFile=/usr/lib/jvm/javac.jsa', '-J-Xshare:auto'],
        ...['-encoding', 'UTF-8'],
      ],
      argvAfterArgs: ['Main.java'],
      limitDefaults: COMPILER_LIMIT_DEFAULTS,
    },
    runArgv: (limits) => ['java', ...javaFlags(limits), 'Main'],
    env: {},
    limitDefaults: { memoryBytes: 512 * MIB },
    package: 'openjdk-17-jdk-headless',
    versionArgv: ['java', '--version'],
  },
  go: {
    title: 'Go',
    image: 'compiled',
    sourceFile: 'main.go',
    compile: {
      argvBeforeArgs: ['go', 'build', '-o', 'main'],
      argvAfterArgs: ['main.go'],
      limitDefaults: COMPILER_LIMIT_DEFAULTS,
    },
    runArgv: () => ['./main'],
    env: { GOCACHE: '/tmp/go-cache', GOFLAGS: '-buildvcs=false', GO111MODULE: 'auto' },
    runEnv: goEnv,
    limitDefaults: {},
    package: 'golang-1.19-go',
    versionArgv: ['go', 'version'],
  },
  rust: {
    title: 'Rust',
    image: 'compiled',
    sourceFile: 'main.rs',
    compile: {
      argvBeforeArgs: ['rustc', '--edition', '2021', '-C', 'opt-level=2', '-o', 'main'],
      argvAfterArgs: ['main.rs'],
      limitDefaults: COMPILER_LIMIT_DEFAULTS,
    },
    runArgv: () => ['./main'],
    env: {},
    limitDefaults: {},
    package: 'rustc',
    versionArgv: ['rustc', '--version'],
  },
  pascal: {
    title: 'Pascal (Free Pascal)',
    image: 'compiled',
    sourceFile: 'main.pas',
    compile: {
      argvBeforeArgs: ['fpc', '-O2', '-l-', '-v0ew', '-omain'],
      argvAfterArgs: ['main.pas'],
      limitDefaults: COMPILER_LIMIT_DEFAULTS,
    },
    runArgv: () => ['./main'],
    env: {},
    limitDefaults: {},
    package: 'fp-compiler-3.2.2',
    versionArgv: ['fpc', '-iV'],
  },
  csharp: {
    title: 'C# (Mono)',
    image: 'compiled',
    sourceFile: 'main.cs',
    compile: {
      argvBeforeArgs: ['mcs', '-optimize+', '-out:main.exe'],
      argvAfterArgs: ['main.cs'],
      limitDefaults: COMPILER_LIMIT_DEFAULTS,
    },
    runArgv: () => ['mono', 'main.exe'],
    env: {},
    limitDefaults: {},
    package: 'mono-mcs',
    versionArgv: ['mono', '--version'],
  },
  haskell: {
    title: 'Haskell (GHC)',
    image: 'functional',
    sourceFile: 'main.hs',
    compile: {
      argvBeforeArgs: ['ghc', '-O', '-v0', '-o', 'main'],
      argvAfterArgs: ['main.hs'],
      limitDefaults: COMPILER_LIMIT_DEFAULTS,
    },
    runArgv: () => ['./main'],
    env: {},
    limitDefaults: {},
    package: 'ghc',
    versionArgv: ['ghc', '--version'],
  },
  ocaml: {
    title: 'OCaml',
    image: 'functional',
    sourceFile: 'main.ml',
    compile: {
      argvBeforeArgs: ['ocamlopt', '-O3', '-o', 'main', 'unix.cmxa', 'str.cmxa'],
      argvAfterArgs: ['main.ml'],
      limitDefaults: COMPILER_LIMIT_DEFAULTS,
    },
    runArgv: () => ['./main'],
    env: {},
    limitDefaults: {},
    package: 'ocaml-nox',
    versionArgv: ['ocamlopt', '-version'],
  },
} as const satisfies Record<string, Language>;
