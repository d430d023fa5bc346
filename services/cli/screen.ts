/** A terminal that a view has to itself, until q or Ctrl-C; it looks as before afterwards. */
import type { ReadStream } from 'node:tty';

const ESC = '\u001b[';
// Another page, no cursor, and lines that are cut instead of wrapped; and all of it back.
const ENTER = `${ESC}?1049h${ESC}?25l${ESC}?7l`;
const LEAVE = `${ESC}?7h${ESC}?25h${ESC}?1049l`;
const HOME = `${ESC}H`;
const CLEAR_LINE = `${ESC}K`;
const CLEAR_BELOW = `${ESC}J`;
/** q, Ctrl-C and Ctrl-D: in raw mode these are keys like others. */
const QUIT_KEYS = ['q', 'Q', '\u0003', '\u0004'];
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export interface Screen {
  /** Aborted when the user wants to leave. */
  readonly left: AbortSignal;
  draw(text: string): void;
  close(): void;
}

export interface ScreenOptions {
  readonly write: (text: string) => void;
  readonly input: ReadStream;
  /** Lines there are; what is below is not shown. */
  readonly rows: () => number;
}

export function openScreen({ write, input, rows }: ScreenOptions): Screen {
  const leave = new AbortController();
  const quit = (): void => leave.abort();
  const onData = (keys: Buffer): void => {
    const pressed = keys.toString('latin1');
    if (QUIT_KEYS.some((key) => pressed.includes(key))) quit();
  };
  if (input.isTTY) input.setRawMode(true);
  input.on('data', onData).on('end', quit);
  for (const signal of SIGNALS) process.on(signal, quit);
  write(ENTER);

  return {
    left: leave.signal,
    draw(text) {
      const lines = text.split('\n').slice(0, Math.max(1, rows()));
      write(HOME + lines.map((line) => `${line}${CLEAR_LINE}`).join('\r\n') + CLEAR_BELOW);
    },
    close() {
      write(LEAVE);
      for (const signal of SIGNALS) process.off(signal, quit);
      input.off('data', onData).off('end', quit);
      if (input.isTTY) input.setRawMode(false);
      input.pause();
    },
  };
}
