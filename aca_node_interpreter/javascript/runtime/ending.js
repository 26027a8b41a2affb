// The end of a run: its envelope, and what ends with it.

function finish(run, end, exit) {
  if (run.over) return;
  active = undefined;
  publish(run);
  run.end = end;
  run.exit = exit;
  const envelope = summary(run);
  const subject = run.hasFailed ? run.failure : run.answer ? run.answer.value : run.value;
  const describe = () => {
    if (run.hasFailed) envelope.error = describeError(run, subject, 0);
    else if (end === "ok" && subject !== undefined) envelope.value = describeValue(subject);
  };
  // Showing an object may call its own code.
  if (Object(subject) === subject) attempt(() => withLimit(max(run.left, 1000), describe));
  else describe();
  if (exit === 13 && end === "error" && !run.hasFailed) envelope.error = pendingPromise(run);
  run.out.close();
  run.err.close();
  run.over = true;
  envelope.left = leave(run, end !== "ok");
  envelope.out = run.out.bytes;
  envelope.err = run.err.bytes;
  envelope.displays = run.displays;
  envelope.files = changes(run);
  envelope.late = late;
  late = newLate();
  envelope.warnings = run.warnings;
  envelope.ms = now() - run.began;
  run.envelope = toJson(envelope);
  current = undefined;
  for (let i = 0; i < run.replies.length; i++) answer(run.replies[i], stored(run));
  run.replies = [];
  if (queue.length) setImmediate(begin, (current = splice(queue, 0, 1)[0]));
}

function pendingPromise(run) {
  const message = "The code awaits a promise that nothing can settle.";
  const about = { __proto__: null, name: "PendingPromise", message, cell: run.cell };
  const lines = splitLines(run.request.code);
  for (let i = 0; i < lines.length; i++) {
    if (!exec(/\bawait\b/, lines[i])) continue;
    // Which one it is, nobody can say when there are several.
    if (about.line !== undefined) return { ...about, line: undefined, source: undefined };
    about.line = i + 1;
    about.source = slice(lines[i], 0, 1000);
  }
  return about;
}

// What ends with a process ends here: listeners and, unless it goes on in the background, timers and servers.
function leave(run, isDead) {
  clearTimeout(run.timer);
  clearInterval(run.poll);
  if (run.hasFile) attempt(() => unlinkSync(run.file));
  attempt(() => stopAfter(0));
  for (let i = 0; i < ENDINGS.length; i++) {
    const listeners = listenersOf(ENDINGS[i]);
    for (let j = 0; j < listeners.length; j++) {
      if (indexIn(kernelListeners[ENDINGS[i]], listeners[j]) < 0) removeListener(ENDINGS[i], listeners[j]);
    }
  }
  process.exitCode = undefined;
  // nel pipes into them.
  if (run.streams) {
    define(process, "stdout", run.streams[0]);
    define(process, "stderr", run.streams[1]);
  }
  if (isDead) {
    const handles = newHandles(run.older);
    setRefs(handles, "destroy");
    setRefs(handles, "close");
  }
  setRefs(kernelHandles, "unref");
  setRefs(run.older, "unref");
  for (let i = 0; i < run.timers.length && (isDead || !onlyServers()); i++) {
    const timer = run.timers[i];
    (timer._onImmediate === undefined ? clearTimeout : clearImmediate)(timer);
  }
  const resources = apply(activeResources, process, []);
  const left = [];
  for (let i = 0; i < resources.length; i++) {
    const name = LEFT[resources[i]] ?? resources[i];
    if (name && indexIn(left, name) < 0) add(left, name);
  }
  if (left.length) add(loose, run);
  setRefs(run.older, "ref");
  setRefs(kernelHandles, "ref");
  return left;
}

const LEFT = {
  __proto__: null,
  TCPServerWrap: "server",
  PipeServerWrap: "server",
  Timeout: "timer",
  Immediate: "",
  ProcessWrap: "child",
  FSEventWrap: "watcher",
  MessagePort: "worker",
};
