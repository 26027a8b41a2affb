// The life of a run, from its beginning to its end: that of a process.

const kernelHandles = apply(activeHandles, process, []);
// From then on Node.js does not count references itself, which goes wrong when code is stopped while it sends.
if (process.channel) process.channel.ref();
const ENDINGS = ["beforeExit", "exit", "uncaughtException", "unhandledRejection"];
const kernelListeners = {};
for (const event of ENDINGS) kernelListeners[event] = listenersOf(event);
for (const listener of kernelListeners.uncaughtException) removeListener("uncaughtException", listener);

// What keeps the event loop alive but is not this run's.
function setRefs(handles, method) {
  for (let i = 0; i < handles.length; i++) attempt(() => handles[i][method]());
}

function newHandles(former) {
  const handles = apply(activeHandles, process, []);
  const found = [];
  for (let i = 0; i < handles.length; i++) {
    if (indexIn(kernelHandles, handles[i]) < 0 && indexIn(former, handles[i]) < 0) add(found, handles[i]);
  }
  return found;
}

// Runs that left servers behind.
const loose = [];

function begin(run) {
  run.began = now();
  cells[run.cell] = run;
  keepAllAlike();
  enter(run);
  openOwnFile(run);
  let main;
  try {
    main = compile(run);
  } catch (error) {
    run.settled = true;
    fail(run, error);
    return;
  }
  if (run.request.imports.length === 0) return call(run, main);
  whenSettled(importAll(run), () => setImmediate(call, run, main), (error) => fail(run, error));
  wait(run);
}

function enter(run) {
  const { seen } = run.request;
  for (let i = 0; i < seen.length; i++) {
    // One that is gone is told as deleted.
    snapshot[seen[i]] = attempt(() => versionOf(`/${seen[i]}`)) || [0];
  }
  run.older = newHandles([]);
  for (let i = 0; i < loose.length; i++) {
    const list = loose[i].timers;
    for (let j = 0; j < list.length; j++) if (list[j].hasRef()) add(run.older, list[j]);
  }
  const stdout = openStream(run, 1);
  const stderr = openStream(run, 2);
  ownStreams[0] = stdout;
  define(process, "stdout", stdout);
  define(process, "stderr", stderr);
  run.streams = [stdout, stderr];
  // A process's own input; Node.js opens it once, and what a run has read to its end stays ended.
  const stdin = new Readable({ read: () => void stdin.push(null) });
  stdin.fd = 0;
  define(process, "stdin", stdin);
  const console = new Console({ __proto__: null, stdout, stderr });
  console.Console = Console;
  define(root, "console", console);
  const api = displayApi(run);
  define(root, "$$", api);
  define(root, "$$done$$", api.done);
  const setters = ["mime", "html", "svg", "png", "jpeg", "async"];
  for (let i = 0; i < setters.length; i++) {
    const set = api[setters[i]];
    defineProperty(root, `$$${setters[i]}$$`, { __proto__: null, get() {}, set, configurable: true });
  }
  process.argv = [process.execPath, run.file];
  process.execArgv = [];
  process.exitCode = undefined;
}

// Some code wants to be a file: it starts itself again, in a thread or a process, or reads itself.
function openOwnFile(run) {
  const { code } = run.request;
  if (!exec(/\b(__filename|import\.meta|argv|cluster|require\.main)\b/, code)) return;
  attempt(() => {
    writeFileSync(run.file, code, { __proto__: null, flag: "wx" });
    run.hasFile = true;
  });
}

function call(run, main) {
  if (run.over) return;
  const isAsync = run.request.async && run.header > 0;
  const start = () => {
    const value = main();
    if (isAsync) whenSettled(value, (settled) => mainOver(run, unboxed(settled)), (error) => mainFailed(run, error));
    else mainOver(run, value);
  };
  try {
    withLimit(run.left, () => {
      // A module's body is a job of the promises' queue, so their jobs come before `nextTick`'s.
      if (run.request.module) whenSettled(whenSettled(undefined, start), undefined, (error) => mainFailed(run, error));
      else start();
      runTicks();
    });
  } catch (error) {
    uncaught(error);
    if (!isAsync) mainOver(run);
    wait(run);
    // What was stopped may have left Node.js's own stack of callbacks unbalanced; its handler of errors mends it.
    throw STOP;
  }
  wait(run);
}

// An async function would wait for what it returns; `completion.py` boxes the last value, so that it stays what it is.
function unboxed(value) {
  const box = typeof value === "object" && value !== null && !types.isProxy(value) && getOwnPropertyDescriptor(value, "$last");
  return box ? box.value : value;
}

function mainOver(run, value) {
  publish(run);
  if (run.over || run.settled) return;
  run.value = value;
  if (!types.isPromise(value)) {
    settle(run);
    return;
  }
  run.mayStayPending = true;
  const onValue = (settled) => {
    run.value = settled;
    settle(run);
  };
  whenSettled(value, onValue, (error) => mainFailed(run, error));
}

function mainFailed(run, error) {
  uncaught(error, "unhandledRejection", run);
  settle(run);
}

function settle(run) {
  run.settled = true;
  if (run.timer && !run.over) setRefs(run.older, "unref");
}

// Waits as a process does: until nothing that the run started is pending.
function wait(run) {
  if (run.over || run.muted) return;
  setRefs(kernelHandles, "unref");
  if (run.timer) return;
  // Nothing of its own is pending; the loop will say so at once.
  const isShort = run.settled && apply(activeResources, process, []).length === 0;
  if (run.settled) setRefs(run.older, "unref");
  run.timer = setTimeout(timeUp, max(1, run.left), run);
  run.timer.unref();
  // The timer comes first, unless the code lets nobody come.
  if (!isShort) attempt(() => stopAfter(max(run.left, 0) + 250));
  let quiet = 0;
  run.poll = setInterval(() => {
    quiet = run.settled && onlyServers() ? quiet + 1 : 0;
    if (quiet > 5) complete(run);
  }, 50);
  run.poll.unref();
}

const BACKGROUND = { __proto__: null, TCPServerWrap: 1, PipeServerWrap: 1, PipeWrap: 0, UDPWRAP: 1, FSEventWrap: 1 };

function onlyServers() {
  const active = apply(activeResources, process, []);
  for (let i = 0; i < active.length; i++) if (!BACKGROUND[active[i]]) return false;
  return active.length > 0;
}

function onEmptyLoop(code) {
  const run = current;
  const isIdle = () => apply(activeResources, process, []).length === 0;
  const wereCalled = callListeners(run, "beforeExit", code);
  if (run.over || !isIdle()) return;
  setRefs(kernelHandles, "ref");
  setRefs(run.older, "ref");
  if (!wereCalled) return emptied(run);
  // They may have started something that takes a turn to show.
  setImmediate(() => {
    if (run.over) return;
    setRefs(kernelHandles, "unref");
    if (run.settled) setRefs(run.older, "unref");
    if (isIdle()) emptied(run);
  });
}

function emptied(run) {
  if (run.over) return;
  if (run.left <= 0) timeUp(run);
  else if (run.settled || run.mayStayPending) complete(run);
  else finish(run, "error", 13);
}

function complete(run) {
  if (run.over) return;
  callListeners(run, "exit", exitCode(0));
  if (!run.muted) finish(run, "ok", exitCode(0));
}

function exitCode(otherwise) {
  return Number(process.exitCode ?? otherwise) || 0;
}

function timeUp(run) {
  finish(run, "timeout", 124);
}

function fail(run, error) {
  if (run.over) return;
  run.failure = error;
  run.hasFailed = true;
  if (!process.exitCode) process.exitCode = 1;
  if (!run.exiting) {
    run.exiting = true;
    callListeners(run, "exit", exitCode(1));
  }
  if (!run.muted) finish(run, "error", exitCode(1));
}

// Calls those that code has registered, not the kernel's; tells whether there are any.
function callListeners(run, event, code) {
  const listeners = listenersOf(event);
  let called = false;
  for (let i = 0; i < listeners.length; i++) {
    if (indexIn(kernelListeners[event], listeners[i]) >= 0) continue;
    called = true;
    try {
      withLimit(max(run.left, 100), () => apply(listeners[i], process, [code]));
    } catch (error) {
      if (error !== STOP) fail(run, error);
    }
  }
  return called;
}
