// From a text, its edits and its imports to what can be called.

const compileModule = uncurry(Module.prototype._compile);
const importer = new Module(`${DATA}/aca.js`);
importer._compile("module.exports = (specifier) => import(specifier);", `${DATA}/aca.js`);
const importModule = importer.exports;
const importModuleDynamically = constants.USE_MAIN_CONTEXT_DEFAULT_LOADER;

function newScript(run, source, columnOffset) {
  return new Script(source, { __proto__: null, filename: run.file, columnOffset, importModuleDynamically });
}

function compile(run) {
  const { code, errors, async, module } = run.request;
  let failure;
  if (!errors) {
    try {
      return compileBody(run);
    } catch (error) {
      failure = error;
    }
  }
  try {
    const script = newScript(run, code, 0);
    run.bindings = [];
    run.anchors = [];
    run.body = code;
    run.header = 0;
    return () => runScript(script, { __proto__: null, displayErrors: false });
  } catch (error) {
    if (!async && !module) {
      run.header = 0;
      run.anchors = [];
      throw error;
    }
    if (!failure) return compileBody(run);
    throw failure;
  }
}

// The body runs in a function, as CommonJS does it. All that is ours stands before it on its first line, but for the
// calls that publish what a later run has declared.
function compileBody(run) {
  const { async, atOnce, code, constants, imports, module, names, strict, vars } = run.request;
  let own = "$aca";
  while (indexOf(code, own) >= 0) own += "_";
  const isDeclared = { __proto__: null };
  const isConstant = { __proto__: null };
  for (let i = 0; i < constants.length; i++) isConstant[constants[i]] = true;
  let around = "";
  let starts = "";
  let pairs = "";
  let declaresAnew = false;
  const give = (keyword, name, value) => {
    around += `${keyword} ${name}=${own}.given[${run.given.length}];`;
    add(run.given, value);
  };
  const bind = (name, isGiven) => {
    isDeclared[name] = true;
    if (slots[name]) declaresAnew = true;
    pairs += `()=>${name},${own}=>{${name}=${own}},`;
    add(run.bindings, { __proto__: null, name, isGiven, isConstant: isConstant[name] });
  };
  for (let i = 0; i < names.length; i++) bind(names[i], false);
  for (let i = 0; i < vars.length; i++) {
    if (slots[vars[i]]) starts += `${vars[i]}=${own}(${stringify(vars[i])});`;
  }
  for (let i = 0; i < imports.length; i++) {
    const pairs = imports[i][2];
    for (let j = 0; j < pairs.length; j++) give("const", pairs[j][1]);
  }
  const givenNames = keys(given);
  for (let i = 0; i < givenNames.length; i++) {
    const name = givenNames[i];
    if (isDeclared[name] || indexOf(code, name) < 0) continue;
    give("let", name, newest(given[name]).get());
    bind(name, true);
  }
  if (module) give("const", "$importMeta", importMeta(run));
  const header =
    `(function(${own}){${around}return ${async ? "async " : ""}function(` +
    `${module ? "" : "exports,require,module,__filename,__dirname"}){` +
    `${strict ? '"use strict";' : ""}${starts}${own}(${pairs});`;
  run.header = header.length;
  const isLater = keys(slots).length > 0;
  applyEdits(run, isLater ? own : "", declaresAnew);
  const outer = evaluate(run, `${header}${run.body}\n}})`);
  return () => {
    const publishSome = (places) => {
      for (let i = 0; i < places.length; i++) if (run.bindings[places[i]]) publishOne(run.bindings[places[i]]);
    };
    const hook = function (first) {
      if (typeof first === "string") return newest(slots[first]).get();
      if (typeof first === "number") return first < 0 ? follow(run) : publishSome(arguments);
      for (let i = 0; i < run.bindings.length; i++) {
        run.bindings[i].get = arguments[2 * i];
        run.bindings[i].set = arguments[2 * i + 1];
      }
      if (isLater) publishSome(atOnce);
      return undefined;
    };
    hook.given = run.given;
    const body = apply(outer, undefined, [hook]);
    if (module) return apply(body, undefined, []);
    const own = newModule(run);
    return apply(body, own.exports, [own.exports, own.require, own, run.file, DATA]);
  };
}

function evaluate(run, source) {
  if (importModuleDynamically) return runScript(newScript(run, source, -run.header));
  // Before Node.js 20.12 only what is compiled as a module may import; its columns can't be moved.
  const start = "return";
  run.shift = run.header += start.length;
  return compileModule(new Module(run.file), start + source, run.file);
}

function newModule(run) {
  const module = new Module(run.file);
  module.filename = run.file;
  module.paths = Module._nodeModulePaths(DATA);
  define(module, "require", createRequire(run.file));
  module.require.main = module;
  return module;
}

function importMeta(run) {
  const url = `${pathToFileURL(run.file)}`;
  const { resolve } = createRequire(run.file);
  const meta = { __proto__: null, dirname: DATA, filename: run.file, main: true, url };
  meta.resolve = (specifier) => {
    if (exec(/^\.{0,2}\/|^\w+:/, specifier)) return new URL(specifier, url).href;
    const found = resolve(specifier);
    return found[0] === "/" ? pathToFileURL(found).href : `node:${found}`;
  };
  return meta;
}

// The anchors lead back from the body to the text: offset in the body, in the text, and where that stretch ends.
function applyEdits(run, publisher, declaresAnew) {
  const { code } = run.request;
  const edits = publisher ? withPublishing(run.request, publisher, declaresAnew) : run.request.edits;
  let body = "";
  let position = 0;
  run.anchors = [];
  for (let i = 0; i <= edits.length; i++) {
    const edit = i < edits.length ? edits[i] : [code.length, code.length, ""];
    add(run.anchors, [body.length, position, edit[0]]);
    body += slice(code, position, edit[0]);
    add(run.anchors, [body.length, edit[0], edit[1]]);
    body += edit[2];
    position = edit[1];
  }
  run.body = body;
}

// Earlier functions may be called before the run ends: they are to see what it has declared, and it what they change.
function withPublishing({ edits, declared }, publisher, declaresAnew) {
  const all = [];
  let next = 0;
  let end = 0;
  for (let i = 0; i < declared.length; i++) {
    const [offset, places] = declared[i];
    if (!places.length && !declaresAnew) continue;
    while (next < edits.length && edits[next][0] < offset) {
      end = edits[next][1];
      add(all, edits[next++]);
    }
    if (end <= offset) add(all, [offset, offset, `;${publisher}(${join(places, ",") || -1});`]);
  }
  while (next < edits.length) add(all, edits[next++]);
  return all;
}

async function importAll(run) {
  const { imports } = run.request;
  const require = createRequire(run.file);
  let given = 0;
  for (let i = 0; i < imports.length; i++) {
    const specifier = imports[i][0];
    const pairs = imports[i][2];
    run.line = imports[i][1];
    let module;
    // Node.js's own way for JSON warns, and is another one in each version.
    if (imports[i][3].type === "json") module = { __proto__: null, default: require(asPath(specifier)) };
    else module = await importModule(freshSpecifier(specifier, run));
    for (let j = 0; j < pairs.length; j++) run.given[given++] = pick(module, pairs[j][0], specifier);
  }
  run.line = undefined;
}

const asPath = (specifier) => (exec(/^file:/, specifier) ? fileURLToPath(specifier) : specifier);

function pick(module, name, specifier) {
  if (name === "*") return module;
  if (name in module) return module[name];
  // What Node.js's scan of a CommonJS package missed.
  const all = module.default;
  if (all !== undefined && all !== null && name in Object(all)) return all[name];
  throw new SyntaxError(`The requested module '${specifier}' does not provide an export named '${name}'`);
}
