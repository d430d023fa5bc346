/** Boxes one after the other, of which the next is made while one is in use. */
import type { Box, BoxSpec, Sandbox } from './sandbox.js';

export type BoxOpener = Pick<Sandbox, 'openBox'>;

export interface BoxAhead extends BoxOpener {
  /** What will be asked for next. */
  prepare(spec: BoxSpec): void;
  /** Takes away what was prepared in vain. */
  close(): Promise<void>;
}

interface Prepared {
  readonly spec: BoxSpec;
  readonly box: Promise<Box>;
}

export function createBoxAhead(sandbox: BoxOpener): BoxAhead {
  let next: Prepared | null = null;

  async function close(): Promise<void> {
    const unused = next;
    next = null;
    // One that could not be made is not there to be closed; whoever asks for another hears of it.
    await unused?.box.then(
      (box) => box.close(),
      () => undefined,
    );
  }

  return {
    async openBox(spec) {
      if (next !== null && isSame(next.spec, spec)) {
        const { box } = next;
        next = null;
        return await box;
      }
      void close();
      return await sandbox.openBox(spec);
    },
    prepare(spec) {
      if (next !== null) return;
      const box = sandbox.openBox(spec);
      box.catch(() => undefined);
      next = { spec, box };
    },
    close,
  };
}

function isSame(one: BoxSpec, other: BoxSpec): boolean {
  return (
    one.image === other.image &&
    one.layer === other.layer &&
    one.diskBytes === other.diskBytes &&
    one.files === other.files
  );
}
