/** What the demo runs, and how each has to end. */
import type { LanguageName } from '../../services/contract/languages.js';
import type { LimitsRequest } from '../../services/contract/limits.js';
import type { StepResult, StreamContent } from '../../services/contract/job.js';
import type { Outcome } from '../../services/contract/outcomes.js';

export interface DemoProgram {
  readonly title: string;
  readonly language: LanguageName;
  readonly source: string;
  readonly stdin?: string;
  readonly limits?: LimitsRequest;
  readonly outcomes: readonly Outcome[];
  /** What else has to hold; says what does not, or null. */
  readonly complaint?: (run: StepResult) => string | null;
}

const MIB = 1024 * 1024;
const PROCESSES = 16;

/** One for each language of the image that is always there: reads a name, greets it and computes something. */
const GREETINGS = {
  python: 'print(f"Hello {input()}, 6 * 7 = {6 * 7}")',
  c: `#include <stdio.h>
int main(void) {
    char name[32];
    if (scanf("%31s", name) != 1) return 1;
    printf("Hello %s, 6 * 7 = %d\\n", name, 6 * 7);
}`,
  cpp: `#include <iostream>
#include <string>
int main() {
    std::string name;
    std::cin >> name;
    std::cout << "Hello " << name << ", 6 * 7 = " << 6 * 7 << "\\n";
}`,
  javascript: `const name = require('fs').readFileSync(0, 'utf8').trim();
console.log(\`Hello \${name}, 6 * 7 = \${6 * 7}\`);`,
  bash: 'read -r name; echo "Hello $name, 6 * 7 = $((6 * 7))"',
} as const satisfies Partial<Record<LanguageName, string>>;

const greetings = (Object.keys(GREETINGS) as (keyof typeof GREETINGS)[]).map(
  (language): DemoProgram => {
    const greeting = `Hello ${language}, 6 * 7 = 42\n`;
    return {
      title: language,
      language,
      source: GREETINGS[language],
      stdin: `${language}\n`,
      outcomes: ['exited'],
      complaint: ({ exitCode, stdout }) =>
        exitCode === 0 && stdout === greeting ? null : 'did not greet',
    };
  },
);

const offenders: readonly DemoProgram[] = [
  {
    title: 'loops for ever',
    language: 'python',
    source: 'print("round and round", flush=True)\nwhile True: pass',
    limits: { cpuTimeMs: 1_000 },
    outcomes: ['cpu_limit'],
    complaint: ({ usage }) => (usage.cpuTimeMs >= 1_000 ? null : 'was killed too early'),
  },
  {
    title: 'eats memory',
    language: 'python',
    source: 'print("yum", flush=True)\nfood = []\nwhile True: food.append(bytearray(2 ** 20))',
    limits: { memoryBytes: 64 * MIB },
    outcomes: ['memory_limit'],
    complaint: ({ usage }) =>
      usage.memoryBytesPeak <= 64 * MIB ? null : 'had more memory than allowed',
  },
  {
    title: 'forks without end',
    language: 'python',
    source: `import os
print("be fruitful", flush=True)
while True:
    try: os.fork()
    except OSError: pass`,
    limits: { cpuTimeMs: 1_000, wallTimeMs: 3_000, processes: PROCESSES },
    outcomes: ['cpu_limit', 'wall_limit'],
    complaint: ({ usage }) =>
      usage.processesPeak <= PROCESSES ? null : `had ${usage.processesPeak} processes`,
  },
  {
    title: 'floods its output',
    language: 'python',
    source: 'while True: print("all work and no play makes Jack a dull boy")',
    limits: { outputBytes: MIB },
    outcomes: ['output_limit'],
    complaint: ({ stdout }) => (bytesOf(stdout) <= MIB ? null : 'had more output than allowed'),
  },
  {
    title: 'fills its disk',
    language: 'python',
    source: `print("here comes the data", flush=True)
with open("/tmp/data", "wb") as file:
    while True: file.write(bytes(2 ** 20))`,
    limits: { diskBytes: 16 * MIB },
    outcomes: ['disk_limit'],
    complaint: ({ usage }) =>
      usage.diskBytes <= 16 * MIB ? null : `had ${usage.diskBytes} bytes of files`,
  },
];

export const PROGRAMS: readonly DemoProgram[] = [...greetings, ...offenders];

/** Large output lies elsewhere. */
function bytesOf(stream: StreamContent | undefined): number {
  return typeof stream === 'object' ? stream.bytes : Buffer.byteLength(stream ?? '');
}
