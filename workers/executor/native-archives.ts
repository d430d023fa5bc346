/** The byte sequences that cross the native boundary beside the structs. Pure, and little-endian x86/arm. */
import { OMITTED, meaningOf } from './native-structs.js';
import type { BoxFile, SourceFile, StepSpec } from './sandbox.js';

const RECORD_HEADER_BYTES = 16; // u32 path_bytes, u32 mode or reason, u64 content_bytes
const PATH_BYTES_MAX = 4_096;

/** What goes before a file's content. */
export function archiveHeader({ path, mode, content }: SourceFile): Buffer {
  const pathBytes = Buffer.from(withoutNul(path));
  const header = Buffer.alloc(RECORD_HEADER_BYTES);
  header.writeUInt32LE(pathBytes.length, 0);
  header.writeUInt32LE(mode, 4);
  header.writeBigUInt64LE(BigInt(Buffer.isBuffer(content) ? content.length : content.bytes), 8);
  return Buffer.concat([header, pathBytes]);
}

export function encodeFiles(files: readonly BoxFile[]): Buffer {
  return Buffer.concat(files.flatMap((file) => [archiveHeader(file), file.content]));
}

export interface StepStrings {
  readonly strings: Buffer;
  readonly argvCount: number;
  readonly envCount: number;
}

export function encodeStrings(step: Pick<StepSpec, 'argv' | 'env' | 'cwd'>): StepStrings {
  const env = Object.entries(step.env).map(([name, value]) => `${name}=${value}`);
  const strings = encodeList([step.cwd, ...step.argv, ...env]);
  return { strings, argvCount: step.argv.length, envCount: env.length };
}

/** Each string with its NUL. */
export function encodeList(texts: readonly string[]): Buffer {
  return Buffer.from(texts.map((text) => `${withoutNul(text)}\0`).join(''));
}

/** A NUL would end the string in C, and what follows would become the next one. */
function withoutNul(text: string): string {
  if (text.includes('\0')) throw new RangeError('a string for the box contains NUL');
  return text;
}

/** Bytes of the archive from `at` on, at most as many as asked for. */
export type ReadAt = (at: number, bytes: number) => Buffer;

export interface CollectedList {
  readonly files: { path: string; at: number; bytes: number }[];
  readonly omitted: { path: string; reason: string }[];
}

/** Where the contents lie in an archive; they themselves are not read. */
export function decodeCollected(read: ReadAt, archiveBytes: number): CollectedList {
  const list: CollectedList = { files: [], omitted: [] };
  for (let at = 0; at < archiveBytes;) {
    const header = exactly(read, at, RECORD_HEADER_BYTES);
    const pathBytes = header.readUInt32LE(0);
    const reason = header.readUInt32LE(4);
    const bytes = Number(header.readBigUInt64LE(8));
    at += RECORD_HEADER_BYTES;
    if (pathBytes > PATH_BYTES_MAX) throw new RangeError('not an archive');
    if (pathBytes + bytes > archiveBytes - at) throw new RangeError('archive cut short');
    const path = exactly(read, at, pathBytes).toString();
    at += pathBytes;
    if (reason === 0) list.files.push({ path, at, bytes });
    else list.omitted.push({ path, reason: meaningOf(OMITTED, reason, 'reason of omission') });
    at += bytes;
  }
  return list;
}

function exactly(read: ReadAt, at: number, bytes: number): Buffer {
  const got = read(at, bytes);
  if (got.length !== bytes) throw new RangeError('archive cut short');
  return got;
}
