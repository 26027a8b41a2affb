// Output that bypasses `process.stdout`: descriptors 1 and 2, and children that inherit them.

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
