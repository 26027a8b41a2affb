// Runs inside a session in the place of the embedded pool's kernel.js: the same frames on the same two descriptors, but
// genuine nel runs the code, through its public API, in the process that it starts itself.
//
//   node nel_kernel.js <folder of nel> <losses as JSON: {"cut": bytes of each stream | null, "last_line": boolean}>
"use strict";

const { writeSync } = require("fs");
const { Socket } = require("net");

const { Session } = require(process.argv[2]);
const losses = JSON.parse(process.argv[3]);

const REQUESTS = 3;
const REPLIES = 4;
const HEADER_BYTES = 5;
const CHUNK_BYTES = 1024 * 1024;

function send(type, payload) {
  const frame = Buffer.alloc(HEADER_BYTES + payload.length);
  frame.write(type);
  frame.writeUInt32BE(payload.length, 1);
  payload.copy(frame, HEADER_BYTES);
  for (let sent = 0; sent < frame.length; ) sent += writeSync(REPLIES, frame, sent);
}

const sendObject = (type, object) => send(type, Buffer.from(JSON.stringify(object)));

/** One of a run's streams, on its way through the losses. */
class Stream {
  #type;
  #room = losses.cut ?? Infinity;
  #losesLastLine;
  #held = "";

  constructor(type, losesLastLine = false) {
    this.#type = type;
    this.#losesLastLine = losesLastLine;
  }

  write(text) {
    const all = this.#held + text;
    // What may be the last line waits for a next one.
    const start = this.#losesLastLine ? all.slice(0, -1).lastIndexOf("\n") + 1 : all.length;
    this.#held = all.slice(start);
    const bytes = this.cut(all.slice(0, start));
    for (let from = 0; from < bytes.length; from += CHUNK_BYTES) {
      send(this.#type, bytes.subarray(from, from + CHUNK_BYTES));
    }
  }

  cut(text) {
    const bytes = Buffer.from(text).subarray(0, this.#room);
    this.#room -= bytes.length;
    return bytes;
  }
}

function cutTraceback({ ename, evalue, traceback }, stderr) {
  const text = traceback.length ? traceback.join("\n") : `${ename}: ${evalue}`;
  return { ename, evalue, traceback: [stderr.cut(text).toString()] };
}

function run({ id, code }) {
  const stdout = new Stream("O", losses.last_line);
  const stderr = new Stream("E");
  let result;
  session.execute(code, {
    onStdout: (text) => stdout.write(text),
    onStderr: (text) => stderr.write(text),
    onDisplay: (update) => sendObject("D", { mime: update.mime }),
    onSuccess: (message) => (result = message),
    onError: ({ error }) => (result = { error: losses.cut === null ? error : cutTraceback(error, stderr) }),
    // Nobody answers a question, as on the hosted service.
    onRequest: () => {},
    afterRun: () => sendObject("V", { ...result, id, end: true }),
  });
}

let pending = Buffer.alloc(0);

function receive(chunk) {
  pending = Buffer.concat([pending, chunk]);
  while (pending.length >= HEADER_BYTES) {
    const end = HEADER_BYTES + pending.readUInt32BE(1);
    if (pending.length < end) return;
    const request = JSON.parse(pending.toString("utf8", HEADER_BYTES, end));
    pending = pending.subarray(end);
    run(request);
  }
}

const session = new Session();
session.execute("", { afterRun: () => sendObject("L", {}) });

// nel does not tell that its process is gone, and says nothing more; what was on its way still arrives.
const server = session._server;
server.once("exit", (code, signal) => {
  const end = () => {
    if (signal === null) sendObject("X", { code });
    process.exit();
  };
  if (server.connected) server.once("disconnect", end);
  else end();
});

new Socket({ fd: REQUESTS, readable: true, writable: false }).on("data", receive).on("close", () => process.exit());
