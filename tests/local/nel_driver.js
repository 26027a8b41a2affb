// Runs snippets in genuine nel, through its public API, and tells what came of each; started by test_differential.py.
//
//   node nel_driver.js <folder of nel> <working directory> <sessions at once>
// stdin: [[{"code", "limit", "settle"}, …], …], a list of snippets for each session. stdout: the same with what was seen.
// `limit` is how long to wait for the end of a run, `settle` how long to listen after it, both in milliseconds.
"use strict";

const { Session } = require(process.argv[2]);

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function runSnippet(session, snippet) {
  const seen = { results: [], stdout: "", stderr: "", displays: [], ended: false };
  let end;
  const ended = new Promise((resolve) => (end = resolve));
  session.execute(snippet.code, {
    onSuccess: (result) => seen.results.push(result),
    onError: (result) => seen.results.push(result),
    onStdout: (text) => (seen.stdout += text),
    onStderr: (text) => (seen.stderr += text),
    onDisplay: (update) => seen.displays.push(update.mime),
    // Nobody answers a question, as on the hosted service.
    onRequest: () => {},
    afterRun: () => {
      seen.ended = true;
      end();
    },
  });
  return Promise.race([ended, pause(snippet.limit)])
    .then(() => pause(snippet.settle))
    // What it says when the next one runs is not for anybody.
    .then(() => structuredClone(seen));
}

async function runSession(snippets) {
  const session = new Session({ cwd: process.argv[3] });
  const seen = [];
  for (const snippet of snippets) {
    seen.push(await runSnippet(session, snippet));
    // It takes no more code before this run's end.
    if (!seen.at(-1).ended) break;
  }
  session.kill("SIGKILL");
  return seen;
}

async function main() {
  let input = "";
  for await (const chunk of process.stdin) input += chunk;
  const sessions = JSON.parse(input);
  const waiting = [...sessions.keys()];
  const seen = [];
  async function runSome() {
    while (waiting.length) {
      const index = waiting.shift();
      seen[index] = await runSession(sessions[index]);
    }
  }
  await Promise.all(Array.from({ length: Number(process.argv[4]) }, runSome));
  process.stdout.write(JSON.stringify(seen));
}

main();
