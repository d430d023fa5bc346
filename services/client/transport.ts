/**
 * One request with its retries. What was refused before it did anything (429, 503) is sent again when the
 * service says so; what got no answer only if repeating it does no harm.
 */
import { ConnectionError, errorOf, MayflyError } from './errors.js';

export interface ClientOptions {
  /** Such as `http://127.0.0.1:8080`. */
  readonly url: string;
  readonly apiKey: string;
  /** Attempts after the first; 4 by default. */
  readonly retries?: number;
  /** No attempt waits longer than this, whatever the service asks for; 30 s by default. */
  readonly retryMsMax?: number;
  readonly fetch?: typeof fetch;
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface Call extends CallOptions {
  readonly method: string;
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array<ArrayBuffer>;
  /** Sending it twice is the same as sending it once. */
  readonly repeatable: boolean;
  /** Statuses that are answers although they are no successes. */
  readonly also?: readonly number[];
}

export type Send = (call: Call) => Promise<Response>;

const RETRIES = 4;
const RETRY_MS_FIRST = 200;
const RETRY_MS_MAX = 30_000;

function urlOf(base: string, { path, query = {} }: Call): string {
  const url = new URL(`${base.replace(/\/$/, '')}${path}`);
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) url.searchParams.set(name, String(value));
  }
  return url.href;
}

function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal?.reason instanceof Error ? signal.reason : new Error('aborted'));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, ms);
    if (signal?.aborted === true) stop();
    else signal?.addEventListener('abort', stop, { once: true });
  });
}

/** How long to wait before the next attempt; null: there is none. */
function delayOf(error: unknown, call: Call, attempt: number): number | null {
  // Full jitter: clients that were refused together do not come back together.
  const backOff = Math.random() * RETRY_MS_FIRST * 2 ** attempt;
  if (error instanceof MayflyError) {
    if (error.status !== 429 && error.status !== 503) return null;
    return Math.max(error.retryAfterMs ?? 0, backOff);
  }
  return error instanceof ConnectionError && call.repeatable ? backOff : null;
}

export function createTransport(options: ClientOptions): Send {
  const { url, apiKey, retries = RETRIES, retryMsMax = RETRY_MS_MAX } = options;
  const send = options.fetch ?? fetch;

  async function attemptOnce(call: Call): Promise<Response> {
    const target = urlOf(url, call);
    let response: Response;
    try {
      response = await send(target, {
        method: call.method,
        headers: { authorization: `Bearer ${apiKey}`, ...call.headers },
        ...(call.body === undefined ? {} : { body: call.body }),
        ...(call.signal === undefined ? {} : { signal: call.signal }),
      });
    } catch (error) {
      call.signal?.throwIfAborted();
      throw new ConnectionError(target, error);
    }
    if (response.ok || call.also?.includes(response.status) === true) return response;
    throw await errorOf(response);
  }

  return async function sendWithRetries(call) {
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await attemptOnce(call);
      } catch (error) {
        const delayMs = attempt < retries ? delayOf(error, call, attempt) : null;
        // Asked to wait longer than the caller wants to, the refusal is the answer.
        if (delayMs === null || delayMs > retryMsMax) throw error;
        await sleep(delayMs, call.signal);
      }
    }
  };
}
