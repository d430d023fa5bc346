import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { apiConfigSchema } from '../../services/api/config.js';
import { ConfigError, parseConfig, withSecretFiles } from '../../services/platform/config.js';
import { Refusal, refusalOf } from '../../services/platform/errors.js';
import { parseRedisUrl } from '../../services/platform/redis.js';
import { joinParts, splitWork } from '../../services/platform/result-parts.js';
import { FAKE_IMAGE, stepResult } from '../helpers/fake-executor.js';

const good = { REDIS_URL: 'redis://localhost', MAYFLY_API_KEY: 'a-key-of-mine' };

describe('the configuration', () => {
  it('has a default for whatever can have one', () => {
    expect(parseConfig(apiConfigSchema, { ...good, PORT: '', OTHER: 'x' })).toMatchObject({
      HOST: '127.0.0.1',
      PORT: 8_080,
      MAYFLY_STATE_DIR: '/var/lib/mayfly',
      MAYFLY_BODY_BYTES_MAX: 24 * 1024 * 1024,
      MAYFLY_LOG_LEVEL: 'info',
    });
  });

  it('names everything that is wrong at once', () => {
    const env = { REDIS_URL: 'http://x', PORT: '99999', MAYFLY_LOG_LEVEL: 'loud' };
    for (const name of [...Object.keys(env), 'MAYFLY_API_KEY']) {
      expect(() => parseConfig(apiConfigSchema, env)).toThrow(new RegExp(`^${name}: `, 'm'));
    }
  });

  it('does not take a key that could be guessed or mistyped', () => {
    for (const MAYFLY_API_KEY of ['short', 'with a space', 'é'.repeat(10)]) {
      expect(() => parseConfig(apiConfigSchema, { ...good, MAYFLY_API_KEY })).toThrow(
        'MAYFLY_API_KEY',
      );
    }
  });
});

describe('a Redis URL', () => {
  it.each([
    ['redis://h', { host: 'h', port: 6_379, db: 0 }],
    ['redis://u:p%40ss@h:1/2', { host: 'h', port: 1, db: 2, username: 'u', password: 'p@ss' }],
    ['redis://[::1]:7', { host: '::1', port: 7, db: 0 }],
    ['rediss://h', { host: 'h', port: 6_379, db: 0, tls: {} }],
    ['unix:///run/a%20b.sock', { path: '/run/a b.sock' }],
  ])('%s', (url, target) => {
    expect(parseRedisUrl(url)).toEqual(target);
  });

  it.each(['http://h', 'nonsense', 'redis://h/x'])('refuses %s', (url) => {
    expect(() => parseRedisUrl(url)).toThrow();
  });
});

describe('a failed command', () => {
  const reply = (message: string) => Object.assign(new Error(message), { name: 'ReplyError' });

  it.each([
    [new Error('Connection is closed.'), 'unavailable'],
    [new Error('Command timed out'), 'unavailable'],
    [reply('LOADING Redis is loading the dataset in memory'), 'unavailable'],
    [reply("OOM command not allowed when used memory > 'maxmemory'."), 'capacity'],
  ])('%s is a refusal', (error, code) => {
    const refusal = refusalOf(error);
    expect(refusal).toBeInstanceOf(Refusal);
    expect(refusal).toMatchObject({ code, cause: error });
  });

  it('that is a bug stays one', () => {
    const error = reply('ERR Error running script');
    expect(refusalOf(error)).toBe(error);
    const refusal = new Refusal('conflict', 'x');
    expect(refusalOf(refusal)).toBe(refusal);
  });
});

describe('a result in parts', () => {
  const work = {
    compile: stepResult('compiled'),
    run: { ...stepResult('out'), stderr: 'err' },
    steps: [{ name: 'a', ...stepResult('first') }],
    files: [{ path: 'f', bytes: 1, content: 'x', encoding: 'utf8' as const }],
    filesOmitted: [{ path: 'g', reason: 'too large' }],
    image: FAKE_IMAGE,
    boxMs: 1,
  };

  it('comes back whole', () => {
    const { image: _image, boxMs: _boxMs, ...result } = work;
    expect(joinParts(splitWork(work))).toEqual(result);
  });

  it('comes back without what was not read, and its light part carries nothing heavy', () => {
    const { light, stderr } = splitWork(work);
    expect(light).not.toContain('"stdout"');
    const result = joinParts({ light, stderr, stdout: null });
    expect(result?.run).toMatchObject({ stderr: 'err', outcome: 'exited' });
    expect(result?.run).not.toHaveProperty('stdout');
    expect(result).not.toHaveProperty('files');
    expect(joinParts({ light: null })).toBeNull();
  });
});

describe('secrets in files', () => {
  const directory = mkdtempSync(join(tmpdir(), 'mayfly-secret-'));
  const path = join(directory, 'key');
  afterAll(() => rmSync(directory, { recursive: true }));

  it('are read, without the end of the last line', () => {
    writeFileSync(path, 'secret\n');
    expect(withSecretFiles({ MAYFLY_API_KEY_FILE: path, OTHER_FILE: '/nowhere' })).toMatchObject({
      MAYFLY_API_KEY: 'secret',
      OTHER_FILE: '/nowhere',
    });
  });

  it('cannot be set twice, nor be missing', () => {
    const twice = { MAYFLY_API_KEY_FILE: path, MAYFLY_API_KEY: 'other' };
    expect(() => withSecretFiles(twice)).toThrow(
      'MAYFLY_API_KEY_FILE: is set beside MAYFLY_API_KEY',
    );
    expect(() => withSecretFiles({ REDIS_URL_FILE: join(directory, 'no') })).toThrow(ConfigError);
  });
});
