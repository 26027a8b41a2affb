// What code in a session does every day, in the working directory. Prints each answer, or each error, as JSON.
'use strict'
const child = require('child_process')
const dgram = require('dgram')
const dns = require('dns')
const fs = require('fs')
const http = require('http')
const net = require('net')
const os = require('os')
const { Worker } = require('worker_threads')

const text = { encoding: 'utf8' }

const checks = {
  worker (done) {
    new Worker("require('worker_threads').parentPort.postMessage(42)", { eval: true }).on('message', done)
  },
  child: () => child.execSync('echo hi | cat', text),
  list: () => child.execSync('ls /usr/bin/env', text),
  fork (done) {
    fs.writeFileSync('fork.js', 'process.send(7)')
    child.fork('./fork.js').on('message', done)
  },
  node: () => child.execFileSync(process.execPath, ['-p', '6 * 7'], text),
  watch (done) {
    const watcher = fs.watch('.', () => { watcher.close(); done('changed') })
    fs.writeFileSync('watched', 'x')
  },
  files () {
    fs.rmSync('copy', { recursive: true, force: true })
    fs.mkdirSync('folder/deep', { recursive: true })
    fs.writeFileSync('folder/deep/a', 'a')
    fs.renameSync('folder/deep/a', 'folder/b')
    fs.symlinkSync('b', 'folder/link')
    fs.truncateSync('folder/b', 0)
    fs.cpSync('folder', 'copy', { recursive: true })
    fs.rmSync('folder', { recursive: true })
    return fs.readdirSync('copy').join()
  },
  python: () => child.execFileSync('/usr/bin/python3', ['-c', 'import threading, subprocess, ssl; print(1)'], text),
  git: () => child.execSync('git init -q repository && git -C repository status --short', text),
  random: () => child.execSync('head -c 4 /dev/urandom | wc -c > /dev/null && echo done', text),
  machine: () => os.cpus().length > 0 && os.freemem() > 0 && os.uptime() > 0 && os.userInfo().username !== '',
  memory: () => process.memoryUsage().rss > 0 && process.report !== undefined,
  certificates: () => require('tls').rootCertificates.length > 0,
  time: () => new Date(0).toLocaleString('de-DE', { timeZone: 'Europe/Berlin' }),
  interfaces: () => Array.isArray(Object.keys(os.networkInterfaces())),
  lookup (done) { dns.lookup('localhost', error => done(error ? error.code : 'found')) },
  udp (done) {
    const socket = dgram.createSocket('udp4').on('error', error => done(error.code))
    socket.on('message', message => { socket.close(); done(String(message)) })
    socket.bind(0, '127.0.0.1', () => socket.send('ping', socket.address().port, '127.0.0.1'))
  },
  tcp (done) {
    const server = http.createServer((_, answer) => answer.end('hello')).on('error', error => done(error.code))
    server.listen(0, '127.0.0.1', () => {
      const url = `http://127.0.0.1:${server.address().port}`
      child.execFile('curl', ['-s', url], (_, output) => { server.close(); done(output) })
    })
  },
  connect (done) { net.connect(9, '127.0.0.1').on('error', error => done(error.code)) }
}

async function main () {
  const answers = {}
  for (const [name, check] of Object.entries(checks)) {
    answers[name] = await new Promise(resolve => {
      const timer = setTimeout(resolve, 8000, 'too late')
      const done = answer => { clearTimeout(timer); resolve(answer) }
      try {
        if (check.length) check(done)
        else done(check())
      } catch (error) { done(error.code || error.message) }
    })
  }
  console.log(JSON.stringify(answers))
  process.exit()
}

main()
