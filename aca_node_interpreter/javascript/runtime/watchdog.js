// A second thread, for loops that start after the code has waited.

const CONTROL =
  'const { Session } = require("inspector"); const session = new Session(); session.connectToMainThread();' +
  'let timer; require("worker_threads").parentPort.on("message", (wait) => { clearInterval(timer);' +
  'if (wait) timer = setInterval(() => session.post("Runtime.terminateExecution"), wait); });';
let control;

function stopAfter(milliseconds) {
  if (!control && milliseconds) {
    control = new Worker(CONTROL, { __proto__: null, eval: true, stdout: true, stderr: true, execArgv: [], env: {} });
    control.on("error", () => {});
    control.unref();
  }
  if (control) control.postMessage(milliseconds);
}
