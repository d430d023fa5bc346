/** A box for the time of one function; its step is cancelled when the signal says so. */
import type { BoxOpener } from './box-ahead.js';
import type { Box, BoxSpec } from './sandbox.js';

/** The supervisor cancels a step that runs; one that is only about to run is caught a moment later. */
const CANCEL_AGAIN_MS = 50;

export function cancelOnAbort(box: Box, signal: AbortSignal): () => void {
  let timer: NodeJS.Timeout | undefined;
  const cancel = (): void => {
    box.cancel();
    timer = setInterval(() => {
      box.cancel();
    }, CANCEL_AGAIN_MS);
  };
  if (signal.aborted) cancel();
  else signal.addEventListener('abort', cancel, { once: true });
  return () => {
    signal.removeEventListener('abort', cancel);
    clearInterval(timer);
  };
}

/**
 * A step ends when all of its processes are dead, so what is left of the box may be taken away meanwhile; after
 * anything unusual it is waited for.
 */
export async function withBox<T>(
  boxes: BoxOpener,
  spec: BoxSpec,
  signal: AbortSignal,
  use: (box: Box) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  const box = await boxes.openBox(spec);
  const stopCancelling = cancelOnAbort(box, signal);
  let ended = false;
  try {
    const result = await use(box);
    ended = !signal.aborted;
    return result;
  } finally {
    stopCancelling();
    const closed = box.close();
    // Its core goes to somebody else then.
    if (!ended || spec.alone === true) await closed;
  }
}
