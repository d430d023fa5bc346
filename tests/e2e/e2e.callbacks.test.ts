// A callback over HTTPS, from the processes that are shipped: which authorities the API trusts decides.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createCallbackAddresses } from '../../services/platform/callback-address.js';
import { createCallbackPost } from '../../services/platform/callback-post.js';
import { startReceiver, type Receiver } from '../helpers/callback-receiver.js';
import { createAuthority, type Authority } from '../helpers/certificates.js';
import { eventually } from '../helpers/eventually.js';
import { startTestStack, type TestStack } from '../helpers/stack.js';

const MAYFLY_CALLBACK_ALLOW = '127.0.0.1/32@*';
const secret = 'the secret of the receiver';
let trusted: Authority;
let foreign: Authority;
let stack: TestStack;
let receiver: Receiver;

beforeAll(async () => {
  trusted = createAuthority('trusted');
  foreign = createAuthority('foreign');
  stack = await startTestStack({ MAYFLY_CALLBACK_ALLOW, NODE_EXTRA_CA_CERTS: trusted.path });
});
afterAll(async () => {
  await stack.stop();
  for (const authority of [trusted, foreign]) authority.remove();
});
afterEach(() => receiver.close());

const receive = async (authority: Authority): Promise<Receiver> =>
  await startReceiver((_request, response) => response.end(), authority.sign('IP:127.0.0.1'));

async function submit(): Promise<string> {
  const callback = { url: `${receiver.url}/hook`, secret };
  const { id } = await stack.submit({ language: 'python', source: 'print(6 * 7)', callback }, 20);
  return id;
}

describe('a callback over HTTPS', () => {
  it('is delivered to a certificate of an authority that the API trusts', async () => {
    receiver = await receive(trusted);
    const id = await submit();
    await eventually(async () => (await stack.get(id)).callback?.state === 'delivered', 10_000);
    expect((await stack.get(id)).callback).toMatchObject({ attempts: 1, lastStatus: 200 });
    expect(receiver.received).toHaveLength(1);
    const [{ url, body } = { url: '', body: '{}' }] = receiver.received;
    expect(url).toBe('/hook');
    expect(JSON.parse(body)).toMatchObject({ id, status: 'finished', run: { stdout: '42\n' } });
  });

  it('cannot go to a certificate of any other authority', async () => {
    receiver = await receive(foreign);
    const id = await submit();
    const attempt = (): string =>
      stack
        .log()
        .split('\n')
        .find((line) => line.includes(id) && line.includes('callback got no answer')) ?? '';
    await eventually(() => attempt() !== '', 10_000);
    expect(attempt()).toContain('certificate');
    expect((await stack.get(id)).callback).toMatchObject({ state: 'pending', lastStatus: null });
    expect(receiver.connections()).toBeGreaterThan(0);
    expect(receiver.received).toEqual([]);

    // The control: whoever trusts that authority gets through to the same receiver.
    const addresses = createCallbackAddresses(MAYFLY_CALLBACK_ALLOW);
    const post = createCallbackPost({ addresses, ca: foreign.cert });
    expect(await post({ url: receiver.url, secret, deliveryId: 'dlv_1', body: id })).toBe(200);
    expect(receiver.received).toMatchObject([{ body: id }]);
  });
});
