/**
 * Where callbacks may go. A tenant chooses the name, and its DNS the address; the network that we are in
 * answers us as one of its own. So only what anybody could reach is reached, unless the operator says more.
 */
import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

export const PORTS_ALLOWED: readonly number[] = [80, 443];

/** Global by their ranges, but of use to nobody else, or answered by the cloud's own host. */
const REFUSED = [
  '0.0.0.0/8',
  '192.0.0.0/24',
  '192.88.99.0/24',
  '198.18.0.0/15',
  '168.63.129.16/32',
  '2001::/23',
  '2001:db8::/32',
  '2002::/16',
  '3fff::/20',
].map((cidr) => ipaddr.parseCIDR(cidr));

/** Whatever lies elsewhere embeds another address or is of some network's own. */
const GLOBAL_IPV6 = ipaddr.parseCIDR('2000::/3');

type Address = ReturnType<typeof ipaddr.parse>;
type Cidr = ReturnType<typeof ipaddr.parseCIDR>;

function isIn(address: Address, cidr: Cidr): boolean {
  return address.kind() === cidr[0].kind() && address.match(cidr);
}

function isGlobalUnicast(address: Address): boolean {
  if (address.range() !== 'unicast' || REFUSED.some((cidr) => isIn(address, cidr))) return false;
  return address.kind() === 'ipv4' || isIn(address, GLOBAL_IPV6);
}

interface Exception {
  readonly cidr: Cidr;
  readonly ports: (port: number) => boolean;
}

/** `10.0.0.0/8` for the usual ports, `10.0.0.0/8@8080`, `…@8000-8999`, `…@*`. */
function parseException(text: string): Exception {
  const match = /^([^@]+\/\d+)(?:@(?:(\*)|(\d{1,5})(?:-(\d{1,5}))?))?$/.exec(text);
  const [, network = '', any, first, last = first] = match ?? [];
  if (!ipaddr.isValidCIDR(network)) throw new Error(`${text} is not <CIDR> or <CIDR>@<ports>`);
  const cidr = ipaddr.parseCIDR(network);
  if (any !== undefined) return { cidr, ports: () => true };
  if (first === undefined) return { cidr, ports: (port) => PORTS_ALLOWED.includes(port) };
  return { cidr, ports: (port) => port >= Number(first) && port <= Number(last) };
}

export interface CallbackAddresses {
  /** Of an address as the kernel or a resolver writes it. */
  allows(address: string, port: number): boolean;
  /** What is wrong with a URL before any name is looked up. */
  issueOf(url: string): string | null;
}

export function portOf({ port, protocol }: URL): number {
  if (port !== '') return Number(port);
  return protocol === 'https:' ? 443 : 80;
}

/** The host without the brackets that a URL puts around an IPv6 address. */
export function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[|\]$/g, '');
}

/** `allow` is MAYFLY_CALLBACK_ALLOW. Throws when it cannot be read. */
export function createCallbackAddresses(allow = ''): CallbackAddresses {
  const exceptions = allow
    .split(',')
    .map((text) => text.trim())
    .filter((text) => text !== '')
    .map(parseException);

  function allows(text: string, port: number): boolean {
    // With a zone it is an address of this host's own links.
    if (isIP(text) === 0 || text.includes('%')) return false;
    const address = ipaddr.parse(text);
    if (exceptions.some(({ cidr, ports }) => isIn(address, cidr) && ports(port))) return true;
    return PORTS_ALLOWED.includes(port) && isGlobalUnicast(address);
  }

  function issueOf(text: string): string | null {
    const url = new URL(text);
    const host = hostOf(url);
    const port = portOf(url);
    // A literal never passes through a resolver.
    if (isIP(host) !== 0) return allows(host, port) ? null : 'names an address that is not allowed';
    if (PORTS_ALLOWED.includes(port) || exceptions.some(({ ports }) => ports(port))) return null;
    return `must use port ${PORTS_ALLOWED.join(' or ')}`;
  }

  return { allows, issueOf };
}
