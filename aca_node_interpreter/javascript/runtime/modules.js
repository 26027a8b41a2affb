// Files that code has loaded and then written anew: a later run loads them anew, as a new process would.

// For each loaded file below /mnt/data, packages aside: its version, the run that loaded it, how often it was renewed.
const loaded = { __proto__: null };

const isOwnFile = (path) => exec(/^\/mnt\/data\/(?!.*\bnode_modules\/)/, path);
const currentVersion = (path) => attempt(() => versionOf(slice(path, DATA.length))) || [];

// Tells whether a file has changed since an earlier run loaded it; takes note of it otherwise.
function isStale(path, run) {
  const known = loaded[path];
  if (!known) loaded[path] = { __proto__: null, version: currentVersion(path), run, renewed: 0 };
  return known && known.run !== run && !isSame(known.version, currentVersion(path));
}

function renew(path, run) {
  const { renewed } = loaded[path];
  loaded[path] = { __proto__: null, version: currentVersion(path), run, renewed: renewed + 1 };
}

// Takes from the cache what has changed, and what has loaded that.
function dropStale(run) {
  const cache = Module._cache;
  const files = keys(cache);
  const drop = (path) => {
    if (!cache[path]) return;
    renew(path, run);
    delete cache[path];
    // Another file may be meant by what meant this one.
    const paths = Module._pathCache;
    const known = keys(paths);
    for (let i = 0; i < known.length; i++) if (paths[known[i]] === path) delete paths[known[i]];
    for (let i = 0; i < files.length; i++) {
      const children = cache[files[i]]?.children;
      if (!isOwnFile(files[i]) || !isArray(children)) continue;
      for (let j = 0; j < children.length; j++) if (children[j]?.filename === path) drop(files[i]);
    }
  };
  for (let i = 0; i < files.length; i++) if (isOwnFile(files[i]) && isStale(files[i], run)) drop(files[i]);
}

replace(Module, "_load", (original) => function (specifier, parent) {
  const run = owner();
  const cache = Module._cache;
  const isInner = parent && cache[parent.filename];
  if (!run || !parent || (isInner && !isOwnFile(parent.filename))) return apply(original, this, arguments);
  // What a loaded file loads is as old as that file.
  if (!isInner) dropStale(run);
  try {
    return apply(original, this, arguments);
  } finally {
    const now = keys(cache);
    for (let i = 0; i < now.length; i++) if (isOwnFile(now[i])) isStale(now[i], run);
  }
});

// A module can't be unloaded, but has another name with a query.
function freshSpecifier(specifier, run) {
  if (!exec(/^\.{0,2}\/|^file:/, specifier)) return specifier;
  dropStale(run);
  const url = new URL(specifier, pathToFileURL(run.file));
  const path = attempt(() => fileURLToPath(url));
  if (!path || !isOwnFile(path) || url.search) return specifier;
  if (isStale(path, run)) renew(path, run);
  return loaded[path].renewed ? `${url.href}?${loaded[path].renewed}` : specifier;
}
