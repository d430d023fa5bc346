import { createHmac } from 'node:crypto';
import { connect } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { createCallbackAddresses } from '../../services/platform/callback-address.js';
import {
  createCallbackPost,
  type CallbackPostDeps,
  type ResolvedAddress,
} from '../../services/platform/callback-post.js';
import { startReceiver, type Receiver } from '../helpers/callback-receiver.js';
import { createAuthority, type Authority } from '../helpers/certificates.js';
import { eventually } from '../helpers/eventually.js';

const secret = 'a secret of the test';
const message = { secret, deliveryId: 'dlv_1', body: '{"id":"ä"}' };
const loopback = createCallbackAddresses('127.0.0.1/32@*');
const PUBLIC: ResolvedAddress = { address: '93.184.216.34', family: 4 };
const LOOPBACK: ResolvedAddress = { address: '127.0.0.1', family: 4 };

let ours: Authority;
let theirs: Authority;
let receiver: Receiver;
beforeAll(() => {
  ours = createAuthority('ours');
  theirs = createAuthority('theirs');
});
afterAll(() => {
  for (const authority of [ours, theirs]) authority.remove();
});
afterEach(() => receiver.close());

/** Nothing of these tests goes anywhere but to loopback: a public address ends in the receiver, too. */
function instead(port: number) {
  const asked: unknown[] = [];
  const connectTo = ((options: { host: string; lookup: never }) => {
    const socket = connect({ ...options, port, lookup: redirected(options.lookup, asked) });
    return socket;
  }) as unknown as typeof connect;
  return { connectTo, asked };
}

type Lookup = NonNullable<Parameters<typeof connect>[0] extends infer O ? O : never>;
type Done = (error: Error | null, ...found: unknown[]) => void;

/** Asks as a socket does, and then leads to loopback whatever was found. */
function redirected(lookup: unknown, asked: unknown[]): never {
  return ((hostname: string, options: { all?: boolean }, done: Done) => {
    (lookup as (name: string, options: Lookup, done: Done) => void)(
      hostname,
      options as Lookup,
      (error, found) => {
        if (error === null) asked.push(found);
        if (error !== null) done(error);
        else if (options.all === true) done(null, [LOOPBACK]);
        else done(null, '127.0.0.1', 4);
      },
    );
  }) as never;
}

const forbidding = (more: Partial<CallbackPostDeps>) =>
  createCallbackPost({ addresses: createCallbackAddresses(), ...more });

describe('a callback', () => {
  it('is signed, so that its receiver can tell whose it is', async () => {
    receiver = await startReceiver((_request, response) => response.end());
    const post = createCallbackPost({ addresses: loopback });
    expect(await post({ ...message, url: `${receiver.url}/hook?a=b` })).toBe(200);
    const [{ url, headers, body }] = receiver.received as [Receiver['received'][0]];
    expect(url).toBe('/hook?a=b');
    expect(body).toBe(message.body);
    expect(headers['mayfly-delivery']).toBe('dlv_1');
    expect(headers['content-type']).toBe('application/json');
    // As docs/callbacks.md tells receivers to.
    const signed = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(headers['mayfly-signature'] ?? '');
    const [, time = '', given] = signed ?? [];
    expect(createHmac('sha256', secret).update(`${time}.${body}`).digest('hex')).toBe(given);
    expect(createHmac('sha256', 'another').update(`${time}.${body}`).digest('hex')).not.toBe(given);
    expect(Math.abs(Number(time) - Date.now() / 1_000)).toBeLessThan(10);
  });

  it.each([301, 302, 307, 308])('follows no redirect: %d', async (status) => {
    receiver = await startReceiver((request, response) => {
      const location = `http://${request.headers.host}/elsewhere`;
      response.writeHead(status, { Location: location }).end();
    });
    const post = createCallbackPost({ addresses: loopback });
    expect(await post({ ...message, url: receiver.url })).toBe(status);
    expect(receiver.received.map(({ url }) => url)).toEqual(['/']);
  });

  it('does not wait for ever, and does not hear out an endless answer', async () => {
    receiver = await startReceiver((request, response) => {
      if (request.url === '/silent') return;
      response.writeHead(200);
      const write = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(65_536)));
      };
      response.on('drain', write);
      write();
    });
    const post = createCallbackPost({ addresses: loopback, timeoutMs: 500 });
    await expect(post({ ...message, url: `${receiver.url}/silent` })).rejects.toThrow();
    const patient = createCallbackPost({ addresses: loopback, timeoutMs: 10_000 });
    const startedAt = Date.now();
    expect(await patient({ ...message, url: `${receiver.url}/endless` })).toBe(200);
    expect(Date.now() - startedAt).toBeLessThan(5_000);
  });

  it('goes over https to a certificate of an authority that is trusted', async () => {
    receiver = await startReceiver(
      (_request, response) => response.end(),
      ours.sign('IP:127.0.0.1'),
    );
    const post = createCallbackPost({ addresses: loopback, ca: ours.cert });
    expect(await post({ ...message, url: `${receiver.url}/hook` })).toBe(200);
    expect(receiver.received).toMatchObject([{ url: '/hook', body: message.body }]);
  });

  it.each([
    ['of another authority', () => ours.sign('IP:127.0.0.1'), () => theirs.cert],
    ['of an authority that nobody was told to trust', () => ours.sign('IP:127.0.0.1'), undefined],
    ['for another name', () => ours.sign('DNS:name.test'), () => ours.cert],
  ])('cannot go to a certificate %s', async (_which, certificate, ca) => {
    receiver = await startReceiver((_request, response) => response.end(), certificate());
    const post = createCallbackPost({ addresses: loopback, ca: ca?.() });
    await expect(post({ ...message, url: receiver.url })).rejects.toThrow(/certificate|altnames/i);
    expect(receiver.connections()).toBe(1);
    expect(receiver.received).toEqual([]);
  });
});

describe('where it cannot go', () => {
  it.each(['http://127.0.0.1', 'http://[::1]', 'http://[::ffff:127.0.0.1]', 'http://0x7f.1'])(
    'is %s, which no resolver is asked about',
    async (url) => {
      receiver = await startReceiver((_request, response) => response.end());
      const resolve = vi.fn();
      const connectTo = vi.fn();
      const post = forbidding({ resolve, connect: connectTo });
      await expect(post({ ...message, url })).rejects.toThrow('callbacks may go to');
      expect(resolve).not.toHaveBeenCalled();
      expect(connectTo).not.toHaveBeenCalled();
    },
  );

  it.each([
    '127.0.0.1',
    '10.0.0.1',
    '169.254.169.254',
    '100.64.0.1',
    '224.0.0.1',
    '::1',
    '::ffff:127.0.0.1',
    '64:ff9b::7f00:1',
    '2002:7f00:1::',
    'fd00:ec2::254',
    'fe80::1',
  ])('is a name that means %s, alone or among others', async (address) => {
    receiver = await startReceiver((_request, response) => response.end());
    const family = address.includes(':') ? 6 : 4;
    for (const found of [[{ address, family }], [PUBLIC, { address, family }]]) {
      const { connectTo, asked } = instead(receiver.port);
      const post = forbidding({ resolve: () => Promise.resolve(found), connect: connectTo });
      await expect(post({ ...message, url: 'http://name.test/' })).rejects.toThrow(
        'callbacks may go to',
      );
      expect(asked).toEqual([]);
    }
    expect(receiver.connections()).toBe(0);
  });

  it.each(['http', 'https'])(
    'is where the socket of %s ends, whatever the name was said to mean',
    async (scheme) => {
      receiver = await startReceiver((_request, response) => response.end());
      const { connectTo, asked } = instead(receiver.port);
      const post = forbidding({ resolve: () => Promise.resolve([PUBLIC]), connect: connectTo });
      await expect(post({ ...message, url: `${scheme}://name.test/` })).rejects.toThrow(
        '127.0.0.1 is not an address that callbacks may go to',
      );
      expect(asked).toHaveLength(1);
      await eventually(() => receiver.connections() === 1);
      expect(receiver.received).toEqual([]);
      expect(receiver.bytesRead()).toBe(0);
    },
  );

  it('is a name that means something else when it is asked for again', async () => {
    receiver = await startReceiver((_request, response) => response.end());
    const answers = [[PUBLIC], [LOOPBACK]];
    const resolve = vi.fn(() => Promise.resolve(answers.shift() ?? [LOOPBACK]));
    const { connectTo, asked } = instead(receiver.port);
    const post = forbidding({ resolve, connect: connectTo });
    // Asked once per attempt: there is no second answer between the check and the connection.
    await expect(post({ ...message, url: 'http://name.test/' })).rejects.toThrow('may go to');
    expect(resolve).toHaveBeenCalledTimes(1);
    expect(asked).toEqual([[PUBLIC]]);
    await expect(post({ ...message, url: 'http://name.test/' })).rejects.toThrow('may go to');
    expect(resolve).toHaveBeenCalledTimes(2);
    expect(asked).toHaveLength(1);
    expect(receiver.received).toEqual([]);
    expect(receiver.bytesRead()).toBe(0);
  });

  it('is another port', async () => {
    receiver = await startReceiver((_request, response) => response.end());
    const post = forbidding({ resolve: () => Promise.resolve([PUBLIC]) });
    for (const url of ['http://name.test:22/', `http://93.184.216.34:${receiver.port}/`]) {
      await expect(post({ ...message, url })).rejects.toThrow('callbacks may go to');
    }
  });
});
