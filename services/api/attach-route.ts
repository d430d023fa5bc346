/**
 * GET /v1/jobs/{id}/attach: a WebSocket to a running job. Binary frames carry a stream: the first byte is
 * its number (0 stdin, 1 stdout, 2 stderr), the rest is data. Text frames are JSON: what else happens, and what
 * else is asked for.
 */
import { WebSocketServer, type RawData, type WebSocket } from 'ws';
import { z } from 'zod';
import {
  INPUT_BYTES_MAX,
  signalNameSchema,
  terminalSizeSchema,
  type Action,
} from '../contract/control.js';
import { Refusal } from '../platform/errors.js';
import type { Sink } from '../platform/follower.js';
import type { Streams } from '../platform/streams.js';
import { idParams } from './jobs-routes.js';
import { ApiProblem } from './problems.js';
import { requestContext } from './request-context.js';
import { createRoom } from './room.js';
import { route, type Route } from './route.js';
import { upgradeOf, type Upgrade } from './upgrade.js';

const STREAMS = { stdin: 0, stdout: 1, stderr: 2 } as const;

const requestSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('resize'), ...terminalSizeSchema.shape }),
  z.strictObject({ type: z.literal('signal'), signal: signalNameSchema }),
  /** No more input. */
  z.strictObject({ type: z.literal('close') }),
]);

/** Between two attempts to give the program what it had no room for; the socket is not read meanwhile. */
const TRY_AGAIN_MS = 20;
const KEEP_ALIVE_MS = 15_000;
/** RFC 6455, 7.4.1, and of ours: the job is not there any more, or the service stops. */
const CLOSE = { normal: 1000, unsupported: 1003, goingAway: 1001 } as const;

function actionOf(data: RawData, isBinary: boolean): Action | null {
  if (!Buffer.isBuffer(data)) return null; // binaryType is the default, nodebuffer
  const bytes = data;
  if (isBinary) {
    if (bytes[0] !== STREAMS.stdin) return null;
    return { kind: 'input', data: bytes.subarray(1).toString('base64'), last: false };
  }
  const parsed = requestSchema.safeParse(jsonOf(bytes.toString()));
  if (!parsed.success) return null;
  const request = parsed.data;
  if (request.type === 'resize') {
    return { kind: 'resize', rows: request.rows, columns: request.columns };
  }
  if (request.type === 'signal') return { kind: 'signal', signal: request.signal };
  return { kind: 'input', data: '', last: true };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** `onStarted`: the job has a run, or never will. */
function createSocketSink(socket: WebSocket, upgrade: Upgrade, onStarted: () => void): Sink {
  const tell = (type: string, data: object): void => {
    if (socket.readyState === socket.OPEN) socket.send(JSON.stringify({ type, ...data }));
  };
  return {
    state(state) {
      tell('state', state);
      if (state.status === 'running') onStarted();
    },
    step: ({ step, name }, { run }) => tell('state', { status: 'running', run, step, name }),
    output(stream, _offset, data) {
      if (socket.readyState !== socket.OPEN) return;
      socket.send(Buffer.concat([Buffer.from([STREAMS[stream]]), Buffer.from(data, 'base64')]));
    },
    test: (test) => tell('test', test),
    finished(job) {
      onStarted();
      tell('finished', { job });
      socket.close(CLOSE.normal);
    },
    end: () => socket.close(CLOSE.goingAway),
    room: createRoom(upgrade.socket),
  };
}

/** One frame after the other; what the program has no room for, or comes before it, waits in the client. */
function carryOut(
  socket: WebSocket,
  started: Promise<void>,
  act: (action: Action) => Promise<void>,
): void {
  let last = started;

  async function attempt(action: Action): Promise<void> {
    while (socket.readyState === socket.OPEN) {
      try {
        await act(action);
        return;
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        if (error.code !== 'input_full') {
          const refused = { type: 'refused', code: error.code, detail: error.message };
          socket.send(JSON.stringify({ ...refused, kind: action.kind }));
          return;
        }
        await new Promise((resolve) => setTimeout(resolve, TRY_AGAIN_MS));
      }
    }
  }

  socket.on('message', (data, isBinary) => {
    const action = actionOf(data, isBinary);
    if (action === null) {
      socket.close(CLOSE.unsupported, 'see the documentation of frames');
      return;
    }
    socket.pause();
    last = last
      .then(() => attempt(action))
      .catch(() => socket.terminate())
      .then(() => socket.resume());
  });
}

export function createAttachRoute({ streams }: { readonly streams: Streams }): Route {
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: INPUT_BYTES_MAX + 1,
  });

  return route({
    method: 'get',
    path: '/v1/jobs/{id}/attach',
    operationId: 'attachToJob',
    summary:
      'A WebSocket to a job. Binary frames: one byte for the stream (0 stdin, 1 stdout, 2 stderr), then data. ' +
      'Text frames: {type: resize | signal | close} to the job, {type: state | finished | refused} from it.',
    params: idParams,
    responses: { 101: { description: 'Frames, until the job has ended.', schema: z.unknown() } },
    async open({ tenantId, params, bindJob }, { request }) {
      const jobId = params.id;
      bindJob(jobId);
      const upgrade = upgradeOf(request);
      if (upgrade === null || request.headers.upgrade?.toLowerCase() !== 'websocket') {
        throw new ApiProblem('upgrade_required', 'Send a WebSocket handshake (RFC 6455).');
      }
      await streams.exists(tenantId, jobId);
      const { logger } = requestContext(request);
      upgrade.take();
      server.handleUpgrade(request, upgrade.socket, upgrade.head, (socket) => {
        socket.on('error', () => socket.terminate());
        const alive = setInterval(() => socket.ping(), KEEP_ALIVE_MS);
        socket.once('close', () => clearInterval(alive));
        let onStarted = (): void => undefined;
        const started = new Promise<void>((resolve) => (onStarted = resolve));
        carryOut(socket, started, (action) => streams.act(tenantId, jobId, action));
        streams.follow(tenantId, jobId, null, createSocketSink(socket, upgrade, onStarted)).then(
          (following) => {
            if (socket.readyState === socket.CLOSED) following.close();
            else socket.once('close', () => following.close());
          },
          (error: unknown) => {
            logger.info({ err: error }, 'could not follow the job');
            socket.close(CLOSE.goingAway);
          },
        );
      });
    },
  });
}
