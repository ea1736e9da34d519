/**
 * Starts a conformance server (docs: `weft-conformance NAME --port 0`) and makes sure that it ends: by stop(), and by SIGKILL to
 * its pid when the test process leaves any other way. Its death, a status other than 0 or a sanitizer's report is an error.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

const READY_DEADLINE_MS = 20_000;
const STOP_DEADLINE_MS = 20_000;
const REPORT = /AddressSanitizer|LeakSanitizer|MemorySanitizer|ThreadSanitizer|UndefinedBehavior|runtime error:/;

const running = new Set();

process.on('exit', () => {
    for (const child of running) child.kill('SIGKILL');
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(1));

function within(promise, ms, complaint) {
    let timer;
    const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(complaint())), ms);
    });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function readyAddress(child) {
    return new Promise((resolve) => {
        createInterface({ input: child.stdout }).on('line', (line) => {
            const ready = /^ready (\S+)/.exec(line);
            if (ready) resolve(new URL(ready[1]));
        });
    });
}

class Server {
    constructor(binary, args) {
        this.command = [binary, ...args].join(' ');
        this.stderr = '';
        this.stopped = undefined;
        this.gone = undefined; /* how it ended, once it has */
        this.child = spawn(binary, args, { stdio: ['ignore', 'pipe', 'pipe'] });
        this.pid = this.child.pid;
        running.add(this.child);
        this.child.stderr.setEncoding('utf8').on('data', (text) => (this.stderr += text));
        this.ended = new Promise((resolve) => {
            this.child.on('error', (error) => resolve(`could not start: ${error.message}`));
            this.child.on('close', (status, signal) => resolve(signal ?? `status ${status}`));
        }).then((how) => {
            running.delete(this.child);
            return (this.gone = how);
        });
    }

    async ready() {
        const died = this.ended.then(() => this.check());
        const address = await within(
            Promise.race([readyAddress(this.child), died]),
            READY_DEADLINE_MS,
            () => this.sentence(`no ready line within ${READY_DEADLINE_MS} ms`),
        );
        this.url = address.href.replace(/\/$/, '');
        this.port = Number(address.port);
        return this;
    }

    sentence(what) {
        return `${this.command}: ${what}${this.stderr && `; it said:\n${this.stderr.slice(-8000)}`}`;
    }

    /** Throws when the server is gone or a sanitizer has spoken. */
    check() {
        if (REPORT.test(this.stderr)) throw new Error(this.sentence('a sanitizer reported'));
        if (this.gone) throw new Error(this.sentence(`ended by itself (${this.gone})`));
    }

    /** SIGTERM; resolves when the server has ended with status 0 and without a report. A second call gives the same answer. */
    stop() {
        this.stopped ??= this.terminate();
        return this.stopped;
    }

    async terminate() {
        try {
            this.check();
            this.child.kill('SIGTERM');
            await within(this.ended, STOP_DEADLINE_MS, () => this.sentence(`still there ${STOP_DEADLINE_MS} ms after SIGTERM`));
        } finally {
            this.child.kill('SIGKILL');
        }
        if (this.gone !== 'status 0' || REPORT.test(this.stderr)) throw new Error(this.sentence(`ended with ${this.gone}`));
    }
}

/** Starts `$WEFT_CONFORMANCE NAME --port 0 …args`; resolves to {url, port, pid, check(), stop()} when it listens. */
export async function startServer(name, ...args) {
    const binary = process.env.WEFT_CONFORMANCE;
    if (!binary) throw new Error('WEFT_CONFORMANCE must name the conformance server, as build/test/weft-conformance');
    const server = new Server(binary, [name, '--port', '0', ...args]);
    try {
        return await server.ready();
    } catch (error) {
        server.child.kill('SIGKILL');
        throw error;
    }
}
