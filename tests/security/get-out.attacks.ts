/** Out of the box: to the host's file systems, devices, namespaces, or to more rights. */
import type { Attack } from '../helpers/attacks.js';

/** Without any one of these two the other still stops it: the control has neither. */
const root = ['capabilities', 'filter'] as const;
const pid1 = ['capabilities', 'dumpable', 'filter', 'proc'] as const;

const NEW = {
  user: 0x10000000,
  mount: 0x20000,
  pid: 0x20000000,
  network: 0x40000000,
  ipc: 0x08000000,
  uts: 0x04000000,
  cgroup: 0x02000000,
};

const mounts: readonly Attack[] = [
  { title: 'cannot mount a tmpfs', attack: ['mount_type', 'tmpfs'], control: root },
  {
    title: 'cannot mount another proc',
    attack: ['mount_type', 'proc'],
    control: ['capabilities', 'filter', 'proc'],
  },
  { title: 'cannot mount sysfs', attack: ['mount_type', 'sysfs'], control: 'outside' },
  { title: 'cannot mount devtmpfs', attack: ['mount_type', 'devtmpfs'], control: 'outside' },
  { title: 'cannot mount an mqueue', attack: ['mount_type', 'mqueue'], control: root },
  {
    title: 'cannot mount an overlay',
    attack: ['mount_type', 'overlay', 'lowerdir=/etc:/usr'],
    control: root,
  },
  { title: 'cannot bind a directory elsewhere', attack: ['bind_mount'], control: root },
  {
    title: 'cannot make /proc/sys writable',
    attack: ['remount_writable', '/proc/sys'],
    control: root,
  },
  { title: 'cannot take a mask of /proc off', attack: ['unmount', '/proc/cmdline'], control: root },
  { title: 'cannot take /tmp off', attack: ['unmount', '/tmp'], control: root },
  { title: 'cannot mount by fsopen and fsmount', attack: ['new_mount_api'], control: root },
  { title: 'cannot copy a mount by open_tree', attack: ['open_tree'], control: root },
  { title: 'cannot attach one by move_mount', attack: ['move_mount'], control: root },
  { title: 'cannot change one by mount_setattr', attack: ['mount_setattr'], control: root },
];

const roots: readonly Attack[] = [
  { title: 'cannot pivot_root', attack: ['pivot_root'], control: root },
  { title: 'cannot chroot', attack: ['chroot'], control: root },
  {
    title: 'cannot climb out of a chroot to the jail',
    attack: ['chroot_escape', '/layers'],
    control: ['capabilities', 'filter', 'pivot'],
  },
  {
    title: 'cannot climb out to a file of the host',
    attack: ['chroot_escape', '/host/usr/bin/env'],
    control: ['capabilities', 'filter', 'jail', 'pivot'],
  },
];

const namespaces: readonly Attack[] = [
  ...Object.entries(NEW).map(([name, flag]): Attack => ({
    title: `cannot unshare a ${name} namespace`,
    attack: ['unshare', String(flag | (name === 'user' ? 0 : NEW.user))],
    control: ['filter'],
  })),
  ...(['user', 'mount', 'network', 'pid'] as const).map((name): Attack => ({
    title: `cannot clone into a new ${name} namespace`,
    attack: ['clone_flags', String(NEW[name] | NEW.user)],
    control: ['filter'],
  })),
  {
    title: 'cannot clone3 into a new user namespace, where no filter can look',
    attack: ['clone3_flags', String(NEW.user)],
    control: ['filter'],
  },
  {
    title: 'cannot clone3 into a new time namespace',
    attack: ['clone3_flags', String(0x80 | NEW.user)],
    control: ['filter'],
  },
  ...['net', 'ipc', 'uts', 'mnt', 'pid', 'cgroup'].map((name): Attack => ({
    title: `cannot enter a ${name} namespace by setns`,
    attack: ['setns', name],
    control: root,
  })),
  {
    title: 'cannot see the path of its control groups',
    attack: ['cgroup_path'],
    control: ['cgroups'],
  },
];

const devices: readonly Attack[] = [
  ['a block device', 'b', '7', '0'],
  ['the memory of the kernel log', 'c', '1', '11'],
  ['a null device of its own', 'c', '1', '3'],
].map(([what = '', ...node]): Attack => ({
  title: `cannot make a node for ${what}`,
  attack: ['mknod', ...node],
  control: 'outside',
}));

const paths: readonly Attack[] = [
  ...[
    ['/dev/loop0', 'r'],
    ['/dev/kmsg', 'r'],
    ['/dev/loop-control', 'r'],
    ['/dev/ptmx', 'r'],
    ['/dev/tty0', 'w'],
    ['/proc/sys/kernel/core_pattern', 'w'],
    ['/proc/sys/kernel/hostname', 'w'],
    ['/proc/sys/vm/overcommit_memory', 'w'],
    ['/proc/sys/fs/suid_dumpable', 'w'],
  ].map(([path = '', mode = '']): Attack => ({
    title: `cannot open ${path} (${mode})`,
    attack: ['open_path', path, mode],
    control: 'outside',
  })),
  { title: 'cannot list /sys', attack: ['list_path', '/sys'], control: 'outside' },
  ...['cmdline', 'interrupts'].map((name): Attack => ({
    title: `cannot read /proc/${name}`,
    attack: ['read_path', `/proc/${name}`],
    control: ['proc'],
  })),
  {
    title: 'cannot read /proc/timer_list',
    attack: ['read_path', '/proc/timer_list'],
    control: 'outside',
  },
  ...['irq', 'bus', 'fs'].map((name): Attack => ({
    title: `cannot list /proc/${name}`,
    attack: ['list_path', `/proc/${name}`],
    control: ['proc'],
  })),
  {
    title: 'cannot get a handle of a file',
    attack: ['file_handle', 'name', '/tmp'],
    control: ['filter'],
  },
  {
    title: 'cannot open a file by its handle',
    attack: ['file_handle', 'open', '/dev/shm'],
    control: 'outside',
  },
];

const initOfBox: readonly Attack[] = [
  ...['root', 'cwd', 'fd', 'exe'].map((name): Attack => ({
    title: `cannot follow /proc/1/${name}`,
    attack: ['open_path', `/proc/1/${name}`, 'r'],
    control: pid1,
  })),
  ...['environ', 'maps', 'auxv', 'stat'].map((name): Attack => ({
    title: `cannot read /proc/1/${name}`,
    attack: [name === 'environ' ? 'open_path' : 'read_path', `/proc/1/${name}`, 'r'],
    control: pid1,
  })),
  ...['ptrace', 'readv', 'writev', 'getfd', 'kcmp', 'mem'].map((how): Attack => ({
    title: `cannot get at pid 1 by ${how}`,
    attack: ['pid1', how, '64'],
    control: pid1,
  })),
  {
    title: 'cannot kill pid 1',
    attack: ['pid1', 'kill'],
    control: ['capabilities', 'pid'],
  },
];

const rights: readonly Attack[] = [
  ...['uid', 'gid', 'groups', 'securebits', 'chown', 'hostname', 'xattr'].map((what): Attack => ({
    title: `cannot set as root: ${what}`,
    attack: ['become_root', what],
    control: ['capabilities'],
  })),
  { title: 'cannot take a capability', attack: ['capset'], control: ['capabilities'] },
  { title: 'cannot take loopback down', attack: ['interface_down'], control: ['capabilities'] },
  ...['realtime', 'nice', 'descriptors'].map((what): Attack => ({
    title: `cannot raise its priority or limits: ${what}`,
    attack: ['priority', what],
    control: 'outside',
  })),
  { title: 'cannot type into a terminal', attack: ['type'], control: 'outside' },
  { title: 'cannot get TIOCSTI to any device', attack: ['type_refused'], control: ['filter'] },
  {
    title: 'cannot find an inherited descriptor',
    attack: ['descriptors'],
    control: ['descriptors'],
  },
];

const kernel: readonly Attack[] = [
  { title: 'cannot add a key', attack: ['keys', 'add'], control: ['filter'] },
  { title: 'cannot ask for a key', attack: ['keys', 'request'], control: ['filter'] },
  { title: 'cannot reach a keyring', attack: ['keys', 'get'], control: ['filter'] },
  { title: 'cannot use bpf', attack: ['bpf'], control: 'outside' },
  { title: 'cannot use perf events', attack: ['perf'], control: ['filter'] },
  { title: 'cannot use userfaultfd', attack: ['userfaultfd'], control: ['filter'] },
  { title: 'cannot use io_uring', attack: ['io_uring'], control: ['filter'] },
  { title: 'cannot use fanotify', attack: ['fanotify'], control: ['filter'] },
  {
    title: 'cannot talk to the hypervisor over vsock',
    attack: ['socket', '40', '1', '0'],
    control: ['filter'],
  },
  {
    title: 'cannot hear uevents over netlink',
    attack: ['socket', '16', '3', '15'],
    control: ['filter'],
  },
  {
    title: 'cannot reach audit over netlink',
    attack: ['socket', '16', '3', '4'],
    control: ['filter'],
  },
  { title: 'cannot open a packet socket', attack: ['socket', '17', '3', '0'], control: root },
  {
    title: 'cannot open a raw socket',
    attack: ['socket', '2', '3', '1'],
    control: ['capabilities'],
  },
  {
    title: 'cannot switch hardening off by personality',
    attack: ['personality', String(0x0400000)],
    control: ['filter'],
  },
  {
    title: 'cannot change its descriptor table (modify_ldt)',
    attack: ['ldt'],
    control: ['filter'],
  },
  {
    title: 'cannot loosen the filter with one of its own',
    attack: ['own_filter'],
    control: ['filter'],
  },
];

export const getOut: readonly Attack[] = [
  ...mounts,
  ...roots,
  ...namespaces,
  ...devices,
  ...paths,
  ...initOfBox,
  ...rights,
  ...kernel,
];
