// What the kernel works with and code may have replaced: put back before each answer.

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
