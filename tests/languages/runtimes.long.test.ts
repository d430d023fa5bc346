/** Honest runtimes under the system call filter: what they do that a filter easily breaks. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NativeSandbox } from '../../workers/executor/native-sandbox.js';
import { readImages } from '../../workers/executor/images.js';
import { MIB, runInBox, startTestSandbox, STATE_DIR } from '../helpers/boxes.js';
import { runJob, type LanguageJob } from '../helpers/languages.js';

let sandbox: NativeSandbox;
beforeAll(async () => {
  sandbox = await startTestSandbox();
});
afterAll(() => sandbox.stop());

async function stdoutOf(job: LanguageJob): Promise<string> {
  const { work, stdout } = await runJob(sandbox, job);
  const { compile, run } = work;
  expect(compile?.stderr ?? '').toBe('');
  expect(run).toMatchObject({ outcome: 'exited', exitCode: 0 });
  return stdout;
}

/** A shell script in an image, where no language's command will do. */
async function shell(image: string, script: string): Promise<string> {
  // The heap of ZGC is a file in memory.
  const limits = {
    cpuTimeMs: 30_000,
    memoryBytes: 1_024 * MIB,
    diskBytes: 256 * MIB,
    fileBytes: 512 * MIB,
  };
  const steps = [{ name: 'run', argv: ['bash', '-euc', script], limits }];
  const { work, stdout } = await runJob(sandbox, { image, steps });
  expect(work.steps?.[0]).toMatchObject({ outcome: 'exited', exitCode: 0 });
  return stdout;
}

describe('under the filter', () => {
  it('numpy multiplies matrices with several threads', async () => {
    const source = `
import os, numpy as np
a = np.arange(250_000, dtype=float).reshape(500, 500)
print(int((a @ np.eye(500) == a).all()), len(os.listdir("/proc/self/task")))
`;
    const limits = { cpus: 2 };
    expect(await stdoutOf({ language: 'python-data', source, limits })).toBe('1 2\n');
  });

  it('pandas groups a million rows', async () => {
    const source = `
import numpy as np, pandas as pd
frame = pd.DataFrame({"key": np.arange(1_000_000) % 10, "value": 1})
print(frame.groupby("key")["value"].sum().tolist() == [100_000] * 10)
`;
    expect(await stdoutOf({ language: 'python-data', source })).toBe('True\n');
  });

  it('python forks, and shares memory and locks between processes', async () => {
    const source = `
import multiprocessing as mp
def work(n): return n * n
if __name__ == "__main__":
    with mp.Pool(2) as pool: print(sum(pool.map(work, range(100))))
    value = mp.Value("i", 0)
    with value.get_lock(): value.value += 1
    print(value.value)
`;
    expect(await stdoutOf({ language: 'python', source })).toBe('328350\n1\n');
  });

  it('node starts workers, sees its interfaces, spawns, and waits on files and sockets', async () => {
    const source = `
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
if (!isMainThread) parentPort.postMessage(workerData * 2);
else (async () => {
  const answers = [1, 2, 3].map((n) => new Promise((done) => new Worker(__filename, { workerData: n }).on('message', done)));
  console.log((await Promise.all(answers)).join());
  console.log(Object.keys(require('os').networkInterfaces()).join());
  console.log(require('child_process').execFileSync('echo', ['spawned']).toString().trim());
  const server = require('http').createServer((_, answer) => answer.end('served'));
  server.listen(0, '127.0.0.1', () => require('http').get(server.address(), (reply) => {
    reply.on('data', (chunk) => console.log(String(chunk))); server.close();
  }));
})();
`;
    expect(await stdoutOf({ language: 'javascript', source })).toBe('2,4,6\nlo\nspawned\nserved\n');
  });

  it.each(['-XX:+UseG1GC', '-XX:+UseZGC', '-XX:+UseParallelGC', '-XX:+UseSerialGC'])(
    'the JVM collects with %s',
    async (collector) => {
      const source = `
import java.util.*; import java.util.stream.*;
public class Main { public static void main(String[] a) {
  long sum = 0;
  for (int i = 0; i < 2000; i++) sum += new byte[100_000].length;
  System.out.println(sum + " " + IntStream.range(0, 1000).parallel().sum());
} }`;
      const script = `cat > Main.java <<'JAVA'
${source}
JAVA
javac Main.java && java ${collector} -Xmx256m Main`;
      expect(await shell('jvm', script)).toBe('200000000 499500\n');
    },
  );

  it('go runs ten thousand goroutines', async () => {
    const source = `package main
import ("fmt"; "sync"; "time")
func main() {
	var group sync.WaitGroup
	sums := make(chan int, 10000)
	for i := 0; i < 10000; i++ {
		group.Add(1)
		go func(n int) { defer group.Done(); time.Sleep(time.Millisecond); sums <- n }(i)
	}
	group.Wait()
	close(sums)
	total := 0
	for n := range sums { total += n }
	fmt.Println(total)
}`;
    expect(await stdoutOf({ language: 'go', source })).toBe('49995000\n');
  });

  it('the address sanitizer works, and finds what it is for', async () => {
    const source = (index: string): string =>
      `#include <stdio.h>\n#include <stdlib.h>\nint main(int n, char **a) { char *p = malloc(8); (void)a; p[${index}] = 1; puts("ok"); free(p); return n - 1; }`;
    const compile = { args: ['-fsanitize=address,undefined', '-g'] };
    const good = await runJob(sandbox, { language: 'c', source: source('n'), compile });
    expect(good.work.run).toMatchObject({ outcome: 'exited', exitCode: 0, stdout: 'ok\n' });
    const bad = await runJob(sandbox, { language: 'c', source: source('n + 7'), compile });
    expect(bad.work.run?.stderr).toMatch(/heap-buffer-overflow/);
  });

  it('setarch -R fixes addresses, and other personalities are refused', async () => {
    const script = `
address() { setarch -R grep -m 1 stack /proc/self/maps | cut -d - -f 1; }
[ "$(address)" = "$(address)" ] && echo fixed
setarch --read-implies-exec true 2>/dev/null || echo refused`;
    expect(await shell('base', script)).toBe('fixed\nrefused\n');
  });
});

/** The machine's own npm: its command lies in <npm>/bin. */
const NPM = dirname(
  dirname(realpathSync(execFileSync('which', ['npm'], { encoding: 'utf8' }).trim())),
);
const NPM_QUIET = ['--offline', '--no-audit', '--no-fund', '--no-update-notifier', '--silent'];

describe('a directory that lies in a lower layer', () => {
  let layer: string;
  let layered: NativeSandbox;

  // A repository and installed packages as an image may bring them, the user's own.
  beforeAll(async () => {
    layer = mkdtempSync(join(tmpdir(), 'mayfly-test-'));
    const project = join(layer, 'box', 'project');
    const git = (...args: string[]): void => {
      const identity = ['-c', 'user.name=t', '-c', 'user.email=t@t', '-c', 'safe.directory=*'];
      execFileSync('git', [...identity, ...args], { cwd: project });
    };
    const npm = (cwd: string, ...args: string[]): void => {
      const options = [...NPM_QUIET, '--cache', join(layer, 'cache')];
      execFileSync('npm', [...args, ...options], { cwd, stdio: ['ignore', 'ignore', 'inherit'] });
    };
    mkdirSync(join(project, 'src', 'deep'), { recursive: true });
    writeFileSync(join(project, 'src', 'deep', 'file.txt'), 'lower\n');
    for (const version of ['1.0.0', '2.0.0']) {
      const left = join(layer, `left-${version}`);
      mkdirSync(join(left, 'lib'), { recursive: true });
      writeFileSync(join(left, 'package.json'), JSON.stringify({ name: 'left', version }));
      writeFileSync(join(left, 'lib', 'index.js'), `module.exports = '${version}';\n`);
      npm(left, 'pack', '--pack-destination', project);
      rmSync(left, { recursive: true });
    }
    writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'project' }));
    npm(project, 'install', './left-1.0.0.tgz');
    rmSync(join(layer, 'cache'), { recursive: true });
    writeFileSync(join(project, '.gitignore'), 'node_modules\n');
    git('init', '--quiet', '--initial-branch', 'main');
    git('add', '.');
    git('commit', '--quiet', '-m', 'one');
    mkdirSync(join(layer, 'usr', 'bin'), { recursive: true });
    cpSync('/usr/bin/git', join(layer, 'usr', 'bin', 'git'));
    cpSync(NPM, join(layer, 'usr', 'lib', 'npm'), { recursive: true });
    execFileSync('chown', ['-R', '1000:1000', join(layer, 'box')]);
    const base = readImages(STATE_DIR).find(({ manifest }) => manifest.name === 'base');
    const layerPaths = [...(base?.layerPaths ?? []), layer];
    layered = await startTestSandbox({ images: [{ name: 'layered', layerPaths }] });
  });

  afterAll(async () => {
    await layered.stop();
    rmSync(layer, { recursive: true });
  });

  async function inProject(script: string) {
    const argv = ['bash', '-euc', script];
    const end = await runInBox(layered, { image: 'layered', argv, cwd: '/box/project' });
    expect(end).toMatchObject({ outcome: 'exited', exitCode: 0, stderr: '' });
    return end.stdout;
  }

  it('is moved, removed and brought back by git', async () => {
    const script = `
export GIT_CONFIG_COUNT=2 GIT_CONFIG_KEY_0=user.name GIT_CONFIG_VALUE_0=t GIT_CONFIG_KEY_1=user.email GIT_CONFIG_VALUE_1=t@t
git checkout -q -b other
git mv src moved
git commit -q -m moved
[ ! -e src ] && cat moved/deep/file.txt
git rm -q -r moved
git commit -q -m removed
[ ! -e moved ]
git checkout -q main
cat src/deep/file.txt
git status --porcelain`;
    expect(await inProject(script)).toBe('lower\nlower\n');
  });

  it('is replaced, removed and brought back by npm', async () => {
    const script = `
npm() { HOME=/tmp node /usr/lib/npm/bin/npm-cli.js "$@" ${NPM_QUIET.join(' ')}; }
version() { node -p 'require("left/lib")'; }
version
npm install ./left-2.0.0.tgz
version
npm uninstall left
[ ! -e node_modules/left ]
npm install ./left-1.0.0.tgz
npm ci
version`;
    expect(await inProject(script)).toBe('1.0.0\n2.0.0\n1.0.0\n');
  });
});
