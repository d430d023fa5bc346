/** Archives as pack.c writes them, and as nobody should. */
export interface PackedEntry {
  readonly path: string;
  readonly mode: number;
  readonly content?: string;
}

export function packed(entries: readonly PackedEntry[]): Buffer {
  return Buffer.concat(
    entries.flatMap(({ path, mode, content = '' }) => {
      const head = Buffer.alloc(16);
      head.writeUInt32LE(Buffer.byteLength(path), 0);
      head.writeUInt32LE(mode, 4);
      head.writeBigUInt64LE(BigInt(Buffer.byteLength(content)), 8);
      return [head, Buffer.from(path), Buffer.from(content)];
    }),
  );
}
