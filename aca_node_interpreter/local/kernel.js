// Runs inside a session: evaluates code as the hosted kernel does and reports through one pipe.
//
// It is evaluated by `node --eval`, so that `require`, `module` and every built-in module are globals.
// Frames on both pipes: one type byte, the payload's length as 4 bytes big-endian, the payload.
//   in   R {"id", "code"}                     run this
//   out  L {}                                 loaded, ready for the first run
//        O, E raw bytes                       what was written to stdout, stderr
//        D {"mime"}                           display data
//        V {"id", "end", "mime"|"error", …}   a result; `end` says that it is the run's last
//        X {"code"}                           the process is about to exit
// User code shares this process: what it changes in the built-ins must not change what is done here, hence the copies.
(function startKernel(require, requestFd, replyFd) {
  "use strict";

  // Code may declare names of its own over the global ones, `let process` for one.
  const root = globalThis;
  const { Buffer, Error, JSON, Number, Object, Promise, RangeError, Reflect, process, setImmediate } = root;

  const { isUtf8 } = require("buffer");
  const { Console } = require("console");
  const fs = require("fs");
  const net = require("net");
  const stream = require("stream");
  const util = require("util");
  const vm = require("vm");

  const { writeSync } = fs;
  const { inspect } = util;
  const { runInThisContext } = vm;
  const { apply, defineProperty, deleteProperty, set } = Reflect;
  const { parse, stringify } = JSON;
  const bufferConcat = Buffer.concat;
  const bufferFrom = Buffer.from;
  const allocate = Buffer.alloc;
  const NativePromise = Promise;
  const promiseThen = Promise.prototype.then;
  const functionBind = Function.prototype.bind;
  const split = String.prototype.split;
  const createObject = Object.create;
  const isFiniteNumber = Number.isFinite;
  const platformConsole = console.Console;

  // The host refuses longer frames.
  const MAX_FRAME_BYTES = 64 * 1024 * 1024;
  const STREAM_CHUNK_BYTES = 1024 * 1024;
  const HEADER_BYTES = 5;

  // --- frames out ---

  function writeAll(bytes) {
    let offset = 0;
    while (offset < bytes.length) {
      try {
        offset += writeSync(replyFd, bytes, offset, bytes.length - offset);
      } catch (error) {
        if (error.code !== "EAGAIN") throw error;
      }
    }
  }

  function sendBytes(type, payload) {
    const frame = allocate(HEADER_BYTES + payload.length);
    frame[0] = type;
    frame.writeUInt32BE(payload.length, 1);
    payload.copy(frame, HEADER_BYTES);
    writeAll(frame);
  }

  function sendStream(type, chunk) {
    for (let start = 0; start < chunk.length; start += STREAM_CHUNK_BYTES) {
      sendBytes(type, chunk.subarray(start, start + STREAM_CHUNK_BYTES));
    }
  }

  function encode(message) {
    const payload = bufferFrom(stringify(message));
    if (payload.length > MAX_FRAME_BYTES) {
      throw new RangeError(`The result is larger than ${MAX_FRAME_BYTES} bytes`);
    }
    return payload;
  }

  const STDOUT = 0x4f;
  const STDERR = 0x45;
  const LOADED = 0x4c;
  const DISPLAY = 0x44;
  const VALUE = 0x56;
  const EXIT = 0x58;
  const RUN = 0x52;

  // --- values and errors as the hosted kernel words them ---

  function defaultMimer(value) {
    if (value === undefined) return { "text/plain": "undefined" };
    if (value === null) return { "text/plain": "null" };
    let bundle;
    // What a getter throws is an error of the run; what the methods throw is not.
    if (value._toMime) {
      try {
        bundle = value._toMime();
      } catch {
        bundle = undefined;
      }
    }
    if (typeof bundle !== "object") bundle = {};
    const attempt = (mediaType, produce) => {
      if (mediaType in bundle) return;
      try {
        bundle[mediaType] = produce();
      } catch {
        // A representation that can't be made is left out.
      }
    };
    attempt("text/plain", () => inspect(value));
    if (value._toHtml) attempt("text/html", () => value._toHtml());
    if (value._toSvg) attempt("image/svg+xml", () => value._toSvg());
    if (value._toPng) attempt("image/png", () => value._toPng());
    if (value._toJpeg) attempt("image/jpeg", () => value._toJpeg());
    return bundle;
  }

  function currentMimer() {
    const mimer = root.$$mimer$$;
    return typeof mimer === "function" ? mimer : defaultMimer;
  }

  function formatError(error) {
    try {
      return {
        ename: error && error.name ? error.name : typeof error,
        evalue: error && error.message ? error.message : inspect(error),
        traceback: error && error.stack ? apply(split, error.stack, ["\n"]) : [],
      };
    } catch {
      // A getter of the thrown value threw, or its `stack` is no string.
      return { ename: typeof error, evalue: "", traceback: [] };
    }
  }

  function describeValue(value) {
    const mimer = currentMimer();
    const described = { mime: mimer(value) };
    const plain = value === null || ["string", "boolean", "number"].includes(typeof value);
    // For pools that hand primitives over as JSON; the host decides.
    if (plain && mimer === defaultMimer && (typeof value !== "number" || isFiniteNumber(value))) {
      described.primitive = value;
    }
    return described;
  }

  // --- one run's view of the world: its streams, its console, its `$$` ---

  const config = { awaitExecution: false };

  class RunOutput extends stream.Transform {
    #type;

    constructor(type) {
      super();
      this.#type = type;
    }

    _transform(chunk, encoding, callback) {
      // Decoded write by write: of a character that two writes share nothing is left, as hosted.
      sendStream(this.#type, isUtf8(chunk) ? chunk : bufferFrom(chunk.toString()));
      if (this.readableFlowing) this.push(chunk);
      callback();
    }
  }
  // It shows itself as its base class, as hosted.
  deleteProperty(RunOutput.prototype, "constructor");

  // Each run has streams of its own. Making them takes as long as all else, so they are made after the run before.
  let readyStreams;

  function makeStreams() {
    const stdout = new RunOutput(STDOUT);
    const stderr = new RunOutput(STDERR);
    const runConsole = new Console(stdout, stderr);
    runConsole.Console = platformConsole;
    return { stdout, stderr, runConsole };
  }

  function makeStreamsReady() {
    readyStreams ??= makeStreams();
  }

  function tryMakingStreamsReady() {
    try {
      makeStreamsReady();
    } catch {
      // The code broke what streams are made of; the next run finds out and tells.
    }
  }

  function takeStreams() {
    makeStreamsReady();
    const taken = readyStreams;
    readyStreams = undefined;
    return taken;
  }

  const displays = createObject(null);
  let currentRun = 0;

  class Display {
    constructor(id) {
      const key = stringify(id);
      const send = (mime) => {
        // A named display belongs to the run that named it; when that is over, nobody sees its updates.
        if (key === undefined || (displays[key] ?? currentRun) === currentRun) sendBytes(DISPLAY, encode({ mime }));
      };
      if (key !== undefined) displays[key] = currentRun;
      this.mime = function mime(bundle) {
        send(bundle);
      };
      for (const [name, mediaType] of MEDIA_TYPES) {
        this[name] = { [name]: (content) => send({ [mediaType]: content }) }[name];
      }
      this.close = function close() {
        if (key !== undefined) displays[key] = undefined;
      };
    }
  }

  const MEDIA_TYPES = [
    ["text", "text/plain"],
    ["html", "text/html"],
    ["svg", "image/svg+xml"],
    ["png", "image/png"],
    ["jpeg", "image/jpeg"],
    ["json", "application/json"],
  ];

  function createRun(id) {
    let waiting = false;
    let done = false;

    function send(message, keepAlive) {
      if (done) return;
      let payload;
      try {
        payload = encode({ ...message, id, end: !keepAlive });
      } catch (error) {
        payload = encode({ error: formatError(error), id, end: true });
        keepAlive = false;
      }
      if (keepAlive) {
        waiting = true;
      } else {
        waiting = false;
        done = true;
        setImmediate(tryMakingStreamsReady);
      }
      sendBytes(VALUE, payload);
    }

    const sendError = (error, keepAlive) => send({ error: formatError(error) }, keepAlive);
    const sendValue = (value, keepAlive) => send(describeValue(value), keepAlive);

    // A promise handed to one of these holds the reply until it settles.
    function settling(sendNow) {
      return bound(function (output, keepAlive) {
        if (!(output instanceof NativePromise)) return sendNow(output, keepAlive);
        waiting = true;
        const onError = (error) => sendError(error, false);
        const settled = apply(promiseThen, output, [(value) => sendNow(value, keepAlive)]);
        apply(promiseThen, settled, [undefined, onError]);
        return undefined;
      });
    }

    const $$ = createObject(null);
    defineProperty($$, "config", { value: config });
    $$.async = bound(function async(value) {
      waiting = arguments.length === 0 ? true : !!value;
      return waiting;
    });
    $$.done = bound(function done(value) {
      sendValue(value, false);
    });
    $$.sendResult = settling(sendValue);
    $$.sendError = settling(sendError);
    $$.mime = settling((bundle, keepAlive) => send({ mime: bundle }, keepAlive));
    for (const [name, mediaType] of MEDIA_TYPES) {
      $$[name] = settling((content, keepAlive) => send({ mime: { [mediaType]: content } }, keepAlive));
    }
    // Nobody can answer a question here, nor on the hosted service: the run waits until its time is up.
    $$.input = bound(function input(options, callback) {
      waiting = true;
      return new NativePromise(() => {});
    });
    $$.display = bound(function createDisplay(id) {
      return new Display(id);
    });
    $$.clear = bound(function clear(options) {});

    function install() {
      currentRun = id;
      const { stdout, stderr, runConsole } = takeStreams();
      replace(process, "stdout", stdout);
      replace(process, "stderr", stderr);
      replace(root, "console", runConsole);
      replace(root, "$$", $$);
      set(root, "$$done$$", bound($$.done));
      if (typeof root.$$mimer$$ !== "function") set(root, "$$mimer$$", defaultMimer);
      for (const name of ["mime", "html", "svg", "png", "jpeg"]) {
        hide(`$$${name}$$`, undefined, $$[name]);
      }
      const getWaiting = bound(function () {
        return waiting;
      });
      const setWaiting = bound(function (value) {
        waiting = !!value;
      });
      hide("$$async$$", getWaiting, setWaiting);
    }

    function run(code) {
      try {
        install();
        const value = apply(runInThisContext, vm, [code]);
        if (done || waiting) return;
        if (config.awaitExecution) $$.sendResult(value);
        else sendValue(value, false);
      } catch (error) {
        $$.sendError(error);
      }
    }

    return run;
  }

  // The hosted kernel's functions are bound, which shows in their names.
  function bound(target) {
    return apply(functionBind, target, [undefined]);
  }

  // Both do nothing when the code has made the property its own for good.
  function replace(target, name, value) {
    deleteProperty(target, name);
    set(target, name, value);
  }

  function hide(name, get, set) {
    deleteProperty(root, name);
    defineProperty(root, name, { get, set, configurable: true, enumerable: false });
  }

  // --- frames in ---

  function reportLate(error) {
    // Without a line break after it, as hosted.
    sendStream(STDERR, bufferFrom(`${error && error.stack ? error.stack : inspect(error)}`));
  }

  let pending = [];
  let pendingBytes = 0;

  function onRequestBytes(chunk) {
    pending[pending.length] = chunk;
    pendingBytes += chunk.length;
    for (;;) {
      if (pendingBytes < HEADER_BYTES) return;
      // A long request is joined once, when its last chunk is here.
      if (pending[0].length < HEADER_BYTES) pending = [bufferConcat(pending)];
      const frameBytes = HEADER_BYTES + pending[0].readUInt32BE(1);
      if (pendingBytes < frameBytes) return;
      const received = pending.length === 1 ? pending[0] : bufferConcat(pending);
      pending = received.length > frameBytes ? [received.subarray(frameBytes)] : [];
      pendingBytes = received.length - frameBytes;
      if (received[0] !== RUN) throw new Error("unknown request");
      const request = parse(received.toString("utf8", HEADER_BYTES, frameBytes));
      createRun(request.id)(request.code);
    }
  }

  defineProperty(root, "$$defaultMimer$$", { value: defaultMimer });
  root.$$mimer$$ = defaultMimer;
  root.$$done$$ = undefined;
  process.on("uncaughtException", reportLate);
  process.on("exit", (code) => sendBytes(EXIT, encode({ code: Number(code) || 0 })));

  const requests = new net.Socket({ fd: requestFd, readable: true, writable: false });
  requests.on("data", onRequestBytes);
  // The host is gone: nobody will ever ask again.
  requests.on("close", () => process.reallyExit(0));
  sendBytes(LOADED, encode({}));
});
