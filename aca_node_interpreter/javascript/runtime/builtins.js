// Own copies of what Node.js and the language have, taken before any user code runs, and what else all the rest uses.
//
// The files of this folder are parts of one function, joined by `packing.py`, which knows their order. It gets `root`,
// the global object, and `boot`, the id of this installation. Comment lines and long names are not sent, so no comment
// may follow code, no literal may span lines, and no function's name may matter.
// User code shares this process and may break every built-in. Hence own copies, loops by index instead of iterators,
// and objects without a prototype wherever a property may be missing.

const { Array, Buffer, Error, JSON, Math, Number, Object, Promise, Reflect, Symbol, SyntaxError, TypeError, URL, process } = root;
const { clearImmediate, clearInterval, clearTimeout, setImmediate, setInterval, setTimeout } = root;
const load = root.require || process.getBuiltinModule;
const childProcess = load("child_process");
const fs = load("fs");
const Module = load("module");
const timers = load("timers");
const { isUtf8 = () => false } = load("buffer");
const { Console } = load("console");
const { createHash } = load("crypto");
const { closeSync, lstatSync, openSync, readFileSync, readdirSync, unlinkSync, writeFileSync, writeSync } = fs;
const { createRequire } = Module;
const { constants: osConstants, homedir, tmpdir } = load("os");
const { performance } = load("perf_hooks");
const { Readable, Writable } = load("stream");
const { StringDecoder } = load("string_decoder");
const { fileURLToPath, pathToFileURL } = load("url");
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
