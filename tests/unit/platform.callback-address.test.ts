import { describe, expect, it } from 'vitest';
import { createCallbackAddresses } from '../../services/platform/callback-address.js';

/** Each kind of address that is not everybody's, in each way to write it. */
export const FORBIDDEN = [
  '127.0.0.1',
  '127.255.255.254',
  '0.0.0.0',
  '0.1.2.3',
  '10.0.0.1',
  '172.16.0.1',
  '172.31.255.255',
  '192.168.1.1',
  '169.254.169.254',
  '100.64.0.1',
  '100.100.100.200',
  '168.63.129.16',
  '192.0.0.192',
  '192.0.2.1',
  '198.51.100.1',
  '203.0.113.1',
  '192.88.99.1',
  '198.18.0.1',
  '224.0.0.1',
  '239.255.255.255',
  '240.0.0.1',
  '255.255.255.255',
  '::',
  '::1',
  '::7f00:1',
  '::ffff:127.0.0.1',
  '::ffff:8.8.8.8',
  '::ffff:0:7f00:1',
  '64:ff9b::7f00:1',
  '64:ff9b::8.8.8.8',
  '64:ff9b:1::a00:1',
  '100::1',
  '2001::1',
  '2001:2::1',
  '2001:10::1',
  '2001:20::1',
  '2001:db8::1',
  '2002:7f00:1::',
  '2002:808:808::',
  '3fff::1',
  '5f00::1',
  'fc00::1',
  'fd00:ec2::254',
  'fe80::1',
  'fe80::1%lo',
  'fec0::1',
  'ff02::1',
];

const bracketed = (address: string): string => (address.includes(':') ? `[${address}]` : address);

describe('addresses of callbacks', () => {
  const addresses = createCallbackAddresses();

  it.each(FORBIDDEN)('cannot be %s', (address) => {
    expect(addresses.allows(address, 443)).toBe(false);
    const url = `https://${bracketed(address)}/`;
    // No URL names a zone.
    if (URL.canParse(url)) expect(addresses.issueOf(url)).toMatch(/not allowed/);
  });

  it.each(['0x7f.1', '2130706433', '0177.0.0.1', '127.1', '0xa9fea9fe', '①②⑦.0.0.1'])(
    'cannot be written as %s',
    (host) => {
      expect(addresses.issueOf(`http://${host}/`)).toMatch(/not allowed/);
    },
  );

  it('are global ones, on the usual ports', () => {
    for (const address of ['8.8.8.8', '2606:4700::1111']) {
      expect(addresses.allows(address, 80)).toBe(true);
      expect(addresses.allows(address, 443)).toBe(true);
      expect(addresses.allows(address, 8_080)).toBe(false);
      expect(addresses.allows(address, 22)).toBe(false);
    }
    expect(addresses.issueOf('https://example.com/')).toBeNull();
    expect(addresses.issueOf('https://example.com:8443/')).toMatch(/port/);
    expect(addresses.allows('localhost', 80)).toBe(false);
    expect(addresses.allows('', 80)).toBe(false);
  });

  it('are what the operator says, and no more than that', () => {
    const more = createCallbackAddresses('10.0.0.0/8, 127.0.0.1/32@8000-8999,fd00::/8@*');
    expect(more.allows('10.1.2.3', 443)).toBe(true);
    expect(more.allows('10.1.2.3', 8_443)).toBe(false);
    expect(more.allows('127.0.0.1', 8_500)).toBe(true);
    expect(more.allows('127.0.0.1', 9_000)).toBe(false);
    expect(more.allows('127.0.0.2', 8_500)).toBe(false);
    expect(more.allows('::ffff:127.0.0.1', 8_500)).toBe(false);
    expect(more.allows('fd12::1', 1)).toBe(true);
    expect(more.allows('192.168.0.1', 443)).toBe(false);
  });

  it.each(['10.0.0.0', '10.0.0.0/33', 'example.com/8', '10.0.0.0/8@', '10.0.0.0/8@x'])(
    'cannot be read from %s',
    (text) => {
      expect(() => createCallbackAddresses(text)).toThrow(/is not <CIDR>/);
    },
  );
});
