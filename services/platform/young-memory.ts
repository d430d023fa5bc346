/**
 * Gives back the memory of chunks that have passed. They come from sockets, 64 KiB each, outside of the heap, and are
 * garbage at once; but V8 looks for young garbage when its own young heap is full, to which a chunk adds next to
 * nothing: until then a transfer of 50 MiB would hold some 40 of them. A young collection takes about a millisecond.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

type Collect = (options: { type: 'minor' }) => void;

/** More than that is not left lying. */
const BYTES = 4 * 1024 * 1024;

let collect: Collect | null = null;
let passed = 0;

/** To be told of every chunk of a transfer. */
export function chunkPassed(bytes: number): void {
  passed += bytes;
  if (passed < BYTES) return;
  passed = 0;
  collect ??= exposeCollect();
  collect({ type: 'minor' });
}

/** The same function that `node --expose-gc` has as a global. */
function exposeCollect(): Collect {
  setFlagsFromString('--expose-gc');
  const exposed = runInNewContext('gc') as Collect;
  setFlagsFromString('--no-expose-gc');
  return exposed;
}
