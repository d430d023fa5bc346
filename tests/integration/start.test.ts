import { openSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { keepRunning, type Child } from '../../infra/start/child.js';
import { CONFIG_EXIT_CODE } from '../../services/platform/config.js';
import { eventually } from '../helpers/eventually.js';

const dist = join(import.meta.dirname, '..', '..', 'dist');
// What they say about the settings is in the tests of those.
const silence = openSync('/dev/null', 'w');
let child: Child;
let said: string[];

function keep(command: [string, ...string[]]): void {
  said = [];
  child = keepRunning({
    name: 'service',
    command,
    env: {
      PATH: process.env['PATH'] ?? '',
      REDIS_URL: 'unix:///nowhere',
      MAYFLY_LOG_LEVEL: 'loud',
    },
    output: silence,
    report: (message) => said.push(message),
    finalCodes: [CONFIG_EXIT_CODE],
  });
}

afterEach(() => child.stop(5_000));

describe('a process that is kept running', () => {
  it.each(['services/api/main.js', 'workers/executor/main.js'])(
    'is not started again where its settings are wrong: %s',
    async (main) => {
      keep([process.execPath, join(dist, main)]);
      await expect(child.failed).rejects.toThrow(`exited with ${CONFIG_EXIT_CODE}`);
      expect(said).toEqual([]);
    },
  );

  it('is started again after anything else', async () => {
    keep([process.execPath, '-e', 'process.exit(1)']);
    await eventually(() => said.length >= 2);
    expect(said[0]).toBe('service exited with 1; starting it again in 200 ms');
  });
});
