/** The process behind bin/mayfly. */
import { run } from './program.js';

const ended = { code: 0 };

const code = await run(process.argv.slice(2), {
  env: process.env,
  isTerminal: process.stdout.isTTY,
  write: (text) => void process.stdout.write(text),
  writeError: (text) => void process.stderr.write(text),
  exit: (programs) => (ended.code = programs),
});
process.exitCode = code === 0 ? ended.code : code;
