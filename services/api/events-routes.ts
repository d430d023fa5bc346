/** GET /v1/jobs/{id}/events: what a job writes, as server-sent events, from wherever the reader has got to. */
import type { Response } from 'express';
import { z } from 'zod';
import type { Position } from '../contract/control.js';
import type { Sink } from '../platform/follower.js';
import type { Streams } from '../platform/streams.js';
import { idParams } from './jobs-routes.js';
import { invalidRequest } from './problems.js';
import { createRoom } from './room.js';
import { route, type Route } from './route.js';

/** Keeps proxies from taking a quiet stream for a dead one. */
const KEEP_ALIVE_MS = 15_000;

const HEADERS = {
  'Content-Type': 'text/event-stream',
  'Cache-Control': 'no-store',
  // nginx would collect events until its buffer is full.
  'X-Accel-Buffering': 'no',
};

const POSITION = /^(\d{1,9})\.(\d{1,9})\.(\d{1,15})\.(\d{1,15})$/;

export function parseEventId(text: string): Position | null {
  const numbers = POSITION.exec(text)?.slice(1).map(Number);
  if (numbers === undefined) return null;
  const [run = 0, step = 0, stdout = 0, stderr = 0] = numbers;
  return { run, step, stdout, stderr };
}

function eventId({ run, step, stdout, stderr }: Position): string {
  return `${run}.${step}.${stdout}.${stderr}`;
}

function startOf(header: string | string[] | undefined): Position | null {
  if (header === undefined || header === '') return null;
  const position = typeof header === 'string' ? parseEventId(header) : null;
  if (position !== null) return position;
  const message = 'must be <run>.<step>.<outOffset>.<errOffset>';
  throw invalidRequest([{ path: 'Last-Event-ID', message }]);
}

/** Headers go out with the first event: until then the request can still be refused. */
function createEventSink(response: Response): Sink {
  const room = createRoom(response);

  function write(event: string, data: unknown, at: Position | null): void {
    if (response.destroyed) return;
    if (!response.headersSent) {
      response.writeHead(200, HEADERS);
      response.flushHeaders();
    }
    const id = at === null ? '' : `id: ${eventId(at)}\n`;
    response.write(`${id}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  return {
    state: (state) => write('state', state, null),
    step: ({ step, name }, at) =>
      write('state', { status: 'running', run: at.run, step, name }, at),
    output: (stream, offset, data, at) => write(stream, { data, offset }, at),
    test: (test) => write('test', test, null),
    finished(job, at) {
      write('finished', job, at);
      response.end();
    },
    end() {
      if (response.headersSent) response.end();
      else response.destroy();
    },
    room,
  };
}

export function createEventsRoutes({ streams }: { readonly streams: Streams }): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/jobs/{id}/events',
      operationId: 'followJob',
      summary:
        'Server-sent events: state, stdout, stderr (base64 and offset), test, finished. From the start, or ' +
        'from where Last-Event-ID (<run>.<step>.<outOffset>.<errOffset>) says.',
      params: idParams,
      responses: {
        200: {
          description: 'Events, until the job has ended.',
          schema: z.string(),
          mediaType: 'text/event-stream',
        },
      },
      async open({ tenantId, params, bindJob }, { request, response }) {
        bindJob(params.id);
        const from = startOf(request.headers['last-event-id']);
        const following = await streams.follow(
          tenantId,
          params.id,
          from,
          createEventSink(response),
        );
        const timer = setInterval(() => {
          if (!response.writableEnded) response.write(': still there\n\n');
        }, KEEP_ALIVE_MS);
        const leave = (): void => {
          clearInterval(timer);
          following.close();
        };
        if (response.destroyed || response.writableEnded) leave();
        else response.once('close', leave);
      },
    }),
  ];
}
