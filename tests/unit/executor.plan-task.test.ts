import { describe, expect, it } from 'vitest';
import { parseJobRequest, type JobSpec } from '../../services/contract/job-spec.js';
import { planTask } from '../../workers/executor/plan-task.js';

function specOf(request: object): JobSpec {
  const result = parseJobRequest(request);
  if (!result.ok) throw new Error(JSON.stringify(result.issues));
  return result.job.spec;
}

describe('the plan of a task', () => {
  it('runs an interpreted language in one step, with its source in the working directory', () => {
    const plan = planTask(specOf({ language: 'python', source: 'print(1)', stdin: 'in' }));
    expect(plan.files).toEqual([
      { path: '/box/main.py', mode: 0o644, content: Buffer.from('print(1)') },
    ]);
    expect(plan.steps.map(({ name }) => name)).toEqual(['run']);
    expect(plan.steps[0].spec).toMatchObject({
      argv: ['python3', 'main.py'],
      cwd: '/box',
      stdin: Buffer.from('in'),
      truncateOutput: false,
      mergeStderr: false,
    });
    expect(plan.collect).toBeNull();
  });

  it('compiles first where the language does, without the input and with limits of its own', () => {
    const plan = planTask(
      specOf({
        language: 'c',
        source: 'int main(void) { return 0; }',
        stdin: 'in',
        args: ['x'],
        compile: { args: ['-O0'], limits: { cpuTimeMs: 7_000 } },
        limits: { memoryBytes: 32 * 1024 * 1024 },
      }),
    );
    const [compile, run] = plan.steps;
    expect(compile.name).toBe('compile');
    expect(compile.spec.argv[0]).toBe('gcc');
    expect(compile.spec.argv).toContain('-O0');
    expect(compile.spec.stdin).toHaveLength(0);
    expect(compile.spec.limits.cpuTimeMs).toBe(7_000);
    expect(compile.spec.limits.memoryBytes).toBeGreaterThan(32 * 1024 * 1024);
    expect(run?.name).toBe('run');
    expect(run?.spec.argv).toEqual(['./main', 'x']);
    expect(run?.spec.stdin).toEqual(Buffer.from('in'));
    expect(run?.spec.limits.memoryBytes).toBe(32 * 1024 * 1024);
  });

  it('opens the box for the step that may use most', () => {
    const plan = planTask(
      specOf({
        image: 'base',
        steps: [
          { name: 'a', argv: ['true'], limits: { diskBytes: 1_000_000, files: 100 } },
          { name: 'b', argv: ['true'], limits: { diskBytes: 2_000_000, files: 50 } },
        ],
      }),
    );
    expect(plan.box).toEqual({ image: 'base', warm: null, diskBytes: 2_000_000, files: 100 });
  });

  it("layers the environment: ours, the language's, the job's, the step's", () => {
    const ofLanguage = planTask(
      specOf({ language: 'c', source: 'x', env: { HOME: '/tmp', A: '1' } }),
    );
    expect(ofLanguage.steps[0].spec.env).toMatchObject({
      PATH: '/usr/local/bin:/usr/bin:/bin',
      LANG: 'C.UTF-8',
      ASAN_OPTIONS: 'detect_leaks=0',
      HOME: '/tmp',
      A: '1',
    });
    const ofSteps = planTask(
      specOf({
        image: 'base',
        env: { A: '1', B: '1' },
        steps: [{ name: 'a', argv: ['env'], env: { B: '2' } }],
      }),
    );
    expect(ofSteps.steps[0].spec.env).toMatchObject({ HOME: '/box', A: '1', B: '2' });
  });

  it('decodes base64 and keeps modes', () => {
    const plan = planTask(
      specOf({
        language: 'bash',
        source: 'true',
        files: [{ path: 'run', content: 'AP8=', encoding: 'base64', mode: '0755' }],
      }),
    );
    expect(plan.files[1]).toEqual({
      path: '/box/run',
      mode: 0o755,
      content: Buffer.from([0, 255]),
    });
  });

  it('asks for what is to be collected, by absolute patterns', () => {
    const plan = planTask(
      specOf({ language: 'bash', source: 'true', collect: ['out/*', '/tmp/x'] }),
    );
    expect(plan.collect?.patterns).toEqual(['/box/out/*', '/tmp/x']);
    expect(plan.collect?.files).toBeGreaterThan(0);
  });

  it('passes how output is to be treated', () => {
    const plan = planTask(
      specOf({ language: 'bash', source: 'true', onOutputLimit: 'truncate', mergeStderr: true }),
    );
    expect(plan.steps[0].spec).toMatchObject({ truncateOutput: true, mergeStderr: true });
  });
});
