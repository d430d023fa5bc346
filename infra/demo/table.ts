/** A table that is printed row by row: coloured on a terminal, plain elsewhere. */

export interface Column {
  readonly title: string;
  readonly width: number;
  readonly alignRight?: boolean;
}

export type Colour = 'red' | 'green' | 'dim' | 'bold';

const CODES: Record<Colour, number> = { bold: 1, dim: 2, red: 31, green: 32 };

export interface Table {
  header(): void;
  row(cells: readonly string[], colours?: Readonly<Record<number, Colour>>): void;
}

export function createTable(
  columns: readonly Column[],
  print: (line: string) => void,
  coloured: boolean,
): Table {
  const paint = (text: string, colour: Colour | undefined): string =>
    coloured && colour !== undefined ? `\u001b[${CODES[colour]}m${text}\u001b[0m` : text;

  function line(cells: readonly string[], colourOf: (column: number) => Colour | undefined): void {
    const parts = columns.map(({ width, alignRight }, index) => {
      const text = fit(cells[index] ?? '', width);
      return paint(
        alignRight === true ? text.padStart(width) : text.padEnd(width),
        colourOf(index),
      );
    });
    print(parts.join('  ').trimEnd());
  }

  return {
    header() {
      line(
        columns.map(({ title }) => title),
        () => 'bold',
      );
      line(
        columns.map(({ width }) => '─'.repeat(width)),
        () => 'dim',
      );
    },
    row(cells, colours = {}) {
      line(cells, (column) => colours[column]);
    },
  };
}

/** Text of a program is shown as text: one line, no control characters, no longer than the column. */
function fit(text: string, width: number): string {
  const shown = text.replace(/\p{C}/gu, '·');
  return shown.length > width ? `${shown.slice(0, width - 1)}…` : shown;
}
