/** What the checker says about one output. */
import { decodeContent, encodeContent } from '../../../services/contract/encoding.js';
import type { TestSpec } from '../../../services/contract/judge-spec.js';
import { checkOfEnding, type Check } from '../../../services/contract/judging.js';
import { withBox } from '../box-use.js';
import { readSlice } from '../collected-files.js';
import type { Box, Memory, Sandbox, SourceFile } from '../sandbox.js';
import { createCappedOutput } from './capped-output.js';
import { compare, type BuiltIn } from './compare.js';
import { checkWritten, runStep, type Program } from './program.js';

/** A checker as it is used: built in, or a program that is ready to run. */
export type Checker =
  | { readonly kind: 'built_in'; readonly spec: BuiltIn }
  | {
      readonly kind: 'program';
      readonly protocol: 'testlib' | 'domjudge';
      readonly program: Program;
    };

const ACCEPTED: Check = { verdict: 'accepted', message: '', score: 1 };
const CHUNK_BYTES = 65_536;
export const MESSAGE_BYTES_MAX = 1_024;

export async function checkOutput(
  sandbox: Sandbox,
  checker: Checker,
  test: TestSpec,
  output: Memory,
  signal: AbortSignal,
): Promise<Check> {
  if (checker.kind === 'program') return await runChecker(sandbox, checker, test, output, signal);
  if (test.expectedStdout === null) return ACCEPTED;
  const answer = decodeContent(test.expectedStdout);
  // Most outputs are right to the byte, which every checker accepts.
  if (output.bytes === answer.length && answer.length <= CHUNK_BYTES) {
    const { fd, bytes } = output;
    if (answer.equals(await readSlice({ fd, at: 0, bytes }))) return ACCEPTED;
  }
  return await compare(checker.spec, chunksOf(output), piecesOf(answer));
}

async function* piecesOf(buffer: Buffer): AsyncIterable<Buffer> {
  for (let at = 0; at < buffer.length; at += CHUNK_BYTES) {
    yield await Promise.resolve(buffer.subarray(at, at + CHUNK_BYTES));
  }
}

async function* chunksOf({ fd, bytes }: Memory): AsyncIterable<Buffer> {
  for (let at = 0; at < bytes;) {
    const chunk = await readSlice({ fd, at, bytes: Math.min(CHUNK_BYTES, bytes - at) });
    at += chunk.length;
    yield chunk;
  }
}

/** In a box of its own: the files lie in a directory that only this box has. */
const DIRECTORY = '/tmp/judge';
export const PATHS = {
  input: `${DIRECTORY}/input`,
  output: `${DIRECTORY}/output`,
  answer: `${DIRECTORY}/answer`,
  feedback: `${DIRECTORY}/feedback/`,
} as const;

async function runChecker(
  sandbox: Sandbox,
  { protocol, program }: Extract<Checker, { kind: 'program' }>,
  test: TestSpec,
  output: Memory,
  signal: AbortSignal,
): Promise<Check> {
  const input = decodeContent(test.stdin);
  const answer = decodeContent(test.expectedStdout ?? { content: '', encoding: 'utf8' });
  const files: SourceFile[] = [
    ...program.files,
    { path: PATHS.input, mode: 0o444, content: input },
    { path: PATHS.output, mode: 0o444, content: { fd: output.fd, at: 0, bytes: output.bytes } },
    { path: PATHS.answer, mode: 0o444, content: answer },
    { path: `${PATHS.feedback}.keep`, mode: 0o444, content: Buffer.alloc(0) },
  ];
  const { spec } = program;
  // Its own files are its own to limit; what it is given comes on top.
  const given = input.length + answer.length + output.bytes;
  const limits = { ...spec.limits, diskBytes: spec.limits.diskBytes + 2 * given };
  const paths =
    protocol === 'testlib'
      ? [PATHS.input, PATHS.output, PATHS.answer]
      : [PATHS.input, PATHS.answer, PATHS.feedback];
  const step = {
    ...runStep(spec, limits, [...paths, ...spec.args]),
    stdin: protocol === 'testlib' ? Buffer.alloc(0) : output,
    truncateOutput: true,
  };
  const packed = await sandbox.pack(files);
  const box = {
    image: spec.image,
    layer: program.layer,
    diskBytes: limits.diskBytes,
    files: limits.files,
  };
  try {
    return await withBox(sandbox, box, signal, async (open) => {
      const written = open.put(packed);
      const said = createCappedOutput(MESSAGE_BYTES_MAX);
      const ending = open.step(step, said.add);
      checkWritten(await written, files);
      const end = await ending;
      const feedback = protocol === 'domjudge' ? await feedbackOf(open, signal) : '';
      const message = feedback || textOf(said.bytesOf('stderr')) || textOf(said.bytesOf('stdout'));
      return checkOfEnding(protocol, end, message);
    });
  } finally {
    packed.memory.close();
  }
}

export async function feedbackOf(box: Box, signal: AbortSignal): Promise<string> {
  if (signal.aborted) return '';
  const patterns = [`${PATHS.feedback}judgemessage.txt`];
  const caps = { files: 1, fileBytes: MESSAGE_BYTES_MAX, totalBytes: MESSAGE_BYTES_MAX };
  const { files, memory } = await box.collect({ patterns, ...caps });
  try {
    const first = files[0];
    return first === undefined ? '' : textOf(await readSlice(first.content));
  } finally {
    memory.close();
  }
}

export function textOf(bytes: Buffer): string {
  const { content, encoding } = encodeContent(bytes);
  return encoding === 'utf8' ? content.trim() : bytes.toString('utf8').trim();
}
