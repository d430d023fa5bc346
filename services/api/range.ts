/** `Range: bytes=…` of a request (RFC 9110). One range, or else the whole. */
import type { Request } from 'express';
import type { ByteRange } from '../platform/blob-store.js';
import { ApiProblem } from './problems.js';

export interface Portion {
  readonly status: 200 | 206;
  /** Undefined: the whole. */
  readonly range: ByteRange | undefined;
  readonly headers: Readonly<Record<string, string>>;
}

export function rangeOf(request: Request, bytes: number): Portion {
  const ranges = request.range(bytes, { combine: true });
  if (ranges === -1) {
    throw new ApiProblem('range_not_satisfiable', `There are ${bytes} bytes.`);
  }
  const only =
    Array.isArray(ranges) && ranges.type === 'bytes' && ranges.length === 1 ? ranges[0] : undefined;
  if (only === undefined) {
    return { status: 200, range: undefined, headers: { 'Content-Length': String(bytes) } };
  }
  return {
    status: 206,
    range: { first: only.start, last: only.end },
    headers: {
      'Content-Length': String(only.end - only.start + 1),
      'Content-Range': `bytes ${only.start}-${only.end}/${bytes}`,
    },
  };
}
