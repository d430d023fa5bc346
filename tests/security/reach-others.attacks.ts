/** To other boxes, to services of the host, to what is counted for each user of the host. */
import { attemptOutside, type Attack } from '../helpers/attacks.js';

/** Of the host while the tests run: servers that reach-others.test.ts starts. */
export const HOST_PORT = 21_987;

const files: readonly Attack[] = [
  {
    title: "cannot read another box's /dev/shm",
    victim: ['victim_file', '/dev/shm/secret'],
    attack: ['open_path', '/dev/shm/secret', 'r'],
    control: ['shared'],
  },
  {
    title: "cannot write into another box's /dev/shm",
    victim: ['victim_file', '/dev/shm/secret'],
    attack: ['open_path', '/dev/shm/secret', 'w'],
    control: ['ids', 'shared'],
  },
  {
    title: 'cannot see a lock that another box holds on a device',
    victim: ['victim_lock', '/dev/null'],
    attack: ['see_lock', '/dev/null'],
    control: ['shared'],
  },
  {
    title: 'cannot see another box open a device',
    victim: ['victim_touch', '/dev/zero'],
    attack: ['see_touch', '/dev/zero'],
    control: ['shared'],
  },
];

const processes: readonly Attack[] = [
  {
    title: "cannot see another box's processes",
    victim: ['victim_process'],
    attack: ['see_process'],
    control: ['pid'],
  },
  {
    title: "cannot guess another box's processes by number",
    victim: ['victim_process'],
    attack: ['guess_process'],
    control: ['pid'],
  },
  {
    title: 'cannot signal another box',
    victim: ['victim_process'],
    attack: ['signal_process'],
    control: ['ids', 'pid'],
  },
];

/** What victim_ipc makes is in the host's namespace, and stays there, when the box has none of its own. */
function clearIpc(): void {
  const { stdout } = attemptOutside({ title: '', attack: ['clear_ipc'], control: 'outside' });
  if (stdout !== 'cleared\n') throw new Error(`the host's ipc was not cleared: ${stdout}`);
}

const ipc: readonly Attack[] = ['shm', 'msg', 'sem', 'mq'].map((what) => ({
  title: `cannot reach another box's ipc: ${what}`,
  victim: ['victim_ipc'],
  attack: ['see_ipc', what],
  control: what === 'mq' ? ['ids', 'ipc'] : ['ipc'],
  clear: clearIpc,
}));

const network: readonly Attack[] = [
  {
    title: 'cannot connect to an abstract socket of another box',
    victim: ['victim_listen', '@mayfly-victim'],
    attack: ['reach', '@mayfly-victim'],
    control: ['network'],
  },
  {
    title: 'cannot connect to a port of another box',
    victim: ['victim_listen', '21986'],
    attack: ['reach', '127.0.0.1', '21986'],
    control: ['network'],
  },
  {
    title: 'cannot reach a service of the host on 127.0.0.1',
    attack: ['reach', '127.0.0.1', String(HOST_PORT)],
    control: ['network'],
  },
  {
    title: 'cannot reach a service of the host on ::1',
    attack: ['reach', '::1', String(HOST_PORT)],
    control: ['network'],
  },
  {
    title: 'cannot reach a service of the host over UDP',
    attack: ['reach', '127.0.0.1', String(HOST_PORT), 'udp'],
    control: ['network'],
  },
  {
    title: 'cannot find a way to another network',
    attack: ['see_interface'],
    control: ['network'],
  },
  {
    title: "cannot take or see the supervisor's names of id ranges",
    attack: ['name_taken', 'mayfly-ids-'],
    control: ['network'],
  },
];

/** Kept by the kernel for each user of the host, or for who made the user namespace. */
const counted: readonly Attack[] = [
  {
    title: "cannot use up other boxes' inotify instances",
    victim: ['victim_fill', 'inotify'],
    attack: ['see_fill', 'inotify', '8'],
    control: ['owner'],
  },
  {
    title: "cannot use up other boxes' pipe memory",
    victim: ['victim_fill', 'pipes'],
    attack: ['see_fill', 'pipes', '8'],
    control: ['ids'],
    limits: { openFiles: 1_024 },
  },
  {
    title: "cannot use up other boxes' queued signals",
    victim: ['victim_fill', 'signals'],
    attack: ['see_fill', 'signals', '8'],
    control: ['owner'],
  },
];

export const reachOthers: readonly Attack[] = [
  ...files,
  ...processes,
  ...ipc,
  ...network,
  ...counted,
];
