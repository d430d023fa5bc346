import { describe, expect, it } from 'vitest';
import { parseJobRequest } from '../../services/contract/job-spec.js';
import { planTask } from '../../workers/executor/plan-task.js';

const SHA256 = 'a'.repeat(64);

function warmOf(request: object): string | null | undefined {
  const result = parseJobRequest({ language: 'python', source: 'print(1)', ...request });
  if (!result.ok) throw new Error(JSON.stringify(result.issues));
  return planTask(result.job.spec).box.warm;
}

describe('a started interpreter', () => {
  it.each([
    ['an ordinary job', {}],
    ['one with input and files', { stdin: 'x', files: [{ path: 'data/a.txt', content: 'a' }] }],
    [
      'other limits of time, memory and output',
      { limits: { cpuTimeMs: 9, memoryBytes: 3e7, outputBytes: 5 } },
    ],
    ['a program that says that it is in UTF-8', { source: '#!/x\n# -*- coding: utf-8 -*-\n1' }],
    ['one that speaks of coding later on', { source: '\n\n# coding: latin-1\n' }],
  ])('is for %s', (_what, request) => {
    expect(warmOf(request)).toBe('python');
  });

  it('is for JavaScript', () => {
    expect(warmOf({ language: 'javascript' })).toBe('javascript');
  });

  it.each([
    ['another language', { language: 'bash' }],
    ['arguments', { args: ['a'] }],
    ['an environment', { env: { PYTHONHASHSEED: '0' } }],
    ['another directory', { cwd: '/tmp' }],
    ['another stack', { limits: { stackBytes: 1 << 20 } }],
    ['other descriptors', { limits: { openFiles: 64 } }],
    ['another file size', { limits: { fileBytes: 1 << 20 } }],
    ['two CPUs', { limits: { cpus: 2 } }],
    ['merged streams', { mergeStderr: true }],
    ['a client that types', { interactive: true }],
    ['an archive', { archives: [{ blob: SHA256, format: 'zip' }] }],
    ['a program in a blob', { source: undefined, files: [{ path: 'main.py', blob: SHA256 }] }],
    ['a program of 64 KiB', { source: '#'.repeat(65_536) }],
    [
      'a program that is no UTF-8',
      { source: undefined, files: [{ path: 'main.py', content: '/w==', encoding: 'base64' }] },
    ],
    ['a program in Latin 1', { source: '# coding=latin-1' }],
    ['a program in "utf8"', { source: '#\r# vim: fileencoding=utf8' }],
    ['a zip archive', { source: 'PK\x05\x06' }],
    ['packages of the user', { files: [{ path: '.local/lib/x.py', content: '' }] }],
    ['a heap of another size', { language: 'javascript', limits: { memoryBytes: 3e8 } }],
    ['a module', { language: 'javascript', files: [{ path: 'package.json', content: '{}' }] }],
  ])('is not for %s', (_what, request) => {
    expect(warmOf(request)).toBeNull();
  });
});
