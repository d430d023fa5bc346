/** Archives as honest tools write them, and as nobody honest would. */
import { crc32, deflateRawSync, gzipSync } from 'node:zlib';

export interface Entry {
  readonly name: string;
  readonly content?: string | Buffer;
  /** With the file type, as in `st_mode`. */
  readonly mode?: number;
  /** Of a link in a tar. */
  readonly target?: string;
  /** One letter of tar; default: by the mode. */
  readonly type?: string;
}

const REGULAR = 0o100644;
const bytesOf = ({ content }: Entry): Buffer => Buffer.from(content ?? '');

export interface ZipQuirks {
  readonly stored?: boolean;
  /** Changes an entry's own header after it was made: the central directory keeps what it says. */
  readonly local?: (header: Buffer) => void;
  readonly central?: (header: Buffer) => void;
}

export function zipOf(entries: readonly Entry[], quirks: ZipQuirks = {}): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const entry of entries) {
    const name = Buffer.from(entry.name);
    const content = bytesOf(entry);
    const packed = quirks.stored === true ? content : deflateRawSync(content);
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(20, 4);
    local.writeUInt16LE(quirks.stored === true ? 0 : 8, 8);
    local.writeUInt32LE(crc32(content), 14);
    local.writeUInt32LE(packed.length, 18);
    local.writeUInt32LE(content.length, 22);
    local.writeUInt16LE(name.length, 26);
    const central = Buffer.alloc(46);
    central.writeUInt32LE(0x02014b50, 0);
    central.writeUInt16LE((3 << 8) | 20, 4); // made by Unix
    local.copy(central, 6, 4, 28);
    central.writeUInt32LE(((entry.mode ?? REGULAR) << 16) >>> 0, 38);
    central.writeUInt32LE(at, 42);
    quirks.local?.(local);
    quirks.central?.(central);
    parts.push(local, name, packed);
    directory.push(central, name);
    at += 30 + name.length + packed.length;
  }
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(
    directory.reduce((sum, part) => sum + part.length, 0),
    12,
  );
  end.writeUInt32LE(at, 16);
  return Buffer.concat([...parts, ...directory, end]);
}

function tarHeader(entry: Entry, bytes: number): Buffer {
  const mode = entry.mode ?? REGULAR;
  const directory = (mode & 0o170000) === 0o040000;
  const header = Buffer.alloc(512);
  header.write(entry.name, 0, 100);
  header.write(`${(mode & 0o7777).toString(8).padStart(7, '0')}\0`, 100);
  header.write(`${bytes.toString(8).padStart(11, '0')}\0`, 124);
  header.write('        ', 148);
  header.write(entry.type ?? (directory ? '5' : '0'), 156);
  header.write(entry.target ?? '', 157, 100, 'latin1');
  header.write('ustar\x0000', 257, 'latin1');
  const sum = header.reduce((all, byte) => all + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return header;
}

export function tarOf(entries: readonly Entry[]): Buffer {
  const parts: Buffer[] = [];
  for (const entry of entries) {
    const content = bytesOf(entry);
    parts.push(tarHeader(entry, content.length), content);
    parts.push(Buffer.alloc((512 - (content.length % 512)) % 512));
  }
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}

export const tarGzOf = (entries: readonly Entry[]): Buffer => gzipSync(tarOf(entries));

/** A pax header that gives the next entry such fields. */
export function paxOf(fields: Readonly<Record<string, string>>): Entry {
  let content = '';
  for (const [key, value] of Object.entries(fields)) {
    const rest = ` ${key}=${value}\n`;
    let length = Buffer.byteLength(rest);
    while (String(length).length + Buffer.byteLength(rest) !== length) length += 1;
    content += `${length}${rest}`;
  }
  return { name: 'pax', type: 'x', content };
}
