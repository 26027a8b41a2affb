// What a run created, changed and deleted below /mnt/data.

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
