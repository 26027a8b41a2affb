// Runs code in genuine nel, through its public API, as told line by line; started by kernels.py.
//
//   node kernel_driver.js <folder of nel>
// stdin: {"code", "wait"} a line. stdout: {"stdout", "stderr", "ended"} a line, after the run's end or `wait` milliseconds.
"use strict";

const readline = require("readline");
const { Session } = require(process.argv[2]);

const session = new Session({ cwd: "/mnt/data" });
let finish = () => {};
session._server.on("exit", () => finish(false));

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const { code, wait } = JSON.parse(line);
  const seen = { stdout: "", stderr: "", values: [] };
  finish = (ended) => {
    clearTimeout(timer);
    finish = () => {};
    process.stdout.write(`${JSON.stringify({ ...seen, ended })}\n`);
  };
  const timer = setTimeout(() => finish(false), wait);
  session.execute(code, {
    onSuccess: (result) => seen.values.push(result.mime),
    onError: (result) => seen.values.push(result.error),
    onStdout: (text) => (seen.stdout += text),
    onStderr: (text) => (seen.stderr += text),
    onDisplay: () => {},
    onRequest: () => {},
    afterRun: () => finish(true),
  });
});
