/**
 * Requests that want to leave HTTP pass the same app as all others: the same authentication, the same
 * refusals. Only a route that takes the socket over makes it something else.
 */
import { ServerResponse, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import type { Duplex } from 'node:stream';

export interface Upgrade {
  readonly socket: Duplex;
  /** What the client sent behind the request already. */
  readonly head: Buffer;
  /** From now on the socket is the caller's, and no response is sent. */
  take(): void;
}

const upgrades = new WeakMap<IncomingMessage, Upgrade>();

/** Null: the request does not ask for it. */
export function upgradeOf(request: IncomingMessage): Upgrade | null {
  return upgrades.get(request) ?? null;
}

/** Returns what cuts off all sockets that were taken over. */
export function answerUpgrades(server: Server, app: RequestListener): () => void {
  const taken = new Set<Duplex>();
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const response = new ServerResponse(request);
    response.assignSocket(request.socket);
    // Whatever is answered, the connection has said that it is no longer for requests.
    response.shouldKeepAlive = false;
    response.once('finish', () => socket.end());
    socket.on('error', () => socket.destroy());
    upgrades.set(request, {
      socket,
      head,
      take() {
        response.detachSocket(request.socket);
        taken.add(socket);
        socket.once('close', () => taken.delete(socket));
      },
    });
    app(request, response);
  });
  return () => {
    for (const socket of taken) socket.destroy();
  };
}
