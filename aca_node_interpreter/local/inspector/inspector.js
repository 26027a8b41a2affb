// The inspector page: asks the pool each second and shows what it says.
//
// Everything that comes from a session is hostile: it is shown as text only, pictures through blob: addresses in <img>.

const VERSION = { "api-version": "2025-10-02-preview" };
const EACH_MILLISECONDS = 1000;
const SHOWN_CHARACTERS = 4000;
const MAX_THUMBNAIL_BYTES = 8 * 1024 * 1024;
const PICTURES = { png: "image/png", jpg: "image/jpeg", jpeg: "image/jpeg", gif: "image/gif", webp: "image/webp", svg: "image/svg+xml" };

const $ = (id) => document.getElementById(id);
const chosen = { identifier: "", version: -1, folder: "" };
let token = "";

// --- asking the pool ---

class NotAllowed extends Error {}

async function ask(path, { method = "GET", ...parameters } = {}) {
  const query = new URLSearchParams(parameters);
  const answer = await fetch(`${path}?${query}`, { method, headers: { Authorization: `Bearer ${token}` }, cache: "no-store" });
  if (answer.status === 401) throw new NotAllowed("The pool does not know this token.");
  if (!answer.ok) {
    const body = await answer.json().catch(() => ({}));
    const error = new Error(body.error?.message ?? `The pool answered ${answer.status}.`);
    error.status = answer.status;
    throw error;
  }
  return answer;
}

const askJson = async (path, parameters) => (await ask(path, parameters)).json();

// --- making elements ---

function element(tag, options = {}, ...children) {
  const made = Object.assign(document.createElement(tag), options);
  made.append(...children);
  return made;
}

// Keeps the elements of things that are still there, so that nothing jumps, loses the focus or its scroll position.
function sync(list, things, make) {
  const old = new Map([...list.children].map((child) => [child.dataset.key, child]));
  things.forEach(({ key, state, thing }, index) => {
    let child = old.get(key);
    old.delete(key);
    if (!child || child.dataset.state !== state) {
      const made = make(thing);
      made.dataset.key = key;
      made.dataset.state = state;
      if (child?.contains(document.activeElement)) made.querySelector("button")?.focus();
      child?.replaceWith(made);
      child = made;
    }
    if (list.children[index] !== child) list.insertBefore(child, list.children[index] ?? null);
  });
  for (const child of old.values()) child.remove();
}

const addresses = new Map();

function blobAddress(key, blob) {
  if (!addresses.has(key)) addresses.set(key, URL.createObjectURL(blob));
  return addresses.get(key);
}

function span(seconds) {
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB"];
  let unit = 0;
  for (; bytes >= 1024 && unit < 3; unit++) bytes /= 1024;
  return `${unit && bytes < 10 ? bytes.toFixed(1) : Math.round(bytes)} ${units[unit]}`;
}

// --- the pool ---

function showPool(pool) {
  const facts = [
    ["isolation", pool.isolation, pool.isolation === "none"],
    ["egress", pool.egress, pool.egress === "host"],
    ["Node.js", pool.node],
    ["sessions", `${pool.sessions.length} of ${pool.maxSessions}`, pool.sessions.length >= pool.maxSessions],
    ["ready", pool.ready],
  ];
  const items = facts.map(([name, value, warning]) => ({ key: name, state: String(value), thing: { name, value, warning } }));
  sync($("facts"), items, ({ name, value, warning }) =>
    element("li", { className: warning ? "warning" : "" }, `${name} `, element("b", { textContent: value })));
  $("count").textContent = pool.sessions.length || "";
  const sessions = pool.sessions.map((it) => {
    const idle = it.running ? "running" : `idle, ends in ${span(it.idleLeft)}`;
    const current = it.identifier === chosen.identifier;
    return { key: it.identifier, state: `${idle} ${it.runs} ${current}`, thing: { ...it, idle, current } };
  });
  sync($("sessions"), sessions, (it) => {
    const runs = `${it.runs} run${it.runs === 1 ? "" : "s"} · ${it.idle}`;
    const button = element("button", { onclick: () => choose(it.identifier) },
      element("span", { className: "dot" }),
      element("span", { className: "name mono", textContent: it.identifier, title: it.identifier }),
      element("span", { className: "quiet", textContent: runs }));
    button.setAttribute("aria-current", it.current);
    return element("li", { className: it.running ? "busy" : "" }, button);
  });
  $("no-sessions").hidden = pool.sessions.length > 0;
  $("first-run").textContent = `curl '${location.origin}/code/execute?identifier=my-session' \\
  -H "Authorization: Bearer $ACA_POOL_TOKEN" \\
  -H 'Content-Type: application/json' \\
  -d '{"properties": {"code": "6 * 7"}}'`;
  const session = pool.sessions.find((it) => it.identifier === chosen.identifier);
  if (!session && pool.sessions.length) return choose(pool.sessions.at(-1).identifier);
  $("session").hidden = !session;
  if (session) {
    $("identifier").textContent = session.identifier;
    const left = session.running ? "running" : `ends in ${span(session.idleLeft)} unless it is used`;
    $("dates").textContent = `${span(session.age)} old, ${left}`;
  }
  return session;
}

function choose(identifier) {
  if (identifier === chosen.identifier) return;
  Object.assign(chosen, { identifier, version: -1, folder: "" });
  for (const id of ["runs", "files"]) $(id).replaceChildren();
  for (const address of addresses.values()) URL.revokeObjectURL(address);
  addresses.clear();
  refreshSoon();
}

// --- runs ---

function showRuns({ version, runs }) {
  chosen.version = version;
  const items = runs.map((run) => ({ key: String(run.number), state: run.status, thing: run })).reverse();
  sync($("runs"), items, makeRun);
  $("no-runs").hidden = runs.length > 0;
}

function makeRun(run) {
  const head = element("div", { className: "head" },
    element("span", { className: "state", textContent: run.status }),
    element("span", { className: "quiet", textContent: `run ${run.number}` }));
  if (run.milliseconds !== null) head.append(element("span", { className: "quiet", textContent: `${run.milliseconds} ms` }));
  const at = new Date(run.started * 1000);
  head.append(element("time", { className: "when", dateTime: at.toISOString(), textContent: at.toLocaleTimeString() }));
  const made = element("li", { className: `run ${run.status.toLowerCase()}` }, head, ...longText(run.code, "code"));
  for (const name of ["stdout", "stderr"]) {
    if (run[name]) made.append(part(name, ...longText(run[name], name)));
  }
  if (run.value?.type === "image") made.append(part("value", picture(`value ${run.number}`, run.value)));
  else if (run.value !== "" && run.value !== null) made.append(part("value", ...longText(asText(run.value), "value")));
  return made;
}

const asText = (value) => (typeof value === "string" ? value : JSON.stringify(value));

function part(name, ...children) {
  return element("div", { className: `part ${name}` }, element("span", { textContent: name }), ...children);
}

function longText(text, name) {
  const shown = element("pre", { className: name, textContent: text.slice(0, SHOWN_CHARACTERS), tabIndex: 0 });
  if (text.length <= SHOWN_CHARACTERS) return [shown];
  const rest = text.length - SHOWN_CHARACTERS;
  const more = element("button", { className: "more", textContent: `Show ${rest.toLocaleString()} more characters` });
  more.onclick = () => {
    shown.textContent = text;
    more.remove();
  };
  return [shown, more];
}

function picture(key, value) {
  try {
    const bytes = Uint8Array.from(atob(value.base64_data), (character) => character.charCodeAt(0));
    const blob = new Blob([bytes], { type: `image/${value.format === "jpeg" ? "jpeg" : "png"}` });
    return element("img", { src: blobAddress(key, blob), alt: "The value of this run" });
  } catch {
    return element("pre", { textContent: "[a picture that can't be read]" });
  }
}

// --- files ---

function showFiles({ files, cut }) {
  const parts = chosen.folder ? chosen.folder.split("/") : [];
  const crumbs = ["/mnt/data", ...parts].flatMap((name, index) => {
    const folder = parts.slice(0, index).join("/");
    return [index ? "/" : "", element("button", { textContent: name, onclick: () => enter(folder) })];
  });
  if ($("folder").dataset.state !== chosen.folder || !$("folder").hasChildNodes()) {
    $("folder").replaceChildren(...crumbs);
    $("folder").dataset.state = chosen.folder;
  }
  const items = files.map((file) => ({ key: file.name, state: `${file.size} ${file.modified}`, thing: file }));
  sync($("files"), items, makeFile);
  $("no-files").hidden = files.length > 0;
  if (cut) tell("Only the first 1,000 files are shown.");
}

function makeFile(file) {
  const extension = file.name.includes(".") ? file.name.split(".").pop().toLowerCase().slice(0, 5) : "";
  const box = element("div", { className: "picture", textContent: file.isDirectory ? "folder" : extension || "file" });
  if (!file.isDirectory && PICTURES[extension] && file.size <= MAX_THUMBNAIL_BYTES) thumbnail(box, file, PICTURES[extension]);
  const name = file.isDirectory
    ? element("button", { className: "plain name", textContent: `${file.name}/`, onclick: () => enter(inFolder(file.name)) })
    : element("div", { className: "name", textContent: file.name });
  const at = new Date(file.modified * 1000);
  const today = at.toDateString() === new Date().toDateString();
  const modified = today ? at.toLocaleTimeString() : at.toLocaleString();
  const about = element("div", { className: "quiet", textContent: file.isDirectory ? modified : `${size(file.size)} · ${modified}` });
  const tools = element("div", { className: "tools" });
  if (!file.isDirectory) {
    const download = element("button", { textContent: "Download", onclick: () => told(downloadFile(file)) });
    download.setAttribute("aria-label", `Download ${file.name}`);
    const remove = element("button", { textContent: "Delete", className: "danger", onclick: () => told(deleteFile(file)) });
    remove.setAttribute("aria-label", `Delete ${file.name}`);
    tools.append(download, remove);
  }
  return element("li", { className: "file" }, box, element("div", {}, name, about), tools);
}

const inFolder = (name) => (chosen.folder ? `${chosen.folder}/${name}` : name);

function enter(folder) {
  chosen.folder = folder;
  $("files").replaceChildren();
  refreshSoon();
}

async function content(file, type) {
  const answer = await ask("/.inspector/content", { identifier: chosen.identifier, path: chosen.folder, name: file.name });
  return new Blob([await answer.arrayBuffer()], { type });
}

async function thumbnail(box, file, type) {
  try {
    const key = `${inFolder(file.name)} ${file.modified} ${file.size}`;
    const address = addresses.get(key) ?? blobAddress(key, await content(file, type));
    box.replaceChildren(element("img", { src: address, alt: "" }));
  } catch {
    // The file is gone, or is no picture: the box names its kind.
  }
}

async function downloadFile(file) {
  const address = URL.createObjectURL(await content(file, "application/octet-stream"));
  element("a", { href: address, download: file.name.replace(/[\u0000-\u001f/\\]/g, "_") }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

async function deleteFile(file) {
  if (!(await sure(`Delete ${inFolder(file.name)}?`, "Delete"))) return;
  const path = chosen.folder ? { path: chosen.folder } : {};
  await ask(`/files/${encodeURIComponent(file.name)}`, { method: "DELETE", identifier: chosen.identifier, ...path, ...VERSION });
  refreshSoon();
}

async function stopSession() {
  const { identifier } = chosen;
  if (!(await sure(`Stop the session ${identifier}? Its variables and files will be gone.`, "Stop"))) return;
  await ask("/session", { method: "DELETE", identifier, ...VERSION });
  chosen.identifier = "";
  refreshSoon();
}

// --- words ---

function sure(question, yes) {
  $("question").textContent = question;
  $("yes").textContent = yes;
  $("sure").returnValue = "no";
  $("sure").showModal();
  return new Promise((resolve) => {
    $("sure").addEventListener("close", () => resolve($("sure").returnValue === "yes"), { once: true });
  });
}

let untelling;

function tell(words) {
  $("problem").textContent = words;
  $("problem").hidden = !words;
  clearTimeout(untelling);
  untelling = setTimeout(() => ($("problem").hidden = true), 6000);
}

const told = (work) => work.catch((error) => tell(error.message));

function showLive(words, lost) {
  $("live").className = lost ? "lost" : "";
  if ($("live").textContent !== words) $("live").textContent = words;
}

// --- the loop ---

let timer;
let round = 0;

async function refresh() {
  const mine = ++round;
  try {
    const pool = await askJson("/.inspector/pool");
    if (mine !== round) return;
    signedIn(true);
    const session = showPool(pool);
    if (session) {
      const { identifier, version, folder } = chosen;
      const [runs, files] = await Promise.all([
        askJson("/.inspector/runs", { identifier, known: version }),
        askJson("/.inspector/files", { identifier, path: folder }).catch((error) => {
          if (error.status !== 404 || !folder) throw error;
          return null;
        }),
      ]);
      if (mine !== round) return;
      if (runs.runs) showRuns(runs);
      if (files) showFiles(files);
      else enter("");
    }
    showLive("live", false);
  } catch (error) {
    if (mine !== round) return;
    if (error instanceof NotAllowed) return signedIn(false, token && error.message);
    if (error.status !== 404) showLive("the pool does not answer", true);
  }
  if (!document.hidden) timer = setTimeout(refresh, EACH_MILLISECONDS);
}

function refreshSoon() {
  clearTimeout(timer);
  timer = setTimeout(refresh, 0);
}

function signedIn(yes, problem) {
  $("pool").hidden = !yes;
  $("sign-in").hidden = yes;
  if (yes) return sessionStorage.setItem("token", token);
  sessionStorage.removeItem("token");
  showLive("not connected", true);
  $("sign-in-problem").textContent = problem || "";
  $("token").focus();
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) refreshSoon();
});
$("stop").onclick = () => told(stopSession());
$("sign-in").onsubmit = (event) => {
  event.preventDefault();
  token = $("token").value.trim();
  $("token").value = "";
  refreshSoon();
};

token = new URLSearchParams(location.hash.slice(1)).get("token") ?? sessionStorage.getItem("token") ?? "";
if (location.hash) history.replaceState(null, "", location.pathname);
if (token) refresh();
else signedIn(false);
