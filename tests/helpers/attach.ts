/** A client of the WebSocket /v1/jobs/{id}/attach. */
import { WebSocket } from 'ws';

export interface Attached {
  /** All that stdout and stderr have brought so far. */
  text(): string;
  /** Text frames, in their order. */
  readonly told: Record<string, unknown>[];
  type(text: string): void;
  send(frame: object | Buffer): void;
  /** Resolves when `what` is there, behind what a call before has found. */
  expect(what: string | RegExp, limitMs?: number): Promise<string>;
  readonly closed: Promise<number>;
  /** As a client that dies. */
  drop(): void;
}

export interface AttachTarget {
  readonly url: string;
  readonly apiKey: string;
}

export function attach({ url, apiKey }: AttachTarget, jobId: string): Promise<Attached> {
  const socket = new WebSocket(`${url.replace(/^http/, 'ws')}/v1/jobs/${jobId}/attach`, {
    headers: { authorization: `Bearer ${apiKey}` },
  });
  const told: Record<string, unknown>[] = [];
  const waiters = new Set<() => void>();
  let output = '';
  let seen = 0;
  socket.on('message', (data: Buffer, isBinary) => {
    if (isBinary) output += data.subarray(1).toString();
    else told.push(JSON.parse(data.toString()) as Record<string, unknown>);
    for (const wake of waiters) wake();
  });
  const closed = new Promise<number>((resolve) => {
    socket.on('close', (code) => resolve(code));
  });

  async function expectText(what: string | RegExp, limitMs = 10_000): Promise<string> {
    const until = Date.now() + limitMs;
    for (;;) {
      const rest = output.slice(seen);
      const at = typeof what === 'string' ? rest.indexOf(what) : rest.search(what);
      if (at >= 0) {
        const length = typeof what === 'string' ? what.length : (what.exec(rest)?.[0].length ?? 0);
        seen += at + length;
        return rest.slice(0, at + length);
      }
      if (Date.now() > until) throw new Error(`no ${String(what)} in ${JSON.stringify(rest)}`);
      let wake: () => void = () => undefined;
      await new Promise<void>((resolve) => {
        wake = resolve;
        waiters.add(wake);
        setTimeout(wake, 100);
      });
      waiters.delete(wake);
    }
  }

  const attached: Attached = {
    text: () => output,
    told,
    type: (text) => socket.send(Buffer.concat([Buffer.from([0]), Buffer.from(text)])),
    send: (frame) => socket.send(Buffer.isBuffer(frame) ? frame : JSON.stringify(frame)),
    expect: expectText,
    closed,
    drop: () => socket.terminate(),
  };
  return new Promise((resolve, reject) => {
    socket.once('open', () => resolve(attached));
    // `unexpected server response: 404` is how this client tells of a refusal.
    socket.once('error', reject);
  });
}
