// What child processes print to the descriptors that they inherit.

// Names what a child would write to our own stdout or stderr: [index of its descriptor, ours].
function inherited(stdio, replacement) {
  const list = [];
  const found = [];
  for (let i = 0; i < (isArray(stdio) ? stdio.length : 3); i++) {
    const item = isArray(stdio) ? stdio[i] : stdio;
    const ours = item === "inherit" ? i : typeof item === "object" ? get(item, "fd") : item;
    if (ours === 1 || ours === 2) add(found, [i, ours]);
    add(list, ours === 1 || ours === 2 ? replacement(i) : item);
  }
  return { list, found };
}

replace(childProcess.ChildProcess.prototype, "spawn", (original) => function (options) {
  const { list, found } = inherited(get(options, "stdio"), () => "pipe");
  if (found.length === 0) return apply(original, this, arguments);
  const run = owner();
  const result = apply(original, this, [{ ...options, stdio: list }]);
  const pipes = [];
  for (let i = 0; this.stdio && i < found.length; i++) {
    const index = found[i][0];
    const pipe = this.stdio[index];
    if (!pipe) continue;
    add(pipes, pipe);
    pipe.on("data", (chunk) => receive(run, found[i][1], chunk));
    this.stdio[index] = null;
    if (index === 1) this.stdout = null;
    if (index === 2) this.stderr = null;
  }
  // What goes on in the background may hold the pipes for ever.
  const { unref } = this;
  define(this, "unref", () => {
    setRefs(pipes, "unref");
    apply(unref, this, []);
  });
  this.once("exit", () => setTimeout(setRefs, 500, pipes, "unref"));
  return result;
});

for (const name of ["spawnSync", "execFileSync", "execSync"]) {
  replace(childProcess, name, (original) => function () {
    const last = arguments.length - 1;
    const options = arguments[last];
    const stdio = typeof options === "object" ? get(options, "stdio") : undefined;
    const paths = [];
    // Not pipes: what goes on in the background may hold them for ever.
    const { list, found } = inherited(stdio, () => {
      const path = add(paths, `${tmpdir()}/aca-${process.pid}-${now()}-${paths.length}`);
      return openSync(path, "ax");
    });
    if (found.length === 0) return apply(original, this, arguments);
    arguments[last] = { ...options, stdio: list };
    try {
      return apply(original, this, arguments);
    } finally {
      for (let i = 0; i < found.length; i++) {
        closeSync(list[found[i][0]]);
        print(found[i][1], readFileSync(paths[i]));
        unlinkSync(paths[i]);
      }
    }
  });
}
