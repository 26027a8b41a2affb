// Timers belong to the run that set them: its errors, its output, its end.

for (const name of ["setTimeout", "setInterval", "setImmediate"]) {
  root[name] = replace(timers, name, (original) => function (callback) {
    const run = owner();
    if (typeof callback !== "function" || !run || !run.timers) return apply(original, this, arguments);
    arguments[0] = function () {
      return callBack(run, callback, this, arguments);
    };
    const timer = apply(original, this, arguments);
    if (run.timers.length > 1000 && run.timers.length > 2 * run.alive) prune(run);
    add(run.timers, timer);
    return timer;
  });
}

const promised = load("timers/promises");
for (const name of ["setTimeout", "setImmediate"]) {
  const start = root[name];
  replace(promised, name, (original) => function (delay, value) {
    if (arguments.length > (name === "setTimeout" ? 2 : 1)) return apply(original, this, arguments);
    return new Promise((resolve) => {
      if (name === "setTimeout") start(resolve, delay, value);
      else start(resolve, delay);
    });
  });
}

function prune(run) {
  const alive = [];
  for (let i = 0; i < run.timers.length; i++) if (!run.timers[i]._destroyed) add(alive, run.timers[i]);
  run.timers = alive;
  run.alive = max(alive.length, 500);
}

// A loop in a timer's callback can be stopped only from within; that costs 0.2 ms.
function callBack(run, callback, self, values) {
  const former = active;
  active = run;
  try {
    if (run.over || ++run.watched > 500) return apply(callback, self, values);
    return withLimit(run.left, () => apply(callback, self, values));
  } finally {
    active = former;
  }
}
