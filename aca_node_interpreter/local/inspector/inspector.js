// The inspector page of the embedded session pool. What comes from a session is hostile: it becomes text, never markup,
// and a picture only in an <img> with a blob: address.

const POLL_MS = 1000;
const MORE_CHARACTERS = 100_000;
const FILES_AT_ONCE = 200;
const THUMBNAIL_BYTES = 8 * 1024 * 1024;
const IMAGES = {
  png: "image/png", jpg: "image/jpeg", jpeg: "image/jpeg", gif: "image/gif", webp: "image/webp",
  svg: "image/svg+xml", bmp: "image/bmp", avif: "image/avif",
};

const $ = (id) => document.getElementById(id);

const state = {
  token: "",
  pool: null,
  chosen: null, // the identifier of the session that is shown
  guid: null, // tells it from a later session of the same identifier
  folder: [],
  filesShown: FILES_AT_ONCE,
  pollNumber: 0,
};

// --- talking to the pool ---

class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function call(path, query = {}, method = "GET") {
  const address = new URL(path, location.origin);
  for (const [name, value] of Object.entries(query)) address.searchParams.set(name, value);
  const answer = await fetch(address, {
    method, headers: { authorization: `Bearer ${state.token}` }, cache: "no-store", credentials: "omit",
  });
  if (answer.ok) return answer;
  if (answer.status === 401) throw new Refused(401, "The pool did not accept this token.");
  const body = await answer.json().catch(() => ({}));
  throw new Refused(answer.status, body.error?.message ?? `The pool answered ${answer.status}.`);
}

const look = (path, query = {}) => call(`/.inspector/${path}`, { identifier: state.chosen, ...query });
const fileQuery = () => ({ path: state.folder.join("/"), "api-version": "2025-10-02-preview" });
const filePath = (name) => `files/${encodeURIComponent(name)}`;

// --- words ---

// What a terminal or a text editor would act upon is shown as a sign of its own.
function readable(text) {
  return text
    .replace(/\r\n/g, "\n")
    .replace(/\x1b\[[0-9;]*m/g, "") // colours
    .replace(/[\x00-\x08\x0b-\x1f]/g, (sign) => String.fromCharCode(0x2400 + sign.charCodeAt(0)))
    .replace(/[\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]/g, (sign) =>
      `⟨U+${sign.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}
const readableName = (name) => readable(name).replace(/[\n\t\u2028\u2029]/g, "␣");

function safeName(name) {
  const safe = name.replace(/[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff<>:"/\\|?*]/g, "_");
  return safe.replace(/^[.\s]+|[.\s]+$/g, "") || "file";
}

function duration(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  const both = (many, unit, few, smaller) => (few ? `${many} ${unit} ${few} ${smaller}` : `${many} ${unit}`);
  if (hours < 1) return both(minutes, "min", Math.floor(seconds % 60), "s");
  return hours < 48 ? both(hours, "h", minutes % 60, "min") : `${Math.floor(hours / 24)} days`;
}
function runTime(ms) {
  if (ms < 1000) return `${ms} ms`;
  return ms < 60_000 ? `${(ms / 1000).toFixed(2)} s` : duration(ms / 1000);
}
function bytes(size) {
  const units = ["B", "kB", "MB", "GB"];
  let unit = 0;
  while (size >= 1000 && unit < units.length - 1) [size, unit] = [size / 1000, unit + 1];
  return `${unit && size < 10 ? size.toFixed(1) : Math.round(size)} ${units[unit]}`;
}
function clock(date) {
  const today = date.toDateString() === new Date().toDateString();
  return today ? date.toLocaleTimeString() : date.toLocaleString();
}
const count = (number, word) => `${number.toLocaleString()} ${word}${number === 1 ? "" : "s"}`;

// --- making elements ---

function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  const { className, role, label, ...others } = properties;
  if (className) element.className = className;
  if (role) element.setAttribute("role", role);
  if (label) element.setAttribute("aria-label", label);
  Object.assign(element, others);
  element.append(...children);
  return element;
}
const button = (text, onclick, properties = {}) => make("button", { type: "button", textContent: text, onclick, ...properties });

// Nothing that is as it should be is touched: so selection, focus and scroll positions stay.
function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
const kept = new WeakMap();
function reconcile(parent, items, key, create, update = () => {}) {
  const before = kept.get(parent) ?? new Map();
  const after = new Map();
  for (const item of items) after.set(key(item), before.get(key(item)) ?? create(item));
  for (const [name, element] of before) if (!after.has(name)) element.remove();
  let place = parent.firstElementChild;
  items.forEach((item) => {
    const element = after.get(key(item));
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
    update(element, item);
  });
  kept.set(parent, after);
}

// --- pictures: what is not shown any more is released ---

const addresses = new Map();
function showBlob(image, blob) {
  const address = URL.createObjectURL(blob);
  addresses.set(image, address);
  image.src = address;
}
function releaseForgotten() {
  for (const [image, address] of addresses) {
    if (image.isConnected) continue;
    URL.revokeObjectURL(address);
    addresses.delete(image);
  }
}

// --- entering ---

function readFragment() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (location.hash) history.replaceState(null, "", location.pathname);
  if (token) enter(token);
  return Boolean(token);
}

function enter(token) {
  state.token = token;
  sessionStorage.setItem("token", token);
  $("entrance").hidden = true;
  $("token-problem").textContent = "";
  poll();
}

function askForToken(problem) {
  state.token = "";
  state.pollNumber += 1;
  sessionStorage.removeItem("token");
  for (const id of ["pool", "facts", "problem"]) $(id).hidden = true;
  $("entrance").hidden = false;
  $("token-problem").textContent = problem;
  $("token").value = "";
  $("token").focus();
}

// --- the pool and its sessions ---

function showPool(pool) {
  state.pool = pool;
  $("pool").hidden = $("facts").hidden = false;
  const full = pool.sessions.length >= pool.maxSessions;
  say($("fact-sessions"), `${pool.sessions.length} of ${pool.maxSessions}${full ? ", full" : ""}`);
  say($("fact-ready"), String(pool.readySessions));
  say($("fact-isolation"), pool.isolation);
  $("fact-isolation").classList.toggle("warn", pool.isolation === "none");
  say($("fact-egress"), pool.egress);
  say($("fact-node"), pool.nodeVersion);

  const sessions = pool.sessions.slice().sort((a, b) => b.created - a.created);
  if (!sessions.some((session) => session.identifier === state.chosen)) {
    if (state.chosen !== null) say($("notice"), "The session has ended.");
    choose(sessions[0]?.identifier ?? null);
  }
  reconcile($("sessions"), sessions, (session) => session.guid, sessionEntry, (entry, session) => {
    const { name, dot, about } = entry.parts;
    const running = session.idleLeft === null;
    dot.classList.toggle("running", running);
    say(about, running ? "running" : `idle, ends in ${duration(session.idleLeft)}`);
    name.ariaCurrent = session.identifier === state.chosen ? "true" : "false";
  });
  const session = sessions.find((one) => one.identifier === state.chosen);
  $("no-sessions").hidden = sessions.length > 0;
  $("welcome").hidden = Boolean(session);
  $("session").hidden = !session;
  if (session) showSession(session);
  else showWelcome();
}

function sessionEntry(session) {
  const dot = make("span", { className: "dot" });
  const about = make("span", { className: "quiet" });
  const title = make("bdi", { className: "name", textContent: readableName(session.identifier) });
  const name = button("", () => { choose(session.identifier); showPool(state.pool); poll(); }, { className: "session-entry" });
  name.append(dot, title, about);
  const entry = make("li", {}, name);
  entry.parts = { name, dot, about };
  return entry;
}

function choose(identifier) {
  if (identifier === state.chosen) return;
  Object.assign(state, { chosen: identifier, guid: null, folder: [], filesShown: FILES_AT_ONCE });
  clearSession();
}

function clearSession() {
  reconcile($("runs"), []);
  reconcile($("files"), []);
  $("no-runs").hidden = $("no-files").hidden = $("more-files").hidden = true;
}

function showSession(session) {
  if (state.guid !== session.guid) {
    state.guid = session.guid;
    state.folder = [];
    clearSession();
    showFolders();
  }
  say($("session-name"), readableName(session.identifier));
  const age = `${duration(state.pool.now - session.created)} old`;
  const life = session.idleLeft === null ? "running now" : `ends in ${duration(session.idleLeft)} unless it is used`;
  say($("session-facts"), `${age} · ${life}`);
}

// Without a token, the variable that `aca-node serve` tells to set.
function command(token) {
  return [
    `curl '${location.origin}/code/execute?identifier=my-session' \\`,
    `  -H ${token ? `'Authorization: Bearer ${token}'` : '"Authorization: Bearer $ACA_POOL_TOKEN"'} \\`,
    "  -H 'Content-Type: application/json' \\",
    `  -d '{"properties": {"code": "console.log(process.version); 6 * 7"}}'`,
  ].join("\n");
}

function showWelcome() {
  say($("cooldown"), duration(state.pool.cooldown));
  say($("first-code"), command($("show-token").ariaPressed === "true" ? state.token : ""));
}

// --- runs ---

async function refreshRuns(isCurrent) {
  const { guid, runs } = await (await look("runs")).json();
  if (!isCurrent() || guid !== state.guid) return;
  const waiting = runs.filter((run) => run.status === "Running").slice(1);
  for (const run of waiting) run.status = "Waiting";
  say($("runs-title"), runs.length ? `Runs (${runs.length})` : "Runs");
  say($("view-runs"), `Runs (${runs.length})`);
  $("no-runs").hidden = runs.length > 0;
  reconcile($("runs"), runs.reverse(), (run) => run.number, runCard, updateRun);
  for (const run of runs) {
    const card = kept.get($("runs")).get(run.number);
    if (card.shown === isOver(run)) continue;
    const detail = await (await look(`runs/${run.number}`)).json();
    if (!isCurrent() || guid !== state.guid) return;
    card.shown = isOver(detail);
    showDetail(card, detail);
  }
}
const isOver = (run) => run.milliseconds !== null;

function runCard(run) {
  const badge = make("span", { className: "badge" });
  const timing = make("span", { className: "quiet timing" });
  const title = make("span", { className: "number", textContent: `Run ${run.number}` });
  const body = make("div", { className: "run-body" });
  const card = make("li", { className: "card run" }, make("div", { className: "run-head" }, title, badge, timing), body);
  card.parts = { badge, timing, body };
  return card;
}

function updateRun(card, run) {
  const { badge, timing } = card.parts;
  say(badge, run.status);
  badge.dataset.status = card.dataset.status = run.status;
  const started = clock(new Date(run.started * 1000));
  const took = isOver(run) ? runTime(run.milliseconds) : `for ${duration(Math.max(0, state.pool.now - run.started))}`;
  say(timing, `${took} · ${started}`);
}

function showDetail(card, run) {
  const blocks = [];
  for (const [part, title] of [["code", "Code"], ["stdout", "Output"], ["stderr", "Errors"], ["value", "Value"]]) {
    if (run[part]?.length || part === "code") blocks.push({ part, title, ...run[part] });
  }
  reconcile(card.parts.body, blocks, (block) => block.part, (block) => textBlock(run, block));
  if (run.image) card.parts.body.append(valueImage(run.image));
  else if (isOver(run) && blocks.length === 1) {
    card.parts.body.append(make("p", { className: "quiet", textContent: "It printed nothing and has no value." }));
  }
}

function textBlock(run, { part, title, text, length }) {
  const identifier = state.chosen;
  const pre = make("pre", {
    className: `block ${part}`, textContent: readable(text), tabIndex: 0, role: "group", label: `${title} of run ${run.number}`,
  });
  const head = make("div", { className: "block-head" }, make("h4", { textContent: title }));
  const block = make("div", {}, head, pre);
  if (text.length >= length) return block;

  let whole = null;
  let shown = text.length;
  const fetchWhole = async () => (whole ??= await (await look(`runs/${run.number}`, { identifier, part })).text());
  const rest = make("span", { className: "quiet" });
  const more = button("Show more", () => attempt(async () => {
    const next = (await fetchWhole()).slice(shown, shown + MORE_CHARACTERS);
    shown += next.length;
    pre.append(readable(next));
    tell();
  }));
  const all = button("Download all", () => attempt(async () => {
    save(new Blob([await fetchWhole()], { type: "text/plain" }), `run-${run.number}-${part}.txt`);
  }));
  const tell = () => {
    rest.textContent = `${shown.toLocaleString()} of ${count(length, "character")} `;
    more.hidden = shown >= length;
  };
  tell();
  block.append(make("div", { className: "more" }, rest, more, all));
  return block;
}

function valueImage(value) {
  const image = make("img", { className: "value-image", alt: "The picture that is the run's value" });
  const broken = make("p", { className: "quiet", textContent: "The value is a picture that can't be shown." });
  image.onerror = () => image.replaceWith(broken);
  try {
    const octets = Uint8Array.from(atob(value.base64_data), (letter) => letter.charCodeAt(0));
    showBlob(image, new Blob([octets], { type: IMAGES[value.format] ?? "image/png" }));
  } catch {
    return broken;
  }
  return image;
}

// --- files ---

async function refreshFiles(isCurrent) {
  const folder = state.folder;
  let entries;
  try {
    entries = (await (await look("files", fileQuery())).json()).value;
  } catch (error) {
    if (!(error instanceof Refused) || error.status === 401 || !folder.length) throw error;
    if (!isCurrent() || folder !== state.folder) return;
    openFolder(folder.slice(0, -1)); // it was removed, or its name is none that can be asked for
    say($("notice"), "The folder can't be opened.");
    return;
  }
  if (!isCurrent() || folder !== state.folder) return;
  entries.sort((a, b) => (b.type === "directory") - (a.type === "directory") || a.name.localeCompare(b.name));
  const shown = entries.slice(0, state.filesShown);
  say($("files-title"), entries.length ? `Files (${entries.length})` : "Files");
  say($("view-files"), `Files (${entries.length})`);
  $("no-files").hidden = entries.length > 0;
  say($("no-files"), folder.length ? "This folder is empty." : "Nothing yet. What code writes to /mnt/data shows up here.");
  $("more-files").hidden = shown.length === entries.length;
  say($("more-files"), `Show more of ${count(entries.length, "file")}`);
  // A file that changed gets a new entry, and so a new thumbnail.
  reconcile($("files"), shown, (file) => JSON.stringify([folder, file.type, file.name, file.sizeInBytes, file.lastModifiedAt]), fileEntry);
}

function fileEntry(file) {
  const shownName = readableName(file.name);
  const name = make("bdi", { className: "name", textContent: shownName, title: shownName });
  if (file.type === "directory") {
    const open = button("", () => openFolder([...state.folder, file.name]), { className: "folder", label: `Open folder ${shownName}` });
    open.append(make("span", { className: "icon folder-icon" }), name);
    return make("li", { className: "file" }, open);
  }
  const identifier = state.chosen;
  const query = { ...fileQuery(), identifier };
  const fetchBlob = async (type) => new Blob([await (await look(`${filePath(file.name)}/content`, query)).arrayBuffer()], { type });
  const ending = /\.([a-z0-9]{1,4})$/i.exec(file.name)?.[1].toLowerCase() ?? "";
  const type = IMAGES[ending];
  const icon = make("span", { className: "icon", textContent: ending, ariaHidden: "true" });
  const about = make("span", { className: "quiet", textContent: `${bytes(file.sizeInBytes)} · ${clock(new Date(file.lastModifiedAt))}` });
  const download = button("Download", () => attempt(async () => {
    save(await fetchBlob("application/octet-stream"), safeName(file.name));
  }), { className: "small", label: `Download ${shownName}` });
  const remove = button("Delete", () => attempt(async () => {
    if (!(await confirm("Delete this file?", shownName, "Delete"))) return;
    await call(`/.inspector/${filePath(file.name)}`, query, "DELETE");
    say($("notice"), "The file was deleted.");
    poll();
  }), { className: "small danger", label: `Delete ${shownName}` });
  const entry = make("li", { className: "file" }, icon,
    make("div", { className: "file-about" }, name, about), make("div", { className: "actions" }, download, remove));
  if (type && file.sizeInBytes > 0 && file.sizeInBytes <= THUMBNAIL_BYTES) addThumbnail(icon, shownName, () => fetchBlob(type));
  return entry;
}

async function addThumbnail(icon, name, fetchBlob) {
  try {
    const blob = await fetchBlob();
    if (!icon.isConnected) return;
    const image = make("img", { alt: "" });
    const frame = button("", () => view(name, blob), { className: "icon thumbnail", label: `Look at ${name}` });
    frame.append(image);
    image.onload = () => icon.replaceWith(frame);
    showBlob(image, blob);
    await image.decode();
  } catch {
    // The icon stays: the file is no picture, whatever its name says, or it is gone.
  }
}

function openFolder(parts) {
  state.folder = parts;
  state.filesShown = FILES_AT_ONCE;
  reconcile($("files"), []);
  $("no-files").hidden = $("more-files").hidden = true;
  showFolders();
  poll();
}

function showFolders() {
  const steps = ["/mnt/data", ...state.folder].map((name, depth) => ({ name, depth }));
  reconcile($("folders"), steps, ({ name, depth }) => `${depth}/${name}`, ({ name, depth }) =>
    make("li", {}, button(readableName(name), () => openFolder(state.folder.slice(0, depth)))));
  [...$("folders").children].forEach((step, depth) => {
    step.firstElementChild.ariaCurrent = depth === state.folder.length ? "location" : "false";
  });
}

// --- what a person does ---

function save(blob, name) {
  const address = URL.createObjectURL(blob);
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

function confirm(title, text, yes) {
  const dialog = $("confirm");
  say($("confirm-title"), title);
  say($("confirm-text"), text);
  say($("confirm-yes"), yes);
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}

function view(name, blob) {
  const image = $("viewer-image");
  say($("viewer-name"), name);
  image.alt = name;
  const address = URL.createObjectURL(blob);
  image.src = address;
  $("viewer").showModal();
  $("viewer").addEventListener("close", () => { image.removeAttribute("src"); URL.revokeObjectURL(address); }, { once: true });
}

let keepProblemUntil = 0;
function problem(words, seconds = 0) {
  if (!words && Date.now() < keepProblemUntil) return;
  keepProblemUntil = Date.now() + seconds * 1000;
  say($("problem"), words);
  $("problem").hidden = !words;
}

async function attempt(action) {
  try {
    await action();
  } catch (error) {
    if (error instanceof Refused && error.status === 401) askForToken(error.message);
    else problem(error instanceof Refused ? error.message : "That did not work: the pool does not answer.", 8);
  }
}

$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const given = $("token").value.trim();
  // The whole address is what one has at hand.
  enter(given.includes("#token=") ? decodeURIComponent(given.split("#token=")[1]) : given);
});
$("stop").addEventListener("click", () => attempt(async () => {
  const identifier = state.chosen;
  const text = `${readableName(identifier)}: what runs is ended, and its variables and files are gone.`;
  if (!(await confirm("Stop this session?", text, "Stop session"))) return;
  await call("/session", { identifier, "api-version": "2025-10-02-preview" }, "DELETE");
  poll();
}));
for (const view of ["runs", "files"]) {
  $(`view-${view}`).addEventListener("click", () => {
    $("pool").dataset.view = view;
    for (const other of ["runs", "files"]) $(`view-${other}`).ariaPressed = String(other === view);
  });
}
$("more-files").addEventListener("click", () => { state.filesShown += FILES_AT_ONCE; poll(); });
$("show-token").addEventListener("click", () => {
  $("show-token").ariaPressed = String($("show-token").ariaPressed !== "true");
  showWelcome();
});
$("copy-command").addEventListener("click", () => attempt(async () => {
  await navigator.clipboard.writeText(command(state.token));
  say($("notice"), "Copied.");
  say($("copy-command"), "Copied");
  setTimeout(() => say($("copy-command"), "Copy with the token"), 2000);
}));

// --- looking again and again, as long as somebody can see it ---

let timer = 0;
async function poll() {
  clearTimeout(timer);
  if (!state.token) return;
  const number = ++state.pollNumber;
  const isCurrent = () => number === state.pollNumber;
  try {
    const pool = await (await call("/.inspector/pool")).json();
    if (!isCurrent()) return;
    showPool(pool);
    if (state.chosen !== null) await Promise.all([refreshRuns(isCurrent), refreshFiles(isCurrent)]);
    if (!isCurrent()) return;
    problem("");
  } catch (error) {
    if (!isCurrent()) return;
    if (!(error instanceof Refused)) problem("The pool does not answer. Does it still run? Trying again …");
    else if (error.status === 401) return askForToken(error.message);
    else if (error.status !== 404) problem(error.message); // a session that ended meanwhile is gone the next time
  }
  releaseForgotten();
  if (!document.hidden) timer = setTimeout(poll, POLL_MS);
}
document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : poll()));
addEventListener("hashchange", readFragment);

if (!readFragment()) {
  const remembered = sessionStorage.getItem("token");
  if (remembered) enter(remembered);
  else askForToken("");
}
