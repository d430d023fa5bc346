/** What a call can fail with. */
import type { Problem } from '../contract/problems.js';

/** The service refused: `problem` says why, and `retryAfterMs` when to come back, where it said so. */
export class MayflyError extends Error {
  readonly status: number;
  readonly problem: Problem | null;
  readonly retryAfterMs: number | null;

  constructor(status: number, problem: Problem | null, retryAfterMs: number | null) {
    const { title, detail } = problem ?? { title: `HTTP status ${status}`, detail: '' };
    super(detail === '' ? title : detail);
    this.name = 'MayflyError';
    this.status = status;
    this.problem = problem;
    this.retryAfterMs = retryAfterMs;
  }

  get code(): Problem['code'] | null {
    return this.problem?.code ?? null;
  }
}

/** Nobody answered, or the connection broke. */
export class ConnectionError extends Error {
  constructor(url: string, cause: unknown) {
    const why = cause instanceof Error ? cause.message : String(cause);
    super(`${new URL(url).origin} cannot be reached: ${why}`, { cause });
    this.name = 'ConnectionError';
  }
}

function isProblem(body: unknown): body is Problem {
  return typeof body === 'object' && body !== null && 'code' in body && 'title' in body;
}

/** `Retry-After` in either of its forms. */
export function retryAfterMs(header: string | null, nowMs: number): number | null {
  if (header === null) return null;
  if (/^\d+$/.test(header)) return Number(header) * 1_000;
  const at = Date.parse(header);
  return Number.isNaN(at) ? null : Math.max(0, at - nowMs);
}

export async function errorOf(response: Response): Promise<MayflyError> {
  const body: unknown = await response.json().catch(() => null);
  const after = retryAfterMs(response.headers.get('retry-after'), Date.now());
  return new MayflyError(response.status, isProblem(body) ? body : null, after);
}
