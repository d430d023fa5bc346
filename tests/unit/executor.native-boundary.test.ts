import { describe, expect, it } from 'vitest';
import { resolveLimits } from '../../services/contract/limits.js';
import { errnoText, signalName } from '../../workers/executor/errno.js';
import {
  decodeCollected,
  encodeFiles,
  encodeList,
  encodeStrings,
} from '../../workers/executor/native-archives.js';
import { limitsRequest, stepEnd, stepRequest } from '../../workers/executor/native-messages.js';
import {
  EVENT,
  LIMITS,
  meaningOf,
  NativeStruct,
  OMITTED,
  STEP,
} from '../../workers/executor/native-structs.js';

const step = {
  argv: ['/bin/echo', 'ä'],
  env: { A: '1', B: '' },
  cwd: '/box',
  stdin: Buffer.alloc(0),
  limits: { ...resolveLimits().limits, cpuTimeMs: 1_000, cpus: 0.05 },
  truncateOutput: true,
  mergeStderr: true,
  interactive: true,
  terminal: { rows: 24, columns: 80 },
  frozenTimeMs: 5,
};

describe('numbers on their way to C', () => {
  const good = { box: 1, errno: -2, disk_bytes_max: 2 ** 53 - 1, files_max: 2 ** 32 - 1 };
  const struct = new NativeStruct({
    size: 'uint32_t',
    box: 'uint32_t',
    errno: 'int32_t',
    disk_bytes_max: 'uint64_t',
    files_max: 'uint32_t',
  });

  it('lie where C has them, the unused bytes being zero', () => {
    expect(struct.bytes).toBe(32);
    expect(struct.offsets).toEqual({
      size: 0,
      box: 4,
      errno: 8,
      disk_bytes_max: 16,
      files_max: 24,
    });
    const bytes = struct.encode({ ...good, extra: 'x' } as typeof good);
    expect(bytes.toString('hex').match(/.{8}/g)).toEqual([
      '20000000',
      '01000000',
      'feffffff',
      '00000000',
      'ffffffff',
      'ffff1f00',
      'ffffffff',
      '00000000',
    ]);
    expect(struct.decode(bytes)).toEqual({ ...good, size: 32 });
  });

  it.each([
    ['missing', undefined],
    ['a string', '1'],
    ['negative', -1],
    ['fractional', 1.5],
    ['not a number', Number.NaN],
    ['beyond 32 bits', 2 ** 32],
    ['infinite', Number.POSITIVE_INFINITY],
  ])('are refused when %s', (_what, value) => {
    expect(() => struct.encode({ ...good, box: value as number })).toThrow(
      /box must be a uint32_t/,
    );
  });

  it('are refused beyond what a number holds exactly', () => {
    expect(() => struct.encode({ ...good, disk_bytes_max: 2 ** 53 })).toThrow(RangeError);
  });

  it('turn limits into microseconds, bytes and thousandths of a CPU', () => {
    const request = stepRequest(7, step, encodeStrings(step));
    expect(() => new NativeStruct(STEP).encode(request)).not.toThrow();
    expect(request).toMatchObject({
      box: 7,
      cpu_time_us_max: 1_000_000,
      memory_bytes_max: step.limits.memoryBytes,
      cpu_millis: 50,
      flags: 27,
      frozen_time_us_max: 5_000,
      terminal_rows: 24,
      terminal_columns: 80,
      argv_count: 2,
      env_count: 2,
    });
  });
});

describe('new limits', () => {
  it('are only those that were asked for', () => {
    const request = limitsRequest(7, { cpus: 0.5, memoryBytes: 4_096 });
    expect(() => new NativeStruct(LIMITS).encode(request)).not.toThrow();
    expect(request).toEqual({
      box: 7,
      cpu_time_us_max: 0,
      wall_time_us_max: 0,
      memory_bytes_max: 4_096,
      processes_max: 0,
      cpu_millis: 500,
    });
  });
});

describe('numbers on their way from C', () => {
  const struct = new NativeStruct(EVENT);
  const event = struct.decode(Buffer.alloc(struct.bytes));

  it('never turn an unknown outcome or reason into a known one', () => {
    expect(() => stepEnd(event, null)).toThrow(/unknown outcome/);
    expect(() => stepEnd(event, 'toString')).toThrow(/unknown outcome/);
    expect(() => meaningOf(OMITTED, 99, 'reason')).toThrow(/unknown reason 99/);
  });

  it('are null where nothing was measured', () => {
    const end = stepEnd({ ...event, exit_code: -1, signal: 9 }, 'memory_limit');
    expect(end).toMatchObject({
      outcome: 'memory_limit',
      exitCode: null,
      signal: 9,
      contextSwitches: null,
      majorPageFaults: null,
    });
    expect(stepEnd({ ...event, usage_of_init: 1, context_switches: 3 }, 'exited')).toMatchObject({
      exitCode: 0,
      signal: null,
      contextSwitches: 3,
    });
  });
});

describe('byte sequences', () => {
  it('pack files as length, mode, length, path, content', () => {
    const archive = encodeFiles([{ path: '/box/ä', mode: 0o755, content: Buffer.from('xyz') }]);
    expect(archive.readUInt32LE(0)).toBe(7);
    expect(archive.readUInt32LE(4)).toBe(0o755);
    expect(archive.readBigUInt64LE(8)).toBe(3n);
    expect(archive.toString('utf8', 16)).toBe('/box/äxyz');
  });

  it('pack strings each with its NUL, and none inside', () => {
    expect(encodeStrings(step)).toEqual({
      strings: Buffer.from('/box\0/bin/echo\0ä\0A=1\0B=\0'),
      argvCount: 2,
      envCount: 2,
    });
    expect(() => encodeList(['a\0b'])).toThrow(/NUL/);
    expect(() => encodeFiles([{ path: 'a\0', mode: 0, content: Buffer.alloc(0) }])).toThrow(/NUL/);
  });

  function record(path: string, reason: number, content: string): Buffer {
    const [file] = [encodeFiles([{ path, mode: reason, content: Buffer.from(content) }])];
    return file;
  }

  function decodeBuffer(archive: Buffer) {
    return decodeCollected((at, bytes) => archive.subarray(at, at + bytes), archive.length);
  }

  it('unpack collected files and why others are missing', () => {
    const archive = Buffer.concat([record('/box/a', 0, 'one'), record('/box/b', 2, '')]);
    expect(decodeBuffer(archive)).toEqual({
      files: [{ path: '/box/a', at: 22, bytes: 3 }],
      omitted: [{ path: '/box/b', reason: 'too_large' }],
    });
  });

  it('are refused when cut short', () => {
    const whole = record('/box/a', 0, 'one');
    for (const bytes of [1, 15, 20, whole.length - 1]) {
      expect(() => decodeBuffer(whole.subarray(0, bytes))).toThrow(RangeError);
    }
  });
});

describe('words', () => {
  it('name errors and signals', () => {
    expect(errnoText(28)).toMatch(/^ENOSPC/);
    expect(errnoText(4_242)).toBe('errno 4242');
    expect([6, 9, 11, 29, 34, 32].map(signalName)).toEqual([
      'SIGABRT',
      'SIGKILL',
      'SIGSEGV',
      'SIGIO',
      'SIGRTMIN+0',
      'SIG32',
    ]);
  });
});
