/** A plot of shares as SVG text. */
export interface Share {
  readonly name: string;
  readonly weight: number;
  readonly lengthMs: number;
  readonly due: number;
  readonly had: number;
}

const SIZE = 480;
const MARGIN = 60;
const COLOURS = ['#1f77b4', '#2ca02c', '#ff7f0e', '#d62728', '#9467bd', '#8c564b'];

export function plotShares(shares: readonly Share[]): string {
  const largest = Math.max(...shares.flatMap(({ due, had }) => [due, had])) * 1.05;
  const at = (share: number): number => (share / largest) * SIZE;
  const x = (share: number): string => (MARGIN + at(share)).toFixed(1);
  const y = (share: number): string => (MARGIN + SIZE - at(share)).toFixed(1);
  const lengths = [...new Set(shares.map(({ lengthMs }) => lengthMs))].sort((a, b) => a - b);
  const colour = (lengthMs: number): string =>
    COLOURS[lengths.indexOf(lengthMs) % COLOURS.length] ?? '#000';
  const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
  const dots = shares.map(
    ({ name, weight, lengthMs, due, had }) =>
      `<circle cx="${x(due)}" cy="${y(had)}" r="3.5" fill="${colour(lengthMs)}" fill-opacity="0.6">` +
      `<title>${name}: weight ${weight}, tasks of ${lengthMs} ms, due ${percent(due)}, had ${percent(had)}</title></circle>`,
  );
  const legend = lengths.map(
    (lengthMs, i) =>
      `<text x="${MARGIN + 16}" y="${MARGIN + 20 + 18 * i}" fill="${colour(lengthMs)}">tasks of ${lengthMs} ms</text>`,
  );
  const edge = 2 * MARGIN + SIZE;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${edge} ${edge}" font-family="sans-serif" font-size="13">
<rect width="${edge}" height="${edge}" fill="#fff"/>
<path d="M${MARGIN} ${MARGIN}V${MARGIN + SIZE}H${MARGIN + SIZE}" fill="none" stroke="#000"/>
<path d="M${x(0)} ${y(0)}L${x(largest)} ${y(largest)}" stroke="#999" stroke-dasharray="4"/>
${dots.join('\n')}
${legend.join('\n')}
<text x="${MARGIN + SIZE / 2}" y="${edge - 16}" text-anchor="middle">share of the weights (to ${percent(largest)})</text>
<text x="20" y="${MARGIN + SIZE / 2}" text-anchor="middle" transform="rotate(-90 20 ${MARGIN + SIZE / 2})">share of slot time</text>
</svg>
`;
}
