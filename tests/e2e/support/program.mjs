/**
 * Runs any program of ours and tells what it printed and how it ended. Each ends with the test process at the latest; one that
 * outstays its deadline, or in which a sanitizer spoke, is an error that shows what it said.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export const DEADLINE_MS = 20_000;
const REPORT = /AddressSanitizer|LeakSanitizer|MemorySanitizer|ThreadSanitizer|UndefinedBehavior|runtime error:/;

const running = new Set();

process.on('exit', () => {
    for (const child of running) child.kill('SIGKILL');
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(1));

export function within(promise, what, ms = DEADLINE_MS) {
    let timer;
    const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`${what()}: nothing within ${ms} ms`)), ms);
    });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Looks again and again, as the kernel tells nobody what becomes of another process; false when it never came true. */
export async function becomesTrue(look, ms = DEADLINE_MS) {
    for (const limit = Date.now() + ms; ; await sleep(20)) {
        if (await look()) return true;
        if (Date.now() > limit) return false;
    }
}

export class Program {
    constructor(command, args, options) {
        this.command = [command, ...args].join(' ');
        this.stdout = '';
        this.stderr = '';
        this.how = undefined; /* how it ended, once it has: `status 0`, `SIGTERM` */
        this.wakes = new Set();
        this.child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], ...options });
        this.pid = this.child.pid;
        running.add(this.child);
        this.child.stdin.on('error', () => {});
        for (const name of ['stdout', 'stderr']) this.child[name].setEncoding('utf8').on('data', (text) => this.take(name, text));
        this.ended = new Promise((resolve) => {
            this.child.on('error', (error) => resolve(`could not start: ${error.message}`));
            this.child.on('close', (status, signal) => resolve(signal ?? `status ${status}`));
        }).then((how) => this.take('how', how));
    }

    take(name, text) {
        this[name] = (this[name] ?? '') + text;
        if (name === 'how') running.delete(this.child);
        for (const wake of this.wakes) wake();
    }

    sentence(what) {
        return `${this.command}: ${what} (${this.how ?? 'running'}); it said:\n${(this.stdout + this.stderr).slice(-8000)}`;
    }

    /** What look() gives as soon as that is truthy; it is asked whenever the program prints. */
    until(look, what, ms) {
        let wake;
        const found = new Promise((resolve, reject) => {
            wake = () => {
                const value = look();
                if (value) resolve(value);
                else if (this.how) reject(new Error(this.sentence(what)));
            };
            this.wakes.add(wake);
            wake();
        });
        return within(found, () => this.sentence(what), ms).finally(() => this.wakes.delete(wake));
    }

    /** The match of a pattern in what it has printed, or will. */
    printed(pattern) {
        return this.until(() => pattern.exec(this.stdout), `did not print ${pattern}`);
    }

    /** How it ended: `status 0`, or a signal's name. */
    async end(ms) {
        await within(this.ended, () => this.sentence('did not end'), ms);
        if (REPORT.test(this.stdout + this.stderr)) throw new Error(this.sentence('a sanitizer reported'));
        return this.how;
    }

    /** SIGTERM, which must end it well. */
    async stop() {
        this.child.kill('SIGTERM');
        if ((await this.end()) !== 'status 0') throw new Error(this.sentence('did not end well'));
    }

    /** Standard error holds nothing, or log lines that tell of the ordinary, without what a terminal would obey. */
    checkLog() {
        for (const line of this.stderr.split('\n').slice(0, -1)) {
            assert.match(line, /^time=\S+ level=info event=[^\x00-\x1f\x7f-\x9f]+$/, this.command);
        }
    }

    kill() {
        this.child.kill('SIGKILL');
    }
}

/** The program that an environment variable names, or one in the folder that it names. */
export function binaryOf(variable, name = '') {
    const path = process.env[variable];
    if (!path) throw new Error(`${variable} must name what to test: see tests/e2e/meson.build`);
    return name ? `${path}/${name}` : path;
}

/** Starts a program, which the end of the test `t` kills if nothing else has ended it. */
export function start(t, command, args = [], options = {}) {
    const program = new Program(command, args, options);
    t.after(() => program.kill());
    return program;
}

/** Runs a program to its end; resolves to [how, stdout, stderr]. */
export async function run(t, command, args, options) {
    const program = start(t, command, args, options);
    const how = await program.end();
    return [how, program.stdout, program.stderr];
}

/** A listening socket of our own on a free port of this machine, until the test ends. */
export async function occupyPort(t) {
    const server = net.createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => server.close());
    return server.address().port;
}

/** A port that was free a moment ago. */
export async function freePort() {
    const server = net.createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address();
    server.close();
    await once(server, 'close');
    return port;
}

/* -------------------------------------------------------------------------------------------------- what the kernel says of it */

function statusBytes(pid, field) {
    return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) * 1024;
}

export function memory({ pid }) {
    return statusBytes(pid, 'VmRSS');
}

/** What AddressSanitizer may hold on to, as it keeps freed memory for a while; its shadow betrays it. */
export function sanitizerSlack({ pid }) {
    return statusBytes(pid, 'VmSize') > 2 ** 40 ? 320 << 20 : 0;
}

function descriptors({ pid }) {
    return readdirSync(`/proc/${pid}/fd`).length;
}

/** Waits until the program has this many descriptors open; without a number, tells how many it has. */
export async function openDescriptors(program, count) {
    if (count === undefined) return descriptors(program);
    assert.ok(await becomesTrue(() => descriptors(program) <= count), `${descriptors(program)} descriptors are open, not ${count}`);
    return count;
}
