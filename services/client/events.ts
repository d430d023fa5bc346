/** Server-sent events of a job, from the start or from where a broken connection left off. */
import type { Job } from '../contract/job.js';
import { ConnectionError } from './errors.js';
import type { CallOptions, Send } from './transport.js';

/** As the service sends it; `data` is what the event's JSON says. */
export interface JobEvent {
  readonly id: string | null;
  readonly event: string;
  readonly data: unknown;
}

/** What a stream wrote, decoded. */
export interface OutputEvent {
  readonly stream: 'stdout' | 'stderr';
  readonly bytes: Uint8Array;
}

interface Frame {
  readonly id: string | null;
  readonly event: string;
  readonly data: string;
}

/** The frames of an event stream (WHATWG HTML, 9.2.6), as far as a service sends them. */
export async function* framesOf(body: AsyncIterable<Uint8Array>): AsyncGenerator<Frame> {
  const decoder = new TextDecoder();
  let pending = '';
  for await (const chunk of body) {
    pending += decoder.decode(chunk, { stream: true });
    const blocks = pending.split(/\r?\n\r?\n/);
    pending = blocks.pop() ?? '';
    for (const block of blocks) {
      const frame = frameOf(block);
      if (frame !== null) yield frame;
    }
  }
}

function frameOf(block: string): Frame | null {
  let id: string | null = null;
  let event = 'message';
  const data: string[] = [];
  for (const line of block.split(/\r?\n/)) {
    const match = /^(\w+): ?(.*)$/.exec(line);
    if (match === null) continue;
    const [, field, value = ''] = match;
    if (field === 'id') id = value;
    else if (field === 'event') event = value;
    else if (field === 'data') data.push(value);
  }
  return data.length === 0 ? null : { id, event, data: data.join('\n') };
}

const RECONNECT_MS = 500;
/** In a row, without an event in between. */
const BREAKS_MAX = 5;

export async function* jobEvents(
  send: Send,
  jobId: string,
  { signal }: CallOptions,
): AsyncGenerator<JobEvent> {
  let lastId: string | null = null;
  for (let breaks = 0; ; breaks += 1) {
    const response = await send({
      method: 'GET',
      path: `/v1/jobs/${encodeURIComponent(jobId)}/events`,
      headers: {
        accept: 'text/event-stream',
        ...(lastId === null ? {} : { 'last-event-id': lastId }),
      },
      repeatable: true,
      signal,
    });
    try {
      for await (const frame of framesOf(response.body ?? emptyBody())) {
        breaks = 0;
        lastId = frame.id ?? lastId;
        yield { id: frame.id, event: frame.event, data: JSON.parse(frame.data) };
        if (frame.event === 'finished') return;
      }
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof SyntaxError || breaks >= BREAKS_MAX) throw error;
    }
    if (breaks >= BREAKS_MAX) throw new ConnectionError(response.url, 'the stream keeps breaking');
    await new Promise((resolve) => setTimeout(resolve, RECONNECT_MS));
  }
}

function emptyBody(): AsyncIterable<Uint8Array> {
  return new ReadableStream<Uint8Array>({ start: (controller) => controller.close() });
}

/** The output in an event, or null when it is about something else. */
export function outputOf({ event, data }: JobEvent): OutputEvent | null {
  if (event !== 'stdout' && event !== 'stderr') return null;
  const encoded = (data as { data?: unknown }).data;
  if (typeof encoded !== 'string') return null;
  return { stream: event, bytes: Uint8Array.from(atob(encoded), (char) => char.charCodeAt(0)) };
}

export type { Job };
