// What a run prints: sent at once, counted, and kept until nobody can ask for it any more.

// Many small writes travel together: all but the first ones of a burst, for at most this long.
const BURST_MS = 20;
const BURST_WRITES = 50;
const BATCH_BYTES = 32 << 10;
const ownStreams = [];

class Output {
  constructor(run) {
    this.run = run;
    this.to = undefined;
    this.batch = [];
    this.batched = 0;
    this.burst = 0;
    this.writes = 0;
    this.decoder = new StringDecoder("utf8");
    this.isSplit = false;
    this.bytes = 0;
    this.copies = [];
    this.copied = 0;
  }

  receive(chunk) {
    if (this.run.muted) return;
    if (add(this.batch, chunk) === this.batch[0]) setImmediate(() => this.flush()).unref();
    this.batched += chunk.length;
    this.writes++;
    const time = now();
    if (time - this.burst > BURST_MS) {
      this.burst = time;
      this.writes = 0;
    }
    if (this.writes < BURST_WRITES || this.batched > BATCH_BYTES) this.flush();
  }

  flush() {
    if (this.batch.length === 0) return;
    const chunk = this.batch.length === 1 ? this.batch[0] : concat(this.batch);
    this.batch = [];
    this.batched = 0;
    if (!this.isSplit && isUtf8(chunk)) return this.send(chunk);
    // Kernels decode write by write; a character that two writes share goes with the second one.
    this.isSplit = true;
    this.send(bytesOf(decodePart(this.decoder, chunk)));
  }

  close() {
    this.flush();
    this.send(bytesOf(decodeRest(this.decoder)));
    this.isSplit = false;
  }

  send(bytes) {
    if (this.run.over) {
      const name = this === this.run.out ? "out" : "err";
      late[name] = slice(late[name] + decode(bytes), -MAX_LATE);
      return;
    }
    this.bytes += bytes.length;
    for (let i = 0; copied + bytes.length > MAX_COPIES && i < order.length - 1; i++) forget(runs[order[i]]);
    if (copied + bytes.length <= MAX_COPIES) {
      copied += bytes.length;
      this.copied += bytes.length;
      add(this.copies, bytes);
    }
    attempt(() => deliver(this.to, bytes));
  }
}

// Not by `write` where it can be avoided: code that was stopped inside of one leaves a stream that never writes again.
function deliver(stream, bytes) {
  if (typeof stream._transform === "function") stream._transform(bytes, "buffer", () => {});
  else streamWrite(stream, bytes);
}

function receive(run, descriptor, chunk) {
  const to = active || (run.over && current) || run;
  (descriptor === 1 ? to.out : to.err).receive(chunk);
}

// What code prints past `process.stdout`.
function print(descriptor, data, encoding) {
  const bytes = typeof data === "string" ? bytesOf(data, encoding) : bytesOf(data);
  receive(owner(), descriptor, bytes);
  return bytes.length;
}

function openStream(run, descriptor) {
  const stream = new Writable({
    __proto__: null,
    write(chunk, encoding, done) {
      receive(run, descriptor, chunk);
      done();
    },
  });
  stream.fd = descriptor;
  stream.destroy = () => stream;
  return stream;
}
