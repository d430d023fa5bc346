/** A reader of GET /v1/jobs/{id}/events, as a client would write one. */
export interface ServerEvent {
  readonly id: string | null;
  readonly event: string;
  readonly data: Record<string, unknown>;
  /** When it arrived. */
  readonly atMs: number;
}

export interface EventReader {
  readonly status: number;
  readonly events: ServerEvent[];
  /** What the stream has brought, put together by offsets that have to fit. */
  text(stream: 'stdout' | 'stderr'): string;
  /** Resolves when the stream has ended. */
  readonly ended: Promise<void>;
  until(what: (event: ServerEvent) => boolean): Promise<ServerEvent>;
  close(): void;
}

export interface EventTarget {
  readonly url: string;
  readonly apiKey: string;
}

function parseEvent(block: string): ServerEvent | null {
  const fields = new Map<string, string>();
  for (const line of block.split('\n')) {
    const colon = line.indexOf(': ');
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 2));
  }
  const event = fields.get('event');
  if (event === undefined) return null; // a comment
  const data = JSON.parse(fields.get('data') ?? 'null') as Record<string, unknown>;
  return { id: fields.get('id') ?? null, event, data, atMs: performance.now() };
}

export async function readEvents(
  { url, apiKey }: EventTarget,
  jobId: string,
  lastEventId?: string,
): Promise<EventReader> {
  const controller = new AbortController();
  const response = await fetch(`${url}/v1/jobs/${jobId}/events`, {
    signal: controller.signal,
    headers: {
      authorization: `Bearer ${apiKey}`,
      ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
    },
  });
  const events: ServerEvent[] = [];
  const waiters = new Set<() => void>();

  async function read(): Promise<void> {
    let rest = '';
    const decoder = new TextDecoder();
    for await (const chunk of response.body ?? []) {
      rest += decoder.decode(chunk as Uint8Array, { stream: true });
      const blocks = rest.split('\n\n');
      rest = blocks.pop() ?? '';
      for (const block of blocks) {
        const event = parseEvent(block);
        if (event !== null) events.push(event);
      }
      for (const wake of waiters) wake();
    }
  }

  const ended = read().catch((error: unknown) => {
    if (!controller.signal.aborted) throw error;
  });
  return {
    status: response.status,
    events,
    ended,
    text(stream) {
      const pieces: Buffer[] = [];
      let offset: number | null = null;
      for (const { event, data } of events) {
        if (event !== stream) continue;
        const piece = Buffer.from(String(data['data']), 'base64');
        if (offset !== null && data['offset'] !== offset) {
          throw new Error(`offset ${String(data['offset'])} after ${offset}`);
        }
        offset = Number(data['offset']) + piece.length;
        pieces.push(piece);
      }
      return Buffer.concat(pieces).toString();
    },
    async until(what) {
      for (let from = 0; ;) {
        for (; from < events.length; from += 1) {
          const event = events[from];
          if (event !== undefined && what(event)) return event;
        }
        await Promise.race([
          new Promise<void>((resolve) => waiters.add(resolve)),
          ended.then(() => {
            if (from >= events.length) throw new Error('the stream ended before');
          }),
        ]);
      }
    },
    close: () => controller.abort(),
  };
}
