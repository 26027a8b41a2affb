// Values as the client gets them: as text, as JSON where that tells all, as pictures and pages.

// Of these only the class is shown: what they hold is Node.js's own, and long.
const { ChildProcess } = childProcess;
const HANDLES = [load("stream"), load("net").Server, load("readline").Interface, ChildProcess, Worker];
add(HANDLES, setTimeout(() => {}).unref().constructor);
add(HANDLES, setImmediate(() => {}).unref().constructor);

const CLASS_ONLY = { __proto__: null, depth: -1, customInspect: false };

function isHandle(value) {
  for (let i = 0; i < HANDLES.length; i++) if (value instanceof HANDLES[i]) return true;
  return value === process;
}

function show(value) {
  const shown = attempt(() => inspect(value, attempt(() => isHandle(value)) ? CLASS_ONLY : undefined));
  return slice(typeof shown === "string" ? shown : "[cannot be shown]", 0, MAX_TEXT);
}

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
