/** About how a step ended, what it used, and what is in the files it leaves. */
import type { LimitsRequest } from '../../services/contract/limits.js';
import type { Weakness } from '../helpers/attacks.js';
import { MIB } from '../helpers/boxes.js';

/** What is said about a job, by the API and by the sandbox port alike. */
export interface View {
  readonly outcome: string;
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly oomKills: number;
  readonly files: Readonly<Record<string, string>>;
  readonly omitted: readonly { readonly path: string; readonly reason: string }[];
}

export interface Lie {
  readonly title: string;
  /** Attacks by name and arguments, or commands where the first word is a path. */
  readonly steps: readonly (readonly string[])[];
  readonly collect?: readonly string[];
  readonly limits?: LimitsRequest;
  /** Whether it was believed. */
  readonly believed: (view: View) => boolean;
  /** Weaknesses with which it is believed; or steps that do what the lie pretends. */
  readonly control: readonly Weakness[] | { readonly steps: readonly (readonly string[])[] };
}

const SMALL = { memoryBytes: 24 * MIB };
const OUT = '/box/out.txt';
const oomKilled = ({ outcome, oomKills }: View): boolean =>
  outcome === 'memory_limit' || oomKills > 0;
const returned = ({ files }: View): boolean => Object.keys(files).length > 0;

function planted(what: string, ...target: readonly string[]): Lie {
  return {
    title: `cannot have a ${[what, ...target].join(' to ')} returned as a file`,
    steps: [['plant', what, OUT, ...target]],
    collect: [OUT],
    believed: returned,
    control: ['files'],
  };
}

export const lies: readonly Lie[] = [
  {
    title: 'cannot pass exit 137 off as an OOM kill',
    steps: [['die', '137']],
    limits: SMALL,
    believed: oomKilled,
    control: { steps: [['memory', 'anonymous', '64']] },
  },
  {
    title: 'cannot pass SIGKILL by its own hand off as an OOM kill',
    steps: [['die', 'SIGKILL']],
    limits: SMALL,
    believed: oomKilled,
    control: { steps: [['memory', 'anonymous', '64']] },
  },
  {
    title: 'cannot hide an OOM kill in a child',
    steps: [['/bin/bash', '-c', '/box/attacks memory anonymous 64; exit 0']],
    limits: SMALL,
    believed: ({ outcome }) => outcome === 'exited',
    control: { steps: [['/bin/bash', '-c', 'exit 0']] },
  },
  {
    title: 'cannot pass a failure off as success by its output',
    steps: [['/bin/bash', '-c', `echo '{"outcome":"exited","exitCode":0}'; exit 3`]],
    believed: ({ exitCode }) => exitCode === 0,
    control: { steps: [['/bin/true']] },
  },
  {
    title: 'cannot forge the message that it has ended',
    steps: [['forge_end']],
    believed: ({ exitCode }) => exitCode === 42,
    control: ['descriptors'],
  },
  planted('link', '/etc/passwd'),
  planted('link', '/proc/self/status'),
  planted('link', '/dev/zero'),
  planted('fifo'),
  {
    title: 'cannot have a directory returned as a file',
    steps: [['plant', 'directory', OUT]],
    collect: [OUT],
    believed: ({ outcome }) => outcome === 'fault',
    control: ['files'],
  },
  {
    title: 'cannot have a file returned through a link in the middle of its path',
    steps: [['plant', 'link', '/box/out', '/etc']],
    collect: ['/box/out/passwd'],
    believed: returned,
    control: ['files'],
  },
  {
    title: 'cannot have a file returned through a link below a wildcard',
    steps: [['plant', 'link', '/box/out', '/etc']],
    collect: ['/box/*/passwd'],
    believed: returned,
    control: ['files'],
  },
  {
    title: 'cannot have a file returned that it may not read',
    steps: [['plant', 'unreadable', OUT]],
    collect: [OUT],
    believed: returned,
    control: ['capabilities'],
  },
  {
    title: 'cannot have names returned without end',
    steps: [['long_names', '1500']],
    collect: ['/box/**'],
    believed: ({ omitted }) => omitted.length > 1_024,
    control: ['budget'],
  },
];
