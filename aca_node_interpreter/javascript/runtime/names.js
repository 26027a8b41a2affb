// Names that one run declares and later runs use.
//
// Each text has bindings of its own, so that it runs as plain JavaScript does. Those of one name are kept alike, so that
// a function sees what a later run declared anew: where a declaration is over, between statements, and where a run
// begins and ends, what is new in one of them is copied to the others.

// Node.js itself, packages and the kernel need these, or each text has its own: later runs get them as bindings around
// their code.
const reserved = { __proto__: null };
const RESERVED = "require,module,exports,__filename,__dirname,$$,$$mimer$$,__aca".split(",").concat(ownKeys(root));
for (let i = 0; i < RESERVED.length; i++) reserved[RESERVED[i]] = true;

// For each name its bindings, the newest last, and the value that they had when they were last looked at.
const slots = { __proto__: null };
const given = { __proto__: null };
const MAX_BINDINGS = 50;
// More than these are not looked through each time that somebody reads one.
const FEW_BINDINGS = 8;

const newest = (slot) => slot.bindings[slot.bindings.length - 1];

function publish(run) {
  for (let i = 0; i < run.bindings.length; i++) publishOne(run.bindings[i]);
  run.bindings = [];
  keepAllAlike();
}

function publishOne(binding) {
  let value;
  try {
    value = binding.get();
  } catch {
    // Its initialiser did not come to an end: what a former run left stays.
    return;
  }
  const slot = (slots[binding.name] ??= { __proto__: null, bindings: [], value });
  const isNew = indexIn(slot.bindings, binding) < 0;
  if (isNew) {
    add(slot.bindings, binding);
    if (slot.bindings.length > MAX_BINDINGS) splice(slot.bindings, 0, 1);
    expose(slot, binding);
  }
  if (isNew ? !binding.isGiven : !is(value, slot.value)) spread(slot, value);
}

// From here on later runs see the name; they read and write the binding itself.
function expose(slot, binding) {
  const { name } = binding;
  const get = () => {
    if (slot.bindings.length > 1 && slot.bindings.length <= FEW_BINDINGS) keepAlike(slot);
    return binding.get();
  };
  const set = (value) => {
    if (binding.isConstant) throw new TypeError("Assignment to constant variable.");
    binding.set(value);
    if (slot.bindings.length > 1) spread(slot, value);
  };
  const accessor = { __proto__: null, get, set, configurable: true, enumerable: false };
  if (reserved[name] || !defineProperty(root, name, accessor)) given[name] = slot;
}

// Code may be stopped in between, or have no stack left: what is new is then found again, for it differs from `value`.
function spread(slot, value) {
  const { bindings } = slot;
  const kept = [];
  for (let i = 0; i < bindings.length; i++) {
    let isFixed = false;
    try {
      bindings[i].set(value);
    } catch (error) {
      if (error instanceof RangeError) throw error;
      isFixed = true;
    }
    // What is constant can't follow; only the newest stays nevertheless.
    if (!isFixed || i === bindings.length - 1) add(kept, bindings[i]);
  }
  slot.bindings = kept;
  slot.value = value;
}

// What earlier functions have changed of what a text has declared anew; what it declared constant stays so to its end.
function follow({ bindings }) {
  for (let i = 0; i < bindings.length; i++) {
    const slot = slots[bindings[i].name];
    if (slot && !bindings[i].isConstant) keepAlike(slot);
  }
}

function keepAllAlike() {
  const names = keys(slots);
  for (let i = 0; i < names.length; i++) keepAlike(slots[names[i]]);
}

function keepAlike(slot) {
  for (let i = slot.bindings.length - 1; i >= 0 && slot.bindings.length > 1; i--) {
    const value = slot.bindings[i].get();
    if (!is(value, slot.value)) return spread(slot, value);
  }
}
