/** When more may be written to a reader. One that takes nothing for too long is cut off, never buffered for. */
import type { Writable } from 'node:stream';

const STALLED_MS = 30_000;

export function createRoom(to: Writable, stalledMs = STALLED_MS): () => Promise<void> {
  return () =>
    new Promise((resolve, reject) => {
      if (to.destroyed) {
        reject(new Error('the reader has gone'));
        return;
      }
      if (!to.writableNeedDrain) {
        resolve();
        return;
      }
      const timer = setTimeout(() => to.destroy(), stalledMs);
      const settle = (): void => {
        clearTimeout(timer);
        to.off('drain', settle);
        to.off('close', settle);
        if (to.destroyed) reject(new Error('the reader has gone, or takes nothing'));
        else resolve();
      };
      to.on('drain', settle);
      to.on('close', settle);
    });
}
