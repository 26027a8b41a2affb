// Maps /mnt/data onto the session's own directory where nothing can be mounted (isolation="none").
//
// Preloaded with --require. Covers paths given to fs, to require() and import, to process.chdir() and as a child
// process's working directory. Not covered: /mnt/data inside a child's arguments, and native add-ons.
"use strict";

const childProcess = require("child_process");
const fs = require("fs");
const Module = require("module");
const { fileURLToPath, pathToFileURL } = require("url");
const { promisify } = require("util");

const MOUNT = "/mnt/data";
const directory = process.env.ACA_NODE_DATA;

function isBelow(path) {
  return path === MOUNT || path.startsWith(`${MOUNT}/`);
}

function real(path) {
  if (typeof path === "string") {
    if (isBelow(path)) return directory + path.slice(MOUNT.length);
    if (path.startsWith(`file://${MOUNT}`)) return pathToFileURL(real(fileURLToPath(path))).href;
    return path;
  }
  if (Buffer.isBuffer(path)) {
    const text = path.toString("latin1");
    return isBelow(text) ? Buffer.from(real(text), "latin1") : path;
  }
  if (path instanceof URL && path.protocol === "file:") return pathToFileURL(real(fileURLToPath(path)));
  return path;
}

function patch(owner, name, pathCount) {
  const original = owner[name];
  if (typeof original !== "function") return;
  const patched = function (...args) {
    for (let index = 0; index < pathCount; index++) args[index] = real(args[index]);
    return new.target ? Reflect.construct(original, args) : Reflect.apply(original, this, args);
  };
  owner[name] = Object.assign(patched, original);
  Object.defineProperty(patched, "name", { value: name });
  if (typeof original.native === "function") patch(patched, "native", pathCount);
}

const ONE_PATH = [
  "access", "appendFile", "chmod", "chown", "createReadStream", "createWriteStream", "exists", "lchmod", "lchown",
  "lstat", "lutimes", "mkdir", "mkdtemp", "open", "openAsBlob", "opendir", "readFile", "readdir", "readlink", "realpath",
  "rm", "rmdir", "stat", "statfs", "truncate", "unlink", "unwatchFile", "utimes", "watch", "watchFile", "writeFile",
];
const TWO_PATHS = ["copyFile", "cp", "link", "rename", "symlink"];

for (const [names, pathCount] of [[ONE_PATH, 1], [TWO_PATHS, 2]]) {
  for (const name of names) {
    patch(fs, name, pathCount);
    patch(fs, `${name}Sync`, pathCount);
    patch(fs.promises, name, pathCount);
  }
}
patch(process, "chdir", 1);
patch(Module, "createRequire", 1);
patch(Module, "_resolveFilename", 1);

if (typeof Module.registerHooks === "function") {
  Module.registerHooks({
    resolve: (specifier, context, next) => next(real(specifier), { ...context, parentURL: real(context.parentURL) }),
  });
}

function withRealDirectory(start) {
  const map = (argument) => (argument && argument.cwd ? { ...argument, cwd: real(argument.cwd) } : argument);
  return (...args) => start(...args.map(map));
}

for (const name of ["exec", "execFile", "execFileSync", "execSync", "fork", "spawn", "spawnSync"]) {
  const original = childProcess[name];
  childProcess[name] = withRealDirectory(original);
  if (original[promisify.custom]) childProcess[name][promisify.custom] = withRealDirectory(original[promisify.custom]);
}
Module.syncBuiltinESMExports();
