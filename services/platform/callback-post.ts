/**
 * One POST to an address that a tenant chose. The connection is made before there is TLS or a request on
 * it, so that where it leads is known before a byte is written: neither what a name is found to mean, nor
 * what the URL says, is trusted to be where the socket ends.
 */
import { createHmac } from 'node:crypto';
import { lookup as lookupName } from 'node:dns/promises';
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { connect as connectTcp, isIP, type LookupFunction, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { hostOf, portOf, type CallbackAddresses } from './callback-address.js';

const TIMEOUT_MS = 15_000;
const ANSWER_BYTES_MAX = 4_096;
const HEADER_BYTES_MAX = 8_192;

export class ForbiddenAddress extends Error {
  constructor(where: string) {
    super(`${where} is not an address that callbacks may go to`);
    this.name = 'ForbiddenAddress';
  }
}

export interface CallbackPostDeps {
  readonly addresses: CallbackAddresses;
  /** All addresses of a name. */
  readonly resolve?: (hostname: string) => Promise<readonly ResolvedAddress[]>;
  readonly connect?: typeof connectTcp;
  /** Trusted in place of the system's authorities. */
  readonly ca?: string | undefined;
  readonly timeoutMs?: number;
}

export interface ResolvedAddress {
  readonly address: string;
  readonly family: number;
}

export interface CallbackMessage {
  readonly url: string;
  readonly secret: string;
  /** The same on each attempt. */
  readonly deliveryId: string;
  readonly body: string;
}

/** `t=<unix seconds>,v1=<HMAC-SHA256 of "<t>.<body>">`. */
export function signatureOf(secret: string, body: string, unixSeconds: number): string {
  const mac = createHmac('sha256', secret).update(`${unixSeconds}.${body}`).digest('hex');
  return `t=${unixSeconds},v1=${mac}`;
}

function checkedLookup(deps: CallbackPostDeps, port: number): LookupFunction {
  const resolve = deps.resolve ?? ((name: string) => lookupName(name, { all: true }));

  async function checked(hostname: string) {
    const found = await resolve(hostname);
    // With one address that is not allowed among them, somebody is trying something.
    const forbidden = found.find(({ address }) => !deps.addresses.allows(address, port));
    if (forbidden !== undefined) throw new ForbiddenAddress(forbidden.address);
    return found.map(({ address, family }) => ({ address, family }));
  }

  return (hostname, options, callback) => {
    checked(hostname).then(
      (found) => {
        const [first] = found;
        if (first === undefined) callback(new Error(`${hostname} has no address`), '');
        else if (options.all === true) callback(null, found);
        else callback(null, first.address, first.family);
      },
      (error: unknown) => callback(error as Error, ''),
    );
  };
}

async function connectTo(deps: CallbackPostDeps, url: URL, signal: AbortSignal): Promise<Socket> {
  const host = hostOf(url);
  const port = portOf(url);
  const socket = (deps.connect ?? connectTcp)({ host, port, lookup: checkedLookup(deps, port) });
  try {
    await once(socket, 'connect', { signal });
    const { remoteAddress = '', remotePort = 0 } = socket;
    if (!deps.addresses.allows(remoteAddress, remotePort))
      throw new ForbiddenAddress(remoteAddress);
    if (url.protocol === 'http:') return socket;
    const name = isIP(host) === 0 ? { servername: host } : {};
    const secure = connectTls({ socket, host, ...name, ...(deps.ca && { ca: deps.ca }) });
    await once(secure, 'secureConnect', { signal });
    return secure;
  } catch (error) {
    // Whatever it still has to say is of no interest.
    socket.on('error', () => undefined);
    socket.destroy();
    throw error;
  }
}

/** The status counts, not what is said behind it; of that a little is heard, out of politeness. */
async function hearOut(response: IncomingMessage): Promise<void> {
  let bytes = 0;
  try {
    for await (const chunk of response) {
      bytes += (chunk as Buffer).length;
      if (bytes > ANSWER_BYTES_MAX) return;
    }
  } catch {
    // It broke off, or took too long: the status has been said.
  }
}

export function createCallbackPost(deps: CallbackPostDeps) {
  /** Resolves to the status of the answer, whatever it is: redirects are not followed. */
  return async function post({ url: text, secret, deliveryId, body }: CallbackMessage) {
    const issue = deps.addresses.issueOf(text);
    if (issue !== null) throw new ForbiddenAddress(text);
    const url = new URL(text);
    const signal = AbortSignal.timeout(deps.timeoutMs ?? TIMEOUT_MS);
    const socket = await connectTo(deps, url, signal);
    try {
      const request = httpRequest({
        method: 'POST',
        host: hostOf(url),
        path: `${url.pathname}${url.search}`,
        headers: {
          Host: url.host,
          'Content-Type': 'application/json',
          'Content-Length': Buffer.byteLength(body),
          'User-Agent': 'Mayfly',
          'Mayfly-Delivery': deliveryId,
          'Mayfly-Signature': signatureOf(secret, body, Math.floor(Date.now() / 1_000)),
          Connection: 'close',
        },
        createConnection: () => socket,
        maxHeaderSize: HEADER_BYTES_MAX,
        signal,
      });
      request.on('error', () => undefined);
      request.end(body);
      const [response] = (await once(request, 'response', { signal })) as [IncomingMessage];
      await hearOut(response);
      return response.statusCode ?? 0;
    } finally {
      socket.destroy();
    }
  };
}

export type CallbackPost = ReturnType<typeof createCallbackPost>;
