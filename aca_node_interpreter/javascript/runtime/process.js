// What belongs to a process and so to a run: errors that nobody caught, its exit, its timers.

function uncaught(error, origin, known) {
  if (error === STOP) return true;
  const run = known || active || current;
  if (run && run === current && run.left < 50 && get(error, "code") === "ERR_SCRIPT_EXECUTION_TIMEOUT") {
    timeUp(run);
  } else if (!known && origin === "unhandledRejection" && listenersOf(origin).length) {
    return false;
  } else if (listenersOf("uncaughtException").length && !(run && run.over)) {
    try {
      apply(emit, process, ["uncaughtException", error, origin]);
    } catch (second) {
      fail(run, second);
    }
  } else if (run && !run.over) {
    fail(run, error);
  } else if (late.errors.length < 20) {
    attempt(() => withLimit(1000, () => add(late.errors, describeError(run || owner(), error, 0))));
  }
  return true;
}

define(process, "emit", function (event, first) {
  if (event === "beforeExit" && current) {
    onEmptyLoop(first);
    return true;
  }
  if (event === "uncaughtException") return uncaught(first, arguments[1]);
  if (event === "unhandledRejection" && uncaught(first, event)) return true;
  // What we or `import()` make Node.js say.
  if (event === "warning" && get(first, "name") === "ExperimentalWarning") return true;
  return apply(emit, this, arguments);
});

define(process, "exit", function (code) {
  const run = active || current;
  if (!run || run.over) throw STOP;
  if (code !== undefined) process.exitCode = code;
  if (!run.exiting) {
    run.exiting = true;
    callListeners(run, "exit", exitCode(0));
  }
  if (!run.muted) {
    run.out.flush();
    run.err.flush();
    run.muted = true;
    setImmediate(finish, run, "exit", exitCode(0));
  }
  throw STOP;
});

function endBySignal(number) {
  define(process, "exitCode", undefined);
  process.exit(128 + number);
}

define(process, "abort", () => endBySignal(6));
define(process, "kill", function (pid, signal = "SIGTERM") {
  const number = osConstants.signals[signal] ?? signal;
  if (pid !== process.pid || number === 0 || listenersOf(signal).length) return apply(kill, process, [pid, signal]);
  return endBySignal(number);
});
