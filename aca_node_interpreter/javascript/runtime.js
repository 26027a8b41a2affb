// Runs inside a session: makes each run behave like a Node.js process that keeps its variables.
//
// `runtime.py` sends it, once, in the first request of a session, and then calls `__aca(request)`; every answer is one
// line on the kernel's stdout, after the mark of whoever asked. Comment lines and indentation are not sent, so no
// comment may follow code and no literal may span lines.
// User code shares this process and may break every built-in. Hence own copies, loops by index instead of iterators,
// and objects without a prototype wherever a property may be missing.
(function install(boot) {
  "use strict";
  const root = globalThis;
  if (typeof root.__aca === "function") return;

  // --- own copies ---

  const { Array, Buffer, Error, JSON, Math, Number, Object, Promise, Reflect, Symbol, SyntaxError, URL, process } = root;
  const { clearImmediate, clearInterval, clearTimeout, setImmediate, setInterval, setTimeout } = root;
  const load = root.require || process.getBuiltinModule;
  const childProcess = load("child_process");
  const fs = load("fs");
  const Module = load("module");
  const timers = load("timers");
  const { isUtf8 = () => false } = load("buffer");
  const { Console } = load("console");
  const { createHash } = load("crypto");
  const { closeSync, lstatSync, openSync, readFileSync, readdirSync, unlinkSync, writeSync } = fs;
  const { createRequire } = Module;
  const { constants: osConstants, tmpdir } = load("os");
  const { performance } = load("perf_hooks");
  const { Readable, Writable } = load("stream");
  const { StringDecoder } = load("string_decoder");
  const { pathToFileURL } = load("url");
  const { inspect, types } = load("util");
  const { Worker } = load("worker_threads");
  const { Script, constants = {} } = load("vm");

  const uncurry = Function.prototype.bind.bind(Function.prototype.call);
  const { apply, defineProperty, getOwnPropertyDescriptor, getPrototypeOf, ownKeys } = Reflect;
  const { concat, from: bytesOf } = Buffer;
  const { isArray } = Array;
  const { is, keys } = Object;
  const { stringify } = JSON;
  const { ceil, max } = Math;
  const join = uncurry([].join);
  const splice = uncurry([].splice);
  const charCodeAt = uncurry("".charCodeAt);
  const indexOf = uncurry("".indexOf);
  const slice = uncurry("".slice);
  const exec = uncurry(/./.exec);
  const decode = uncurry(Buffer.prototype.toString);
  const decodePart = uncurry(StringDecoder.prototype.write);
  const decodeRest = uncurry(StringDecoder.prototype.end);
  const then = uncurry(Promise.prototype.then);
  const streamWrite = uncurry(Writable.prototype.write);
  const runScript = uncurry(Script.prototype.runInThisContext);
  const update = uncurry(createHash("sha256").update);
  const digest = uncurry(createHash("sha256").digest);
  const now = performance.now.bind(performance);
  const { emit, kill, nextTick, _tickCallback: runTicks } = process;
  const activeHandles = process._getActiveHandles;
  const activeResources = process.getActiveResourcesInfo;
  const listenersOf = process.rawListeners.bind(process);
  const removeListener = process.removeListener.bind(process);

  const DATA = "/mnt/data";
  const MAX_COPIES = 64 << 20;
  const MAX_ENVELOPE = 1 << 20;
  const MAX_LATE = 64 << 10;
  const MAX_TEXT = 8 << 20;

  const add = (list, item) => (list[list.length] = item);

  function indexIn(list, item) {
    let i = list.length - 1;
    while (i >= 0 && list[i] !== item) i--;
    return i;
  }

  function define(target, name, value) {
    return defineProperty(target, name, { __proto__: null, value, writable: true, configurable: true });
  }

  function attempt(action) {
    try {
      return action();
    } catch {
      return undefined;
    }
  }

  const get = (object, name) => attempt(() => object[name]);

  // JSON of our own objects, whatever became of `toJSON`; what is JSON already is marked so.
  const IS_JSON = Symbol("json");

  function toJson(value) {
    if (typeof value !== "object" || value === null) return stringify(value);
    if (value[IS_JSON] !== undefined) return value[IS_JSON];
    const parts = [];
    if (isArray(value)) {
      for (let i = 0; i < value.length; i++) add(parts, toJson(value[i]));
      return `[${join(parts, ",")}]`;
    }
    const names = keys(value);
    for (let i = 0; i < names.length; i++) {
      const item = value[names[i]];
      if (item !== undefined) add(parts, `${stringify(names[i])}:${toJson(item)}`);
    }
    return `{${join(parts, ",")}}`;
  }

  // With this `constructor` of its own, a promise's `then` looks up nothing that user code may have changed.
  function whenSettled(value, onValue, onError) {
    const promise = new Promise((resolve) => resolve(value));
    defineProperty(promise, "constructor", { __proto__: null, value: undefined });
    return then(promise, onValue, onError);
  }

  // V8's watchdog stops only what a script calls: this one calls `__aca()`, which does the task.
  let task;
  const caller = new Script("__aca()", { filename: "node:aca" });

  function withLimit(milliseconds, action) {
    task = action;
    return runScript(caller, { __proto__: null, timeout: max(1, ceil(milliseconds)), displayErrors: false });
  }

  // Ends code that must not go on; nobody ever sees it.
  const STOP = new Error("process.exit");

  // --- runs ---

  const runs = { __proto__: null };
  const order = [];
  const queue = [];
  let current;
  // The run whose timer calls back just now.
  let active;
  let copied = 0;
  let late = newLate();

  function newLate() {
    return { __proto__: null, out: "", err: "", errors: [] };
  }

  class Run {
    constructor(request) {
      this.request = request;
      this.id = request.id;
      this.cell = request.cell;
      this.file = `${DATA}/cell_${request.cell}.js`;
      this.out = new Output(this);
      this.err = new Output(this);
      this.replies = [];
      this.timers = [];
      this.watched = 0;
      this.older = [];
      this.displays = [];
      this.warnings = [];
      this.bindings = [];
      this.given = [];
      this.anchors = [];
      this.body = request.code;
      this.header = 0;
      this.shift = 0;
      this.line = undefined;
      // Its code's main part is over, and what that returned has settled.
      this.settled = false;
      this.mayStayPending = false;
      this.exiting = false;
      this.muted = false;
      this.over = false;
      this.value = undefined;
      this.failure = undefined;
      this.envelope = undefined;
      this.began = now();
    }

    get left() {
      return this.request.limit - (now() - this.began);
    }
  }

  const owner = () => active || current || runs[order[order.length - 1]];

  function remember(id, run) {
    runs[id] = run;
    add(order, id);
    if (order.length <= 256) return;
    const oldest = splice(order, 0, 1)[0];
    forget(runs[oldest]);
    delete runs[oldest];
  }

  function forget(run) {
    if (!run.out) return;
    copied -= run.out.copied + run.err.copied;
    run.out.copied = run.err.copied = 0;
    run.out.copies = [];
    run.err.copies = [];
    if (run.envelope && run.envelope.length > MAX_LATE) run.envelope = toJson(summary(run));
  }

  // --- output ---

  // Many small writes travel together: all but the first ones of a burst, for at most this long.
  const BURST_MS = 20;
  const BURST_WRITES = 50;
  const BATCH_BYTES = 32 << 10;
  const ownStreams = [];

  class Output {
    constructor(run) {
      this.run = run;
      this.to = undefined;
      this.batch = [];
      this.batched = 0;
      this.burst = 0;
      this.writes = 0;
      this.decoder = new StringDecoder("utf8");
      this.isSplit = false;
      this.bytes = 0;
      this.copies = [];
      this.copied = 0;
    }

    receive(chunk) {
      if (this.run.muted) return;
      if (add(this.batch, chunk) === this.batch[0]) setImmediate(() => this.flush()).unref();
      this.batched += chunk.length;
      this.writes++;
      const time = now();
      if (time - this.burst > BURST_MS) {
        this.burst = time;
        this.writes = 0;
      }
      if (this.writes < BURST_WRITES || this.batched > BATCH_BYTES) this.flush();
    }

    flush() {
      if (this.batch.length === 0) return;
      const chunk = this.batch.length === 1 ? this.batch[0] : concat(this.batch);
      this.batch = [];
      this.batched = 0;
      if (!this.isSplit && isUtf8(chunk)) return this.send(chunk);
      // Kernels decode write by write; a character that two writes share goes with the second one.
      this.isSplit = true;
      this.send(bytesOf(decodePart(this.decoder, chunk)));
    }

    close() {
      this.flush();
      this.send(bytesOf(decodeRest(this.decoder)));
      this.isSplit = false;
    }

    send(bytes) {
      if (this.run.over) {
        const name = this === this.run.out ? "out" : "err";
        late[name] = slice(late[name] + decode(bytes), -MAX_LATE);
        return;
      }
      this.bytes += bytes.length;
      for (let i = 0; copied + bytes.length > MAX_COPIES && i < order.length - 1; i++) forget(runs[order[i]]);
      if (copied + bytes.length <= MAX_COPIES) {
        copied += bytes.length;
        this.copied += bytes.length;
        add(this.copies, bytes);
      }
      attempt(() => deliver(this.to, bytes));
    }
  }

  // Not by `write` where it can be avoided: code that was stopped inside of one leaves a stream that never writes again.
  function deliver(stream, bytes) {
    if (typeof stream._transform === "function") stream._transform(bytes, "buffer", () => {});
    else streamWrite(stream, bytes);
  }

  function receive(run, descriptor, chunk) {
    const to = active || (run.over && current) || run;
    (descriptor === 1 ? to.out : to.err).receive(chunk);
  }

  // What code prints past `process.stdout`.
  function print(descriptor, data, encoding) {
    const bytes = typeof data === "string" ? bytesOf(data, encoding) : bytesOf(data);
    receive(owner(), descriptor, bytes);
    return bytes.length;
  }

  function openStream(run, descriptor) {
    const stream = new Writable({
      __proto__: null,
      write(chunk, encoding, done) {
        receive(run, descriptor, chunk);
        done();
      },
    });
    stream.fd = descriptor;
    stream.destroy = () => stream;
    return stream;
  }

  // --- requests and answers ---

  let kernelStreams = { stdout: process.stdout, stderr: process.stderr };
  let records = [];

  function handle(request) {
    if (request === undefined) {
      const action = task;
      task = undefined;
      return action && action();
    }
    if (typeof request.mark !== "string") return undefined;
    for (let i = 0; i < records.length; i++) attempt(() => unlinkSync(records[i]));
    records = [];
    const reply = openReply(request.mark);
    const { op, id } = request;
    const known = runs[id];
    if (op === "fetch" && known && known.over && known.out) {
      answer(reply, record(known));
    } else if (known) {
      answerWhenOver(known, reply, op === "run" ? request.limit : request.wait);
    } else if (op === "run") {
      const run = new Run(request);
      remember(id, run);
      add(run.replies, reply);
      run.out.to = reply.stdout;
      run.err.to = reply.stderr;
      if (current) add(queue, run);
      else setImmediate(begin, (current = run));
    } else {
      remember(id, { __proto__: null, over: true, envelope: state(id, "never") });
      answer(reply, state(id, "never"));
    }
    return undefined;
  }

  function state(id, name, more) {
    return toJson({ __proto__: null, v: 1, boot, id, state: name, ...more });
  }

  function summary(run) {
    const { id, end, exit, out, err } = run;
    return { __proto__: null, v: 1, boot, id, state: "done", end, exit, out: out.bytes, err: err.bytes };
  }

  function openReply(mark) {
    const { stdout, stderr } = process;
    if (indexIn(ownStreams, stdout) < 0) {
      kernelStreams = { stdout, stderr };
      // nel pipes each of its streams into the one that it found, which is ours.
      define(stdout, "push", () => true);
      define(stderr, "push", () => true);
    }
    const kernel = root.$$;
    const done = kernel && kernel.done;
    if (done) kernel.async();
    return { ...kernelStreams, mark, done, timer: undefined };
  }

  function answer(reply, json) {
    clearTimeout(reply.timer);
    repair();
    deliver(reply.stdout, bytesOf(`\n${reply.mark}${json}\n`));
    if (reply.done) reply.done();
  }

  function answerWhenOver(run, reply, wait) {
    if (run.over) return answer(reply, stored(run));
    add(run.replies, reply);
    reply.timer = setTimeout(() => {
      splice(run.replies, indexIn(run.replies, reply), 1);
      answer(reply, state(run.id, "running"));
    }, wait);
    reply.timer.unref();
  }

  function stored(run) {
    return run.envelope.length > MAX_ENVELOPE ? record(run) : run.envelope;
  }

  function record(run) {
    try {
      const streams = toJson({ __proto__: null, stdout: whole(run.out), stderr: whole(run.err) });
      const bytes = bytesOf(`{"envelope":${run.envelope},${slice(streams, 1)}`);
      const name = `aca-record-${exec(/^[\w-]{1,80}$/, run.id)[0]}.json`;
      add(records, `${DATA}/${name}`);
      const file = openSync(`${DATA}/${name}`, "w");
      for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done);
      closeSync(file);
      return state(run.id, "file", { file: [name, bytes.length, sha256(bytes)] });
    } catch (error) {
      return toJson({ ...summary(run), warnings: [`The record could not be written: ${get(error, "message")}`] });
    }
  }

  const whole = (output) => decode(concat(output ? output.copies : []));
  const sha256 = (bytes) => digest(update(createHash("sha256"), bytes), "hex");

  // The kernel works with these, too. What code replaces among them is put back at its end; what it adds stays.
  const needed = [];
  const prototypesOf = [Object, Array, Function, root.String, Promise, Buffer, load("events"), load("stream").Writable];
  remind(root, ["Object", "Promise", "process", "global"]);
  for (const type of prototypesOf) {
    remind(type, ownKeys(type));
    remind(type.prototype, ownKeys(type.prototype));
  }
  remind(process, ["send", "nextTick"]);
  remind(load("vm"), ["runInThisContext"]);

  function remind(owner, names) {
    for (const name of names) {
      const property = getOwnPropertyDescriptor(owner, name);
      if (property && property.configurable && (owner === root || "value" in property)) add(needed, [owner, name, owner[name]]);
    }
  }

  function repair() {
    for (let i = 0; i < needed.length; i++) {
      const item = needed[i];
      if (get(item[0], item[1]) !== item[2]) define(item[0], item[1], item[2]);
    }
    for (let i = 0; i < DISTURBING.length; i++) attempt(() => delete Object.prototype[DISTURBING[i]]);
    root.$$mimer$$ = undefined;
  }

  const DISTURBING = ["get", "set", "value", "writable", "toJSON", "then"];

  // --- names ---

  // Node.js itself, packages and the kernel need these, or each text has its own: later runs get them as bindings around
  // their code.
  const reserved = { __proto__: null };
  const RESERVED = "require,module,exports,__filename,__dirname,$$,$$mimer$$,__aca".split(",").concat(ownKeys(root));
  for (let i = 0; i < RESERVED.length; i++) reserved[RESERVED[i]] = true;
  const published = { __proto__: null };
  const kept = { __proto__: null };

  // From here on later runs see the names; each reads and writes the binding itself.
  function publish(run) {
    for (let i = 0; i < run.bindings.length; i++) {
      const binding = run.bindings[i];
      const { name, former, get, set } = binding;
      let value;
      try {
        value = get();
      } catch {
        // Its initialiser did not come to an end: what a former run left stays.
        continue;
      }
      if (former && value !== binding.initial) attempt(() => former.set(value));
      const accessor = { __proto__: null, get, set, configurable: true, enumerable: false };
      if (reserved[name] || !defineProperty(root, name, accessor)) kept[name] = binding;
      else delete kept[name];
      published[name] = binding;
    }
    run.bindings = [];
  }

  // --- from a text to what can be called ---

  const compileModule = uncurry(Module.prototype._compile);
  const importer = new Module(`${DATA}/aca.js`);
  importer._compile("module.exports = (specifier) => import(specifier);", `${DATA}/aca.js`);
  const importModule = importer.exports;
  const importModuleDynamically = constants.USE_MAIN_CONTEXT_DEFAULT_LOADER;

  function newScript(run, source, columnOffset) {
    return new Script(source, { __proto__: null, filename: run.file, columnOffset, importModuleDynamically });
  }

  function compile(run) {
    const { code, errors, async, module } = run.request;
    let failure;
    if (!errors) {
      try {
        return compileBody(run);
      } catch (error) {
        failure = error;
      }
    }
    try {
      const script = newScript(run, code, 0);
      run.bindings = [];
      run.anchors = [];
      run.body = code;
      run.header = 0;
      return () => runScript(script, { __proto__: null, displayErrors: false });
    } catch (error) {
      if (!async && !module) {
        run.header = 0;
        run.anchors = [];
        throw error;
      }
      if (!failure) return compileBody(run);
      throw failure;
    }
  }

  // The body runs in a function, as CommonJS does it. All that is ours stands before it on its first line.
  function compileBody(run) {
    const { async, code, imports, module, names, strict, vars } = run.request;
    let own = "$aca";
    while (indexOf(code, own) >= 0) own += "_";
    const isDeclared = { __proto__: null };
    let around = "";
    let starts = "";
    let pairs = "";
    const give = (keyword, name, value) => {
      around += `${keyword} ${name}=${own}.given[${run.given.length}];`;
      add(run.given, value);
    };
    const expose = (name, former, initial) => {
      isDeclared[name] = true;
      pairs += `()=>${name},${own}=>{${name}=${own}},`;
      add(run.bindings, { __proto__: null, name, former, initial });
    };
    for (let i = 0; i < names.length; i++) expose(names[i]);
    for (let i = 0; i < vars.length; i++) {
      if (published[vars[i]]) starts += `${vars[i]}=${own}(${stringify(vars[i])});`;
    }
    for (let i = 0; i < imports.length; i++) {
      const pairs = imports[i][2];
      for (let j = 0; j < pairs.length; j++) give("const", pairs[j][1]);
    }
    const keptNames = keys(kept);
    for (let i = 0; i < keptNames.length; i++) {
      const name = keptNames[i];
      if (isDeclared[name] || indexOf(code, name) < 0) continue;
      const value = kept[name].get();
      give("let", name, value);
      expose(name, kept[name], value);
    }
    if (module) give("const", "$importMeta", importMeta(run));
    const header =
      `(function(${own}){${around}return ${async ? "async " : ""}function(` +
      `${module ? "" : "exports,require,module,__filename,__dirname"}){` +
      `${strict ? '"use strict";' : ""}${starts}${own}(${pairs});`;
    run.header = header.length;
    applyEdits(run);
    const outer = evaluate(run, `${header}${run.body}\n}})`);
    return () => {
      const hook = function (name) {
        if (typeof name === "string") return published[name].get();
        for (let i = 0; i < run.bindings.length; i++) {
          run.bindings[i].get = arguments[2 * i];
          run.bindings[i].set = arguments[2 * i + 1];
        }
        return undefined;
      };
      hook.given = run.given;
      const body = apply(outer, undefined, [hook]);
      if (module) return apply(body, undefined, []);
      const own = newModule(run);
      return apply(body, own.exports, [own.exports, own.require, own, run.file, DATA]);
    };
  }

  function evaluate(run, source) {
    if (importModuleDynamically) return runScript(newScript(run, source, -run.header));
    // Before Node.js 20.12 only what is compiled as a module may import; its columns can't be moved.
    const start = "return";
    run.shift = run.header += start.length;
    return compileModule(new Module(run.file), start + source, run.file);
  }

  function newModule(run) {
    const module = new Module(run.file);
    module.filename = run.file;
    module.paths = Module._nodeModulePaths(DATA);
    define(module, "require", createRequire(run.file));
    module.require.main = module;
    return module;
  }

  function importMeta(run) {
    const url = `${pathToFileURL(run.file)}`;
    const { resolve } = createRequire(run.file);
    const meta = { __proto__: null, dirname: DATA, filename: run.file, main: true, url };
    meta.resolve = (specifier) => {
      if (exec(/^\.{0,2}\/|^\w+:/, specifier)) return new URL(specifier, url).href;
      const found = resolve(specifier);
      return found[0] === "/" ? pathToFileURL(found).href : `node:${found}`;
    };
    return meta;
  }

  // The anchors lead back from the body to the text: offset in the body, in the text, and where that stretch ends.
  function applyEdits(run) {
    const { code, edits } = run.request;
    let body = "";
    let position = 0;
    run.anchors = [];
    for (let i = 0; i <= edits.length; i++) {
      const edit = i < edits.length ? edits[i] : [code.length, code.length, ""];
      add(run.anchors, [body.length, position, edit[0]]);
      body += slice(code, position, edit[0]);
      add(run.anchors, [body.length, edit[0], edit[1]]);
      body += edit[2];
      position = edit[1];
    }
    run.body = body;
  }

  async function importAll(run) {
    const { imports } = run.request;
    const require = createRequire(run.file);
    let given = 0;
    for (let i = 0; i < imports.length; i++) {
      let specifier = imports[i][0];
      const pairs = imports[i][2];
      run.line = imports[i][1];
      let module;
      // Node.js's own way for JSON warns, and is another one in each version.
      if (imports[i][3].type === "json") module = { __proto__: null, default: require(specifier) };
      else module = await importModule(specifier);
      for (let j = 0; j < pairs.length; j++) run.given[given++] = pick(module, pairs[j][0], specifier);
    }
    run.line = undefined;
  }

  function pick(module, name, specifier) {
    if (name === "*") return module;
    if (name in module) return module[name];
    // What Node.js's scan of a CommonJS package missed.
    const all = module.default;
    if (all !== undefined && all !== null && name in Object(all)) return all[name];
    throw new SyntaxError(`The requested module '${specifier}' does not provide an export named '${name}'`);
  }

  // --- errors ---

  function describeError(run, error, depth) {
    const about = { __proto__: null, name: typeof error, message: "", cell: run.cell };
    const stack = get(error, "stack");
    const isError = typeof stack === "string";
    if (isError || types.isNativeError(error)) {
      about.name = text(get(error, "name"), "Error");
      about.message = text(get(error, "message"), "");
      const code = get(error, "code");
      if (typeof code === "string" || typeof code === "number") about.code = code;
      if (isError) readStack(about, run, stack);
      const cause = get(error, "cause");
      if (cause !== undefined && depth < 4) about.cause = describeError(run, cause, depth + 1);
      const errors = get(error, "errors");
      if (isArray(errors) && depth < 4) {
        about.errors = [];
        for (let i = 0; i < errors.length && i < 5; i++) add(about.errors, describeError(run, errors[i], depth + 1));
      }
    } else {
      about.message = show(error);
    }
    if (depth === 0 && about.line === undefined) about.line = run.line;
    const cell = cells[about.cell];
    if (about.line !== undefined && cell) about.source = slice(lineOf(cell.request.code, about.line), 0, 1000);
    return about;
  }

  function text(value, otherwise) {
    return typeof value === "string" ? slice(value, 0, MAX_LATE) : otherwise;
  }

  function show(value) {
    const shown = attempt(() => inspect(value));
    return slice(typeof shown === "string" ? shown : "[cannot be shown]", 0, MAX_TEXT);
  }

  // Keeps the frames of user code, with places as in the model's text.
  function readStack(about, run, stack) {
    const lines = splitLines(stack);
    const frames = [];
    let last = 0;
    for (let i = 0; i < lines.length && frames.length < 50; i++) {
      let line = lines[i];
      if (!exec(/^ +at /, line) || exec(/\(?node:|evalmachine\.|\[eval/, line)) continue;
      const place = exec(/^(.*)\/mnt\/data\/cell_(\d+)\.js:(\d+):(-?\d+)(.*)$/, line);
      if (place) {
        const shift = cells[place[2]] && place[3] === "1" ? cells[place[2]].shift : 0;
        const at = textPlace(cells[place[2]], +place[3], +place[4] - shift);
        // Our own part of the first line.
        if (!at) continue;
        line = `${place[1]}/mnt/data/cell_${place[2]}.js:${at.line}:${at.column}${place[5]}`;
        if (about.line === undefined) {
          about.line = at.line;
          about.column = at.column;
          about.cell = +place[2];
        }
      }
      add(frames, line);
      if (!exec(/<anonymous>\)?$/, line)) last = frames.length;
    }
    about.stack = slice(join(splice(frames, 0, last), "\n"), 0, MAX_LATE);
    // The place of a syntax error stands before its stack: the line, and a caret under it unless it is the text's end.
    const place = exec(/^\/mnt\/data\/cell_(\d+)\.js:(\d+)\n(.*)\n( *\^)?/, stack);
    if (!place || about.line !== undefined) return;
    const column = place[4] ? place[4].length : place[3].length + 1;
    const at = textPlace(cells[place[1]], +place[2], column - (place[2] === "1" ? run.header : 0));
    if (at) {
      about.line = at.line;
      about.column = at.column;
    }
  }

  // What places in stacks refer to.
  const cells = { __proto__: null };

  function textPlace(run, line, column) {
    if (column < 1) return undefined;
    if (!run || run.anchors.length === 0) return { line, column };
    const offset = lineStart(run.body, line) + column - 1;
    let i = run.anchors.length - 1;
    while (i > 0 && run.anchors[i][0] > offset) i--;
    const anchor = run.anchors[i];
    const inText = anchor[1] + offset - anchor[0];
    return { line, column: (inText < anchor[2] ? inText : anchor[2]) - lineStart(run.request.code, line) + 1 };
  }

  function lineStart(string, line) {
    let start = 0;
    for (; line > 1; line--) start = indexOf(string, "\n", start) + 1 || string.length;
    return start;
  }

  function lineOf(string, line) {
    const start = lineStart(string, line);
    const end = indexOf(string, "\n", start);
    return slice(string, start, end < 0 ? string.length : end);
  }

  function splitLines(string) {
    const lines = [];
    for (let start = 0; start >= 0 && lines.length < 1000; ) {
      const end = indexOf(string, "\n", start);
      add(lines, end < 0 ? slice(string, start) : slice(string, start, end));
      start = end < 0 ? -1 : end + 1;
    }
    return lines;
  }

  // --- values ---

  const MEDIA = [
    ["html", "Html", "text/html"],
    ["svg", "Svg", "image/svg+xml"],
    ["png", "Png", "image/png"],
    ["jpeg", "Jpeg", "image/jpeg"],
    ["text", "", "text/plain"],
    ["json", "", "application/json"],
  ];

  function describeValue(value) {
    const about = { __proto__: null, text: show(value), mime: bundleOf(value) };
    if (isPlain(value, 0, { nodes: 0 })) {
      const json = stringify(value);
      if (json.length < MAX_ENVELOPE / 2) about.json = { [IS_JSON]: json };
    }
    return about;
  }

  // Whether JSON tells all of it.
  function isPlain(value, depth, count) {
    if (value === null || typeof value === "string" || typeof value === "boolean") return true;
    if (typeof value === "number") return Number.isFinite(value) && !is(value, -0);
    if (typeof value !== "object" || types.isProxy(value) || depth > 50) return false;
    const isList = isArray(value);
    if (getPrototypeOf(value) !== (isList ? Array : Object).prototype || "toJSON" in value) return false;
    const names = ownKeys(value);
    if ((count.nodes += names.length) > 1e5 || (isList && names.length !== value.length + 1)) return false;
    for (let i = 0; i < names.length - isList; i++) {
      const item = getOwnPropertyDescriptor(value, names[i]);
      if (typeof names[i] !== "string" || !item.enumerable || item.get || item.set) return false;
      if (!isPlain(item.value, depth + 1, count)) return false;
    }
    return true;
  }

  function bundleOf(value) {
    if (typeof value !== "object" || value === null) return undefined;
    const bundle = { __proto__: null };
    const own = attempt(() => value._toMime());
    if (own) attempt(() => addAll(bundle, own));
    for (let i = 0; i < 4; i++) addMedia(bundle, MEDIA[i][2], attempt(() => value[`_to${MEDIA[i][1]}`]()));
    return keys(bundle).length ? bundle : undefined;
  }

  function addAll(bundle, from) {
    const names = keys(from);
    for (let i = 0; i < names.length && i < 20; i++) addMedia(bundle, names[i], from[names[i]]);
  }

  function addMedia(bundle, type, content) {
    if (content === undefined || bundle[type] !== undefined) return;
    if (types.isUint8Array(content)) bundle[type] = decode(bytesOf(content), exec(/^image\/(png|jpeg)/, type) ? "base64" : "utf8");
    else if (typeof content === "object") bundle[type] = { [IS_JSON]: stringify(content) || "null" };
    else bundle[type] = `${content}`;
  }

  // The kernel's `$$`, for this run.
  function displayApi(run) {
    const api = { __proto__: null, config: {} };
    const end = (value) => {
      run.value = value;
      run.mayStayPending = true;
      setImmediate(complete, run);
    };
    const settling = (action) => (value, keep) => {
      if (!types.isPromise(value)) return action(value, keep);
      whenSettled(value, action, (error) => uncaught(error));
      return undefined;
    };
    const show = (bundle, place) => {
      const mime = { __proto__: null };
      addAll(mime, bundle);
      if (run.displays.length < 1000) run.displays[place ?? run.displays.length] = { __proto__: null, mime };
    };
    const methods = (target, place) => {
      target.mime = settling((bundle) => show(bundle, place()));
      for (let i = 0; i < MEDIA.length; i++) {
        target[MEDIA[i][0]] = settling((content) => show({ [MEDIA[i][2]]: content }, place()));
      }
      return target;
    };
    const named = { __proto__: null };
    api.async = (value = true) => !!value;
    api.done = end;
    api.sendResult = settling(end);
    api.sendError = settling((error) => fail(run, error));
    methods(api, () => undefined);
    api.display = (id) => {
      const place = () => (id === undefined ? undefined : (named[id] ??= run.displays.length));
      return methods({ close() {} }, place);
    };
    api.clear = () => {
      run.displays.length = 0;
    };
    api.input = () => Promise.reject(new Error("Nobody can answer: there is no input here."));
    return api;
  }

  // --- files ---

  let snapshot = walk([]);

  // All files below /mnt/data: path → [size, time of change, file number].
  function walk(warnings) {
    const found = { __proto__: null };
    const folders = [""];
    let count = 0;
    for (let i = 0; i < folders.length; i++) {
      const entries = attempt(() => readdirSync(DATA + folders[i], { __proto__: null, withFileTypes: true })) || [];
      for (let j = 0; j < entries.length; j++) {
        const { name } = entries[j];
        const path = `${folders[i]}/${name}`;
        if (entries[j].isDirectory()) {
          if (name !== "node_modules" && name[0] !== ".") add(folders, path);
        } else if (entries[j].isFile() && !exec(/^\/aca-record-[\w-]+\.json$/, path)) {
          if (++count > 50000) {
            add(warnings, "There are too many files to tell which ones changed.");
            return snapshot;
          }
          const version = attempt(() => versionOf(path));
          if (version) found[slice(path, 1)] = version;
          else if (indexOf(name, "\ufffd") >= 0) add(warnings, `A file's name is not UTF-8: ${path}`);
        }
      }
    }
    return found;
  }

  function versionOf(path) {
    const about = lstatSync(DATA + path);
    return [about.size, about.mtimeMs, about.ino];
  }

  const isSame = (one, other) => one[0] === other[0] && one[1] === other[1] && one[2] === other[2];

  function changes(run) {
    const found = walk(run.warnings);
    const files = { __proto__: null, created: [], changed: [], deleted: [], more: 0 };
    let count = 0;
    let hashed = 0;
    const paths = keys(found);
    for (let i = 0; i < paths.length; i++) {
      const path = paths[i];
      const version = found[path];
      const former = snapshot[path];
      if (former && isSame(former, version)) continue;
      if (++count > 1000) {
        files.more++;
        continue;
      }
      let hash = null;
      if (version[0] <= MAX_ENVELOPE && (hashed += version[0]) <= MAX_COPIES) {
        hash = attempt(() => sha256(readFileSync(`${DATA}/${path}`))) || null;
        // Somebody is still writing it.
        if (!isSame(attempt(() => versionOf(`/${path}`)) || [], version)) hash = null;
      }
      add(former ? files.changed : files.created, [path, version[0], version[1], hash]);
    }
    const formerPaths = keys(snapshot);
    for (let i = 0; i < formerPaths.length; i++) {
      if (found[formerPaths[i]]) continue;
      if (++count > 1000) files.more++;
      else add(files.deleted, formerPaths[i]);
    }
    snapshot = found;
    return files;
  }

  // --- the life of a run ---

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
    enter(run);
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
      const version = attempt(() => versionOf(`/${seen[i]}`));
      if (version) snapshot[seen[i]] = version;
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
    process.exitCode = undefined;
  }

  function call(run, main) {
    if (run.over) return;
    const isAsync = run.request.async && run.header > 0;
    const start = () => {
      const value = main();
      if (isAsync) whenSettled(value, (settled) => mainOver(run, settled), (error) => mainFailed(run, error));
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

  function finish(run, end, exit) {
    if (run.over) return;
    active = undefined;
    publish(run);
    run.end = end;
    run.exit = exit;
    const envelope = summary(run);
    const subject = run.hasFailed ? run.failure : run.value;
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

  // --- what belongs to the process ---

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

  define(process, "exit", function exit(code) {
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

  // Puts a function in another one's place, with all that hangs on it.
  function replace(target, name, make) {
    const original = target[name];
    const made = make(original);
    for (const key of ownKeys(original)) {
      attempt(() => defineProperty(made, key, getOwnPropertyDescriptor(original, key)));
    }
    target[name] = made;
    return made;
  }

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

  // --- output that bypasses `process.stdout` ---

  const outputDescriptor = (target) => {
    if (target === 1 || target === "/dev/stdout") return 1;
    return target === 2 || target === "/dev/stderr" ? 2 : 0;
  };

  // The part of a buffer that `fs.write` is asked to write, or the string's bytes.
  function written(data, offset, length, encoding) {
    if (typeof data === "string") return bytesOf(data, encoding);
    if (typeof offset === "object" && offset !== null) ({ offset, length } = offset);
    const bytes = bytesOf(data.buffer, data.byteOffset, data.byteLength);
    return bytesOf(bytes.subarray(offset || 0, length === undefined ? undefined : (offset || 0) + length));
  }

  const optionsOf = (options) => (typeof options === "string" ? options : get(options || {}, "encoding"));

  replace(fs, "writeSync", (original) => function (target, data, offset, length) {
    if (!outputDescriptor(target)) return apply(original, this, arguments);
    return print(target, written(data, offset, length, length));
  });
  replace(fs, "write", (original) => function (target, data, offset, length) {
    const callback = arguments[arguments.length - 1];
    if (!outputDescriptor(target) || typeof callback !== "function") return apply(original, this, arguments);
    const count = print(target, written(data, +offset, +length || undefined, length));
    return nextTick(callback, null, count, data);
  });
  for (const name of ["writeFile", "appendFile"]) {
    replace(fs, `${name}Sync`, (original) => function (target, data, options) {
      const descriptor = outputDescriptor(target);
      if (!descriptor) return apply(original, this, arguments);
      print(descriptor, typeof data === "string" ? data : written(data), optionsOf(options));
      return undefined;
    });
  }
  replace(fs, "createWriteStream", (original) => function (path, options) {
    const descriptor = outputDescriptor(get(options || {}, "fd") ?? path);
    return descriptor ? openStream(owner(), descriptor) : apply(original, this, arguments);
  });
  for (const name of ["close", "closeSync"]) {
    replace(fs, name, (original) => function (target, callback) {
      if (target !== 1 && target !== 2) return apply(original, this, arguments);
      return callback && nextTick(callback, null);
    });
  }

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

  // --- a second thread, for loops that start after the code has waited ---

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

  defineProperty(root, "__aca", { __proto__: null, value: handle, writable: false, configurable: false });
  attempt(() => process.chdir(DATA));
  Module.syncBuiltinESMExports();
});
