// Names that one run declares and later runs use.

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
