/** What back ends of language models run: programs that load, compute, draw and save. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NativeSandbox } from '../../workers/executor/native-sandbox.js';
import { startTestSandbox } from '../helpers/boxes.js';
import { runJob, type LanguageJob } from '../helpers/languages.js';

let sandbox: NativeSandbox;
beforeAll(async () => {
  sandbox = await startTestSandbox();
});
afterAll(() => sandbox.stop());

async function run(source: string, more: Partial<LanguageJob> = {}) {
  const { work, stdout, files } = await runJob(sandbox, {
    language: 'python-data',
    source,
    ...more,
  });
  expect(work.run).toMatchObject({ outcome: 'exited', exitCode: 0, stderr: '' });
  return { stdout, files, usage: work.run?.usage };
}

/** Width and height, from the header that every PNG begins with. */
function pngSize(content: Buffer): readonly [number, number] {
  expect(content.subarray(0, 8).toString('latin1')).toBe('\x89PNG\r\n\x1a\n');
  return [content.readUInt32BE(16), content.readUInt32BE(20)];
}

describe('python-data', () => {
  it('draws a plot and returns it, and the first one is not slow', async () => {
    const source = `
import numpy as np
import matplotlib.pyplot as plt
x = np.linspace(0, 2 * np.pi, 200)
fig, ax = plt.subplots(figsize=(6, 4), dpi=100)
ax.plot(x, np.sin(x), label=r"$\\sin x$")
ax.fill_between(x, np.cos(x), alpha=0.3, label="cos")
ax.set_title("Two waves")
ax.legend()
fig.savefig("/mnt/data/plot.png")
`;
    const { files, usage } = await run(source, { collect: ['/mnt/data/*.png'] });
    expect(files.map(({ path }) => path)).toEqual(['/mnt/data/plot.png']);
    const content = files[0]?.content ?? Buffer.alloc(0);
    expect(pngSize(content)).toEqual([600, 400]);
    expect(content.length).toBeGreaterThan(10_000);
    // Making the list of fonts alone would take more.
    expect(usage?.cpuTimeMs).toBeLessThan(5_000);
  });

  it('reads a table from its work directory and groups it', async () => {
    const files = [{ path: '/mnt/data/sales.csv', content: 'city,sum\nBonn,1\nJena,2\nBonn,4\n' }];
    const source = `
import pandas as pd
table = pd.read_csv("/mnt/data/sales.csv").groupby("city")["sum"].agg(["sum", "mean"])
print(table.to_csv(), end="")
table.to_excel("/mnt/data/out.xlsx")
`;
    const { stdout, files: out } = await run(source, { files, collect: ['/mnt/data/*.xlsx'] });
    expect(stdout).toBe('city,sum,mean\nBonn,5,2.5\nJena,2,2.0\n');
    expect(out[0]?.path).toBe('/mnt/data/out.xlsx');
  });

  it('integrates, solves and fits with scipy', async () => {
    const { stdout } = await run(`
import numpy as np
from scipy import integrate, linalg, optimize, stats
print(round(integrate.quad(np.exp, 0, 1)[0], 6))
print(linalg.solve(np.array([[3.0, 1.0], [1.0, 2.0]]), np.array([9.0, 8.0])).round(6).tolist())
print(round(optimize.brentq(lambda x: x * x - 2, 0, 2), 6))
print(round(stats.norm.cdf(1.96), 4))
`);
    expect(stdout).toBe('1.718282\n[2.0, 3.0]\n1.414214\n0.975\n');
  });

  it('computes with symbols', async () => {
    const { stdout } = await run(`
from sympy import symbols, integrate, solve, sin, latex
x = symbols("x")
print(solve(x**2 - 5 * x + 6), integrate(x * sin(x), x), latex(x**2 / 3))
`);
    expect(stdout).toBe('[2, 3] -x*cos(x) + sin(x) \\frac{x^{2}}{3}\n');
  });

  it('paints an image', async () => {
    const source = `
from PIL import Image, ImageDraw, ImageFont
image = Image.new("RGB", (64, 32), "white")
font = ImageFont.truetype("DejaVuSans.ttf", 12)
ImageDraw.Draw(image).text((2, 2), "Mayfly", fill="black", font=font)
image.save("picture.png")
`;
    const { files } = await run(source, { collect: ['picture.png'] });
    expect(pngSize(files[0]?.content ?? Buffer.alloc(0))).toEqual([64, 32]);
  });

  it('has as many threads for numbers as the box has processors', async () => {
    const { stdout } = await run(`
import os, numpy as np
a = np.random.rand(400, 400)
print(np.isfinite(a @ a).all(), len(os.listdir("/proc/self/task")))
`);
    expect(stdout).toBe('True 1\n');
  });
});
