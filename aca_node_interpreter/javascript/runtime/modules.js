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

replace(Module, "_load", (original) => function (specifier, parent) {
  const run = owner();
  const cache = Module._cache;
  // What a loaded file loads is as old as that file.
  if (!run || !parent || cache[parent.filename]) return apply(original, this, arguments);
  const files = keys(cache);
  let someAreStale = false;
  for (let i = 0; i < files.length; i++) if (isOwnFile(files[i]) && isStale(files[i], run)) someAreStale = true;
  for (let i = 0; i < files.length && someAreStale; i++) {
    if (!isOwnFile(files[i])) continue;
    renew(files[i], run);
    delete cache[files[i]];
  }
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
  const url = new URL(specifier, pathToFileURL(run.file));
  const path = attempt(() => fileURLToPath(url));
  if (!path || !isOwnFile(path) || url.search) return specifier;
  if (isStale(path, run)) renew(path, run);
  return loaded[path].renewed ? `${url.href}?${loaded[path].renewed}` : specifier;
}
