// Runs programs as plain Node.js does and as the prepared text says, side by side; JSON lines in and out.
// As a program of its own, `node oracle.js run FILE PREPARED` runs one prepared text as if it were FILE.
'use strict'
const fs = require('fs')
const Module = require('module')
const path = require('path')
const util = require('util')
const vm = require('vm')
const { pathToFileURL } = require('url')

// With a call where each declaration is over, as in a session's later runs.
function withPublishing({ edits, declared }) {
  const calls = declared.map(([offset, places]) => [offset, offset, `;$aca(${places.length ? places : -1});`])
  return [...calls, ...edits].sort((one, other) => one[0] - other[0])
}

function edited(prepared) {
  const { code } = prepared
  const edits = withPublishing(prepared)
  let text = ''
  let at = 0
  for (const [start, end, replacement] of edits) {
    text += code.slice(at, start) + replacement
    at = end
  }
  return text + code.slice(at)
}

globalThis.$aca = () => {}

const PARAMETERS = ['exports', 'require', 'module', '__filename', '__dirname']

function wrapped(prepared, body) {
  const bindings = []
  prepared.imports.forEach(([, , pairs], index) => {
    for (const [imported, local] of pairs) {
      const from = `$imports[${index}]`
      bindings.push(`${local}=${imported === '*' ? from : `${from}[${JSON.stringify(imported)}]`}`)
    }
  })
  const parameters = prepared.module ? ['$imports', '$importMeta'] : PARAMETERS
  const head = (prepared.strict ? '"use strict";' : '') + (bindings.length ? `const ${bindings.join()};` : '')
  return `(${prepared.async ? 'async ' : ''}function(${parameters}){${head}${body}\n})`
}

function compiled(prepared, filename) {
  const source = wrapped(prepared, edited(prepared))
  const importModuleDynamically = vm.constants && vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER
  return new vm.Script(source, { filename, importModuleDynamically }).runInThisContext()
}

async function runPrepared(prepared, file) {
  const main = compiled(prepared, file)
  if (!prepared.module) {
    const module = new Module(file)
    module.filename = file
    module.paths = Module._nodeModulePaths(path.dirname(file))
    const require = Module.createRequire(file)
    require.main = module
    return [main.call(module.exports, module.exports, require, module, file, path.dirname(file))]
  }
  await null
  const url = pathToFileURL(file).href
  const require = Module.createRequire(file)
  const load = new vm.Script('((specifier, options) => import(specifier, options))', {
    filename: file,
    importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  }).runInThisContext()
  const spaces = []
  for (const [specifier, , pairs, attributes] of prepared.imports) {
    const space = await load(specifier, Object.keys(attributes).length ? { with: attributes } : undefined)
    for (const [name] of pairs) {
      if (name !== '*' && !(name in space)) throw new SyntaxError(`no export named '${name}'`)
    }
    spaces.push(space)
  }
  const resolve = (specifier) => pathToFileURL(require.resolve(specifier)).href
  return [await main.call(undefined, spaces, { url, filename: file, dirname: path.dirname(file), resolve })]
}

let count = 0

async function captured(run) {
  const before = new Set(Reflect.ownKeys(globalThis))
  const own = ['exports', 'require', 'module', '__filename', '__dirname']
  let out = ''
  let error = null
  let value
  const write = process.stdout.write
  const writeError = process.stderr.write
  process.stdout.write = (chunk) => ((out += chunk), true)
  process.stderr.write = (chunk) => ((out += `stderr: ${chunk}`), true)
  const late = (thrown) => (error ??= thrown)
  process.on('uncaughtException', late).on('unhandledRejection', late)
  try {
    // In a list, for a value that is a promise must not be waited for.
    value = ((await run()) ?? [])[0]
  } catch (thrown) {
    error = thrown
  }
  const base = ['PipeWrap', 'TTYWrap', 'FSReqCallback', 'Pipe']
  for (let turn = 0; turn < 200; turn++) {
    await new Promise((resolve) => setImmediate(resolve))
    const busy = process.getActiveResourcesInfo().filter((kind) => !base.includes(kind) && kind !== 'Immediate')
    if (turn > 3 && !busy.length) break
    if (turn > 10) await new Promise((resolve) => setTimeout(resolve, 5))
  }
  process.stdout.write = write
  process.stderr.write = writeError
  process.off('uncaughtException', late).off('unhandledRejection', late)
  for (const key of Reflect.ownKeys(globalThis)) if (!before.has(key) && !own.includes(key)) delete globalThis[key]
  const thrown = error && (error instanceof Error ? `${error.name}: ${error.message}` : util.inspect(error))
  return { out, error: thrown, value: util.inspect(value, { depth: 6 }) }
}

async function answer({ op, kind, code, prepared, folder, candidates }) {
  const file = path.join(folder, `program${++count}.${kind}`)
  if (op === 'plain') {
    fs.writeFileSync(file, code)
    return captured(async () => void (kind === 'mjs' ? await import(pathToFileURL(file).href) : require(file)))
  }
  if (op === 'prepared') return captured(() => runPrepared(prepared, file))
  if (op === 'compiles') {
    // Whether the prepared text compiles, and which of its names V8 does not know, and which it knows beside them.
    const body = edited(prepared)
    const inside = (more) => `(${prepared.async ? 'async ' : ''}function(){${prepared.strict ? '"use strict";' : ''}${body}\n;${more}})`
    const fits = (more) => {
      try {
        return new vm.Script(inside(more)) && null
      } catch (error) {
        return error.message
      }
    }
    const error = fits('')
    if (error) return { error, missing: [], extra: null }
    const local = new Set(prepared.imports.flatMap(([, , pairs]) => pairs.map((pair) => pair[1])))
    const missing = prepared.names.filter((name) => !local.has(name) && fits(`let ${name}`) === null)
    let extra = null
    const known = new Set(prepared.names)
    const free = candidates.filter((name) => !known.has(name) && fits(`{let ${name}}`) === null)
    if (free.length) extra = fits(`let ${free.join()}`)
    return { error, missing, extra }
  }
  if (op === 'parses') {
    try {
      if (kind === 'cjs') vm.compileFunction(code.replace(/^\ufeff/, '').replace(/^#!.*/, ''), PARAMETERS)
      else await parsedAsModule(code)
      return { error: null }
    } catch (error) {
      return { error: error.message }
    }
  }
  throw new Error(op)
}

async function parsedAsModule(code) {
  new vm.SourceTextModule(code)
}

if (process.argv[2] === 'run') {
  const [, , , file, prepared] = process.argv
  process.argv.splice(1, 4, file)
  runPrepared(JSON.parse(fs.readFileSync(prepared, 'utf8')), file).catch((error) => {
    process.nextTick(() => {
      throw error
    })
  })
} else {
  const answers = Number(process.argv[3])
  const lines = require('readline').createInterface({ input: process.stdin })
  let turn = Promise.resolve()
  lines.on('line', (line) => {
    turn = turn.then(async () => {
      const results = []
      for (const request of JSON.parse(line)) results.push(await answer(request))
      fs.writeSync(answers, JSON.stringify(results) + '\n')
    })
  })
}
