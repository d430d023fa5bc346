/** What commands write to and read from, and how things look there. */

export interface Terminal {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly write: (text: string | Uint8Array) => void;
  readonly writeError: (text: string | Uint8Array) => void;
  /** Whether a person looks at it. */
  readonly isTerminal?: boolean;
  /** What the process ends with when the command has done its work. */
  readonly exit?: (code: number) => void;
}

/** Something the user can do something about; the message says what. */
export class CliError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'CliError';
  }
}

export interface OutputOptions {
  readonly json?: boolean;
}

/** The answer as it is for machines, or as text for people. */
export function show(
  terminal: Terminal,
  options: OutputOptions,
  value: unknown,
  text: string,
): void {
  terminal.write(options.json === true ? `${JSON.stringify(value, null, 2)}\n` : `${text}\n`);
}

/** Columns as wide as they have to be. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, ...rows];
  const widths = head.map((_, column) =>
    Math.max(...lines.map((line) => (line[column] ?? '').length)),
  );
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
