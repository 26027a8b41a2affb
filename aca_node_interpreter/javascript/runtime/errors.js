// Errors as the client gets them: class, message, place in the model's text, its own frames, causes.

function describeError(run, error, depth) {
  const about = { __proto__: null, name: typeof error, message: "", cell: run.cell };
  const stack = get(error, "stack");
  const isError = typeof stack === "string";
  if (isError || types.isNativeError(error)) {
    about.name = text(get(error, "name"), "Error");
    about.message = text(get(error, "message"), "");
    const code = get(error, "code");
    if (typeof code === "string" || typeof code === "number") about.code = code;
    about.own = ownProperties(error, code);
    if (isError) readStack(about, run, stack);
    const cause = get(error, "cause");
    if (cause !== undefined && depth < 4) about.cause = describeError(run, cause, depth + 1);
    const errors = get(error, "errors");
    if (isArray(errors) && depth < 4) {
      about.errors = [];
      for (let i = 0; i < errors.length && i < 5; i++) add(about.errors, describeError(run, errors[i], depth + 1));
    }
  } else {
    about.message = show(error);
  }
  if (depth === 0 && about.line === undefined) about.line = run.line;
  const cell = cells[about.cell];
  if (about.line !== undefined && cell) about.source = slice(lineOf(cell.request.code, about.line), 0, 1000);
  return about;
}

// What the code has put there, such as a status; of Node.js's own errors the message says it all.
function ownProperties(error, code) {
  if (get(error, "syscall") !== undefined || exec(/^ERR_|^MODULE_NOT_FOUND$/, `${text(code, "")}`)) return undefined;
  const rest = {};
  const names = attempt(() => keys(error)) || [];
  for (let i = 0; i < names.length && i < 20; i++) {
    if (!exec(/^(name|message|stack|cause|errors)$/, names[i])) rest[names[i]] = get(error, names[i]);
  }
  if (keys(rest).length === 0) return undefined;
  return slice(attempt(() => inspect(rest, { __proto__: null, depth: 0, breakLength: Infinity })) || "", 0, 500);
}

function text(value, otherwise) {
  return typeof value === "string" ? slice(value, 0, MAX_LATE) : otherwise;
}

// Keeps the frames of user code, with places as in the model's text.
function readStack(about, run, stack) {
  const lines = splitLines(stack);
  const frames = [];
  let last = 0;
  for (let i = 0; i < lines.length && frames.length < 50; i++) {
    let line = lines[i];
    if (!exec(/^ +at /, line) || exec(/\(?node:|\[eval/, line)) continue;
    const place = exec(/^(.*)\/mnt\/data\/cell_(\d+)\.js:(\d+):(-?\d+)(.*)$/, line);
    if (place) {
      const shift = cells[place[2]] && place[3] === "1" ? cells[place[2]].shift : 0;
      const at = textPlace(cells[place[2]], +place[3], +place[4] - shift);
      // Our own part of the first line.
      if (!at) continue;
      line = `${place[1]}/mnt/data/cell_${place[2]}.js:${at.line}:${at.column}${place[5]}`;
      if (about.line === undefined) {
        about.line = at.line;
        about.column = at.column;
        about.cell = +place[2];
      }
    }
    add(frames, line);
    if (!exec(/<anonymous>\)?$/, line)) last = frames.length;
  }
  const own = splice(frames, 0, last);
  // The place of a syntax error in a file of the session stands before its stack, which has no frame for it.
  const file = exec(/^(?!\/mnt\/data\/cell_\d+\.js:)((?:\/|file:)[^\n]*:\d+)\n[^\n]*\n( *)\^/, stack);
  const origin = file ? `    at ${file[1]}:${file[2].length + 1}\n` : "";
  about.stack = slice(origin + join(own, "\n"), 0, MAX_LATE);
  // The place of a syntax error stands before its stack: the line, and a caret under it unless it is the text's end.
  const place = exec(/^\/mnt\/data\/cell_(\d+)\.js:(\d+)\n(.*)\n( *\^)?/, stack);
  if (!place || about.line !== undefined) return;
  const column = place[4] ? place[4].length : place[3].length + 1;
  const at = textPlace(cells[place[1]], +place[2], column - (place[2] === "1" ? run.header : 0));
  if (at) {
    about.line = at.line;
    about.column = at.column;
  }
}

// What places in stacks refer to.
const cells = { __proto__: null };

function textPlace(run, line, column) {
  if (column < 1) return undefined;
  if (!run || run.anchors.length === 0) return { line, column };
  const offset = lineStart(run.body, line) + column - 1;
  let i = run.anchors.length - 1;
  while (i > 0 && run.anchors[i][0] > offset) i--;
  const anchor = run.anchors[i];
  const inText = anchor[1] + offset - anchor[0];
  return { line, column: (inText < anchor[2] ? inText : anchor[2]) - lineStart(run.request.code, line) + 1 };
}

function lineStart(string, line) {
  let start = 0;
  for (; line > 1; line--) start = indexOf(string, "\n", start) + 1 || string.length;
  return start;
}

function lineOf(string, line) {
  const start = lineStart(string, line);
  const end = indexOf(string, "\n", start);
  return slice(string, start, end < 0 ? string.length : end);
}

function splitLines(string) {
  const lines = [];
  for (let start = 0; start >= 0 && lines.length < 1000; ) {
    const end = indexOf(string, "\n", start);
    add(lines, end < 0 ? slice(string, start) : slice(string, start, end));
    start = end < 0 ? -1 : end + 1;
  }
  return lines;
}
