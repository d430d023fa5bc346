/** Steps in boxes of their own that are joined by pipes and run at the same time. */
import { withBox } from './box-use.js';
import type { Box, BoxSpec, Packed, Pipe, Sandbox, SourceFile, StepEnd } from './sandbox.js';
import type { OnOutput, StepSpec } from './sandbox.js';

export interface Member {
  readonly box: BoxSpec;
  readonly files: readonly SourceFile[];
  readonly step: StepSpec;
  readonly onOutput: OnOutput;
}

/** Between members, by their places. */
export interface Joint extends Pipe {
  readonly writer: number;
  readonly reader: number;
}

export interface JoinedRun {
  readonly sandbox: Sandbox;
  readonly members: readonly Member[];
  readonly joints: readonly Joint[];
  readonly signal: AbortSignal;
  /** What the box of a member said to its files; throws where that is the end of it. */
  readonly written: (member: number, end: Awaited<ReturnType<Box['put']>>) => void;
  /** One has ended; the others may be stopped for it. */
  readonly ended?: (member: number, end: StepEnd, boxes: readonly Box[]) => void;
}

/** `use` is what is done with the boxes once all steps have ended. */
export async function runJoined<T>(
  run: JoinedRun,
  use: (ends: readonly StepEnd[], boxes: readonly Box[]) => Promise<T>,
): Promise<T> {
  const { sandbox, members, signal } = run;
  const packed = await packAll(sandbox, members);
  try {
    return await withAll([]);
  } finally {
    for (const { memory } of packed) memory.close();
  }

  async function withAll(boxes: readonly Box[]): Promise<T> {
    const next = members[boxes.length];
    if (next !== undefined) {
      return await withBox(sandbox, next.box, signal, (box) => withAll([...boxes, box]));
    }
    return await use(await runAll(run, boxes, packed), boxes);
  }
}

async function packAll(sandbox: Sandbox, members: readonly Member[]): Promise<readonly Packed[]> {
  const packed: Packed[] = [];
  try {
    for (const { files } of members) packed.push(await sandbox.pack(files));
    return packed;
  } catch (error) {
    for (const { memory } of packed) memory.close();
    throw error;
  }
}

/** Nobody's clock runs while another's files are still being written. */
async function runAll(
  { members, joints, written, ended }: JoinedRun,
  boxes: readonly Box[],
  packed: readonly Packed[],
): Promise<readonly StepEnd[]> {
  const puts = await Promise.all(boxes.map((box, place) => box.put(of(packed, place))));
  for (const [place, end] of puts.entries()) written(place, end);
  for (const joint of joints) of(boxes, joint.writer).pipeTo(of(boxes, joint.reader), joint);
  return await Promise.all(
    members.map(async ({ step, onOutput }, place) => {
      const end = await of(boxes, place).step(step, onOutput);
      ended?.(place, end, boxes);
      return end;
    }),
  );
}

function of<T>(list: readonly T[], place: number): T {
  const item = list[place];
  if (item === undefined) throw new Error(`there is no member ${place}`);
  return item;
}
