// A run, and the runs that are remembered.

const runs = { __proto__: null };
const order = [];
// Their ids, for a process that takes this one's place: `runtime_calls.py` looks there.
const noted = `${homedir()}/.aca-runs`;
const queue = [];
let current;
// The run whose timer calls back just now.
let active;
let copied = 0;
let late = newLate();

function newLate() {
  return { __proto__: null, out: "", err: "", errors: [] };
}

class Run {
  constructor(request) {
    this.request = request;
    this.id = request.id;
    this.cell = request.cell;
    this.file = `${DATA}/cell_${request.cell}.js`;
    this.out = new Output(this);
    this.err = new Output(this);
    this.replies = [];
    this.timers = [];
    this.watched = 0;
    this.older = [];
    this.displays = [];
    this.warnings = [];
    this.bindings = [];
    this.given = [];
    this.anchors = [];
    this.body = request.code;
    this.header = 0;
    this.shift = 0;
    this.line = undefined;
    // Its code's main part is over, and what that returned has settled.
    this.settled = false;
    this.mayStayPending = false;
    this.hasFile = false;
    this.exiting = false;
    this.muted = false;
    this.over = false;
    this.value = undefined;
    this.failure = undefined;
    this.envelope = undefined;
    this.began = now();
  }

  get left() {
    return this.request.limit - (now() - this.began);
  }
}

const owner = () => active || current || runs[order[order.length - 1]];

function remember(id, run) {
  runs[id] = run;
  add(order, id);
  attempt(() => writeFileSync(noted, `${id}\n`, { __proto__: null, flag: "a" }));
  if (order.length <= 256) return;
  const oldest = splice(order, 0, 1)[0];
  forget(runs[oldest]);
  delete runs[oldest];
}

function forget(run) {
  if (!run.out) return;
  copied -= run.out.copied + run.err.copied;
  run.out.copied = run.err.copied = 0;
  run.out.copies = [];
  run.err.copies = [];
  if (run.envelope && run.envelope.length > MAX_LATE) run.envelope = toJson(summary(run));
}
