// Runs code in genuine nel, over its own pipe, and prints seconds as JSON: of the first result of new sessions, of
// warm runs, and, for many sessions at a time, how many runs a second they get through.
//
//   node nel.js <folder of nel> <working folder> <what> <count> <code>
"use strict";

const { Session } = require(process.argv[2]);
const [cwd, what, count, code] = process.argv.slice(3);

const now = () => Number(process.hrtime.bigint()) / 1e9;

/** Output comes beside the end of a run: it is over when both are here. */
function run(session, text, bytes = 0) {
  return new Promise((resolve, reject) => {
    let ended = false;
    const look = () => ended && bytes <= 0 && resolve();
    session.execute(text, {
      onStdout: (piece) => ((bytes -= piece.length), look()),
      onError: reject,
      afterRun: () => ((ended = true), look()),
    });
  });
}

const measure = {
  async fresh() {
    const seconds = [];
    for (let left = Number(count); left--; ) {
      const started = now();
      const session = new Session({ cwd });
      await run(session, code);
      seconds.push(now() - started);
      session.kill("SIGKILL");
    }
    return seconds;
  },

  async warm() {
    const session = new Session({ cwd });
    const seconds = [];
    const bytes = Number(process.argv[7] ?? 0);
    for (let left = Number(count) + 1; left--; ) {
      const started = now();
      await run(session, code, bytes);
      seconds.push(now() - started);
    }
    session.kill("SIGKILL");
    return seconds.slice(1);
  },

  async together() {
    const sessions = Array.from({ length: Number(count) }, () => new Session({ cwd }));
    await Promise.all(sessions.map((session) => run(session, code)));
    const started = now();
    let runs = 0;
    const keepRunning = async (session) => {
      for (; now() - started < 2; runs++) await run(session, code);
    };
    await Promise.all(sessions.map(keepRunning));
    const took = now() - started;
    for (const session of sessions) session.kill("SIGKILL");
    return [runs / took];
  },
};

measure[what]().then((figures) => {
  console.log(JSON.stringify(figures));
  process.exit();
});
