/**
 * The built-in checkers: output against answer, as both stream by. Nothing is kept but a token or a line of bounded
 * length, and for unordered lines a digest of each kind of line of the answer. Pure.
 */
import { createHash } from 'node:crypto';
import type { CheckerSpec } from '../../../services/contract/judge-spec.js';
import type { Check } from '../../../services/contract/judging.js';

export type BuiltIn = Exclude<CheckerSpec, { kind: 'program' }>;
export type Chunks = AsyncIterable<Buffer>;

/** What a message shows of a token or line. */
const SHOWN_BYTES = 40;
/** A unit (token or line) may be this long to be compared as text; beyond, its digest is. */
const UNIT_BYTES_MAX = 1024 * 1024;

const ACCEPTED: Check = { verdict: 'accepted', message: '', score: 1 };

function wrong(message: string): Check {
  return { verdict: 'wrong_answer', message, score: 0 };
}

export async function compare(checker: BuiltIn, output: Chunks, answer: Chunks): Promise<Check> {
  switch (checker.kind) {
    case 'exact':
      return await compareBytes(output, answer);
    case 'lines':
      return await compareUnits('line', lines(output), lines(answer), same);
    case 'tokens':
      return await compareUnits('token', tokens(output), tokens(answer), same);
    case 'floats':
      return await compareUnits('token', tokens(output), tokens(answer), (mine, theirs) =>
        close(mine, theirs, checker),
      );
    case 'unordered_lines':
      return await compareUnordered(lines(output), lines(answer));
  }
}

async function compareBytes(output: Chunks, answer: Chunks): Promise<Check> {
  const mine = output[Symbol.asyncIterator]();
  const theirs = answer[Symbol.asyncIterator]();
  let left = Buffer.alloc(0);
  let right = Buffer.alloc(0);
  for (let at = 0; ;) {
    if (left.length === 0) left = await nextChunk(mine);
    if (right.length === 0) right = await nextChunk(theirs);
    const length = Math.min(left.length, right.length);
    if (length === 0) {
      if (left.length === right.length) return ACCEPTED;
      return wrong(`the output is too ${left.length > 0 ? 'long' : 'short'}: ${at} bytes agree`);
    }
    if (!left.subarray(0, length).equals(right.subarray(0, length))) {
      let same = 0;
      while (left[same] === right[same]) same += 1;
      return wrong(`byte ${at + same + 1} differs`);
    }
    at += length;
    left = left.subarray(length);
    right = right.subarray(length);
  }
}

/** Empty at the end, and only then. */
async function nextChunk(chunks: AsyncIterator<Buffer>): Promise<Buffer<ArrayBuffer>> {
  for (;;) {
    const next = await chunks.next();
    if (next.done === true) return Buffer.alloc(0);
    if (next.value.length > 0) return next.value as Buffer<ArrayBuffer>;
  }
}

type Units = AsyncIterable<string[]>;

/** The batches of two sequences, unit by unit. */
async function compareUnits(
  what: 'line' | 'token',
  output: Units,
  answer: Units,
  agree: (mine: string, theirs: string) => boolean,
): Promise<Check> {
  const mine = reader(output);
  const theirs = reader(answer);
  for (let number = 1; ; number += 1) {
    const left = mine.has() ? mine.take() : await mine.more();
    const right = theirs.has() ? theirs.take() : await theirs.more();
    if (left === null && right === null) return ACCEPTED;
    if (left === null)
      return wrong(`the output ends before ${what} ${number}, ${shown(right ?? '')}`);
    if (right === null)
      return wrong(`${what} ${number} is ${shown(left)} beyond the end of the answer`);
    if (!agree(left, right)) {
      return wrong(`${what} ${number} is ${shown(left)}, not ${shown(right)}`);
    }
  }
}

interface UnitReader {
  has(): boolean;
  take(): string;
  more(): Promise<string | null>;
}

function reader(units: Units): UnitReader {
  const batches = units[Symbol.asyncIterator]();
  let batch: string[] = [];
  let at = 0;
  const has = (): boolean => at < batch.length;
  const take = (): string => batch[at++] ?? '';
  return {
    has,
    take,
    async more() {
      while (!has()) {
        const next = await batches.next();
        if (next.done === true) return null;
        batch = next.value;
        at = 0;
      }
      return take();
    },
  };
}

function shown(unit: string): string {
  const text = Buffer.from(unit, 'latin1').toString('utf8');
  return JSON.stringify(text.length > SHOWN_BYTES ? `${text.slice(0, SHOWN_BYTES)}…` : text);
}

function same(mine: string, theirs: string): boolean {
  return mine === theirs;
}

const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;

/** Both within either tolerance; what is no number has to be the same. NaN and infinity are no numbers here. */
function close(
  mine: string,
  theirs: string,
  { absolute, relative }: { readonly absolute: number; readonly relative: number },
): boolean {
  if (mine === theirs) return true;
  if (!NUMBER.test(mine) || !NUMBER.test(theirs)) return false;
  const left = Number(mine);
  const right = Number(theirs);
  if (!Number.isFinite(left) || !Number.isFinite(right)) return false;
  const off = Math.abs(left - right);
  return off <= absolute || off <= relative * Math.abs(right);
}

/** A multiset: each line of the answer has to be met exactly as often. */
async function compareUnordered(output: Units, answer: Units): Promise<Check> {
  const wanted = new Map<string, number>();
  for await (const batch of answer) {
    for (const line of batch) wanted.set(digest(line), (wanted.get(digest(line)) ?? 0) + 1);
  }
  for await (const batch of output) {
    for (const line of batch) {
      const key = digest(line);
      const left = wanted.get(key) ?? 0;
      if (left === 0) return wrong(`the line ${shown(line)} is one too many`);
      if (left === 1) wanted.delete(key);
      else wanted.set(key, left - 1);
    }
  }
  const missing = wanted.keys().next();
  return missing.done === true ? ACCEPTED : wrong('a line of the answer is missing');
}

const DIGEST_BYTES = 32;

function digest(line: string): string {
  if (line.length <= DIGEST_BYTES) return line;
  return createHash('sha256').update(line, 'latin1').digest('hex') + String(line.length);
}

/** A piece of a unit that goes on: digested once it is longer than is kept. */
interface Partial {
  text: string;
  hash: ReturnType<typeof createHash> | null;
  bytes: number;
}

function extend(partial: Partial, text: string): void {
  partial.bytes += text.length;
  if (partial.hash === null && partial.bytes <= UNIT_BYTES_MAX) {
    partial.text += text;
    return;
  }
  partial.hash ??= createHash('sha256').update(partial.text, 'latin1');
  partial.hash.update(text, 'latin1');
  partial.text = partial.text.slice(0, SHOWN_BYTES);
}

function finish(partial: Partial): string {
  const { text, hash, bytes } = partial;
  partial.text = '';
  partial.hash = null;
  partial.bytes = 0;
  return hash === null ? text : `${text}… (${bytes} bytes, ${hash.digest('hex')})`;
}

/** Words between blanks: bytes as latin1, so that no encoding can make two of them equal. */
async function* tokens(chunks: Chunks): Units {
  const partial: Partial = { text: '', hash: null, bytes: 0 };
  for await (const chunk of chunks) {
    const batch: string[] = [];
    const parts = chunk.toString('latin1').split(/[ \t\n\v\f\r]+/);
    for (const [index, part] of parts.entries()) {
      if (index > 0 && partial.bytes > 0) batch.push(finish(partial));
      if (part !== '') extend(partial, part);
    }
    yield batch;
  }
  if (partial.bytes > 0) yield [finish(partial)];
}

/** Lines without blanks at their ends, and without empty ones at the end. */
async function* lines(chunks: Chunks): Units {
  const partial: Partial = { text: '', hash: null, bytes: 0 };
  let blanks = '';
  let empty = 0;
  const add = (part: string): void => {
    const solid = part.replace(/[ \t\v\f\r]+$/, '');
    if (solid === '') {
      // Blanks may turn out to be in the middle; more of them than is kept are told apart by number only.
      blanks = blanks.length + part.length <= UNIT_BYTES_MAX ? blanks + part : blanks;
      return;
    }
    extend(partial, blanks + solid);
    blanks = part.slice(solid.length);
  };
  const end = (batch: string[]): void => {
    blanks = '';
    if (partial.bytes === 0) {
      empty += 1;
      return;
    }
    for (; empty > 0; empty -= 1) batch.push('');
    batch.push(finish(partial));
  };
  for await (const chunk of chunks) {
    const batch: string[] = [];
    for (const [index, part] of chunk.toString('latin1').split('\n').entries()) {
      if (index > 0) end(batch);
      add(part);
    }
    yield batch;
  }
  const last: string[] = [];
  if (partial.bytes > 0) end(last);
  yield last;
}
