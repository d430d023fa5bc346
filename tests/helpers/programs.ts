/** The programs under tests/fixtures/programs: C is compiled on this host, static, once per process. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const directory = fileURLToPath(new URL('../fixtures/programs/', import.meta.url));
const compiled = new Map<string, Buffer>();

export function programSource(file: string): string {
  return readFileSync(join(directory, file), 'utf8');
}

export function compileProgram(name: string): Buffer {
  const known = compiled.get(name);
  if (known !== undefined) return known;
  const scratch = mkdtempSync(join(tmpdir(), 'mayfly-test-cc-'));
  try {
    const product = join(scratch, name);
    const source = join(directory, `${name}.c`);
    const flags = ['-std=gnu17', '-O1', '-static', '-pthread', '-s'];
    execFileSync('gcc', [...flags, '-o', product, source]);
    const program = readFileSync(product);
    compiled.set(name, program);
    return program;
  } finally {
    rmSync(scratch, { recursive: true });
  }
}
