// The requests that come in, and the one line that each is answered with.

let kernelStreams = { stdout: process.stdout, stderr: process.stderr };
let records = [];

function handle(request) {
  if (request === undefined) {
    const action = task;
    task = undefined;
    return action && action();
  }
  if (typeof request.mark !== "string") return undefined;
  for (let i = 0; i < records.length; i++) attempt(() => unlinkSync(records[i]));
  records = [];
  const reply = openReply(request.mark);
  const { op, id } = request;
  const known = runs[id];
  if (op === "fetch" && known && known.over && known.out) {
    answer(reply, record(known));
  } else if (known) {
    answerWhenOver(known, reply, op === "run" ? request.limit : request.wait);
  } else if (op === "run") {
    const run = new Run(request);
    remember(id, run);
    add(run.replies, reply);
    run.out.to = reply.stdout;
    run.err.to = reply.stderr;
    if (current) add(queue, run);
    else setImmediate(begin, (current = run));
  } else {
    remember(id, { __proto__: null, over: true, envelope: state(id, "never") });
    answer(reply, state(id, "never"));
  }
  return undefined;
}

function state(id, name, more) {
  return toJson({ __proto__: null, v: 1, boot, id, state: name, ...more });
}

function summary(run) {
  const { id, end, exit, out, err } = run;
  return { __proto__: null, v: 1, boot, id, state: "done", end, exit, out: out.bytes, err: err.bytes };
}

function openReply(mark) {
  const { stdout, stderr } = process;
  if (indexIn(ownStreams, stdout) < 0) {
    kernelStreams = { stdout, stderr };
    // nel pipes each of its streams into the one that it found, which is ours.
    define(stdout, "push", () => true);
    define(stderr, "push", () => true);
  }
  const kernel = root.$$;
  const done = kernel && kernel.done;
  if (done) kernel.async();
  return { ...kernelStreams, mark, done, timer: undefined };
}

function answer(reply, json) {
  clearTimeout(reply.timer);
  repair();
  // Where a kernel loses the last line, it is the one after the answer.
  deliver(reply.stdout, bytesOf(`\n${reply.mark}${json}\n;\n`));
  if (reply.done) reply.done();
}

function answerWhenOver(run, reply, wait) {
  if (run.over) return answer(reply, stored(run));
  add(run.replies, reply);
  reply.timer = setTimeout(() => {
    splice(run.replies, indexIn(run.replies, reply), 1);
    answer(reply, state(run.id, "running"));
  }, wait);
  reply.timer.unref();
}

function stored(run) {
  return run.envelope.length > MAX_ENVELOPE ? record(run) : run.envelope;
}

function record(run) {
  try {
    const streams = toJson({ __proto__: null, stdout: whole(run.out), stderr: whole(run.err) });
    const bytes = bytesOf(`{"envelope":${run.envelope},${slice(streams, 1)}`);
    const name = `aca-record-${exec(/^[\w-]{1,80}$/, run.id)[0]}.json`;
    add(records, `${DATA}/${name}`);
    const file = openSync(`${DATA}/${name}`, "w");
    for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done);
    closeSync(file);
    return state(run.id, "file", { file: [name, bytes.length, sha256(bytes)] });
  } catch (error) {
    return toJson({ ...summary(run), warnings: [`The record could not be written: ${get(error, "message")}`] });
  }
}

const whole = (output) => decode(concat(output ? output.copies : []));
const sha256 = (bytes) => digest(update(createHash("sha256"), bytes), "hex");
