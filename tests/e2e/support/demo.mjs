/**
 * Starts `weft demo` and makes sure that it ends: by stop() or kill(), and by SIGKILL to its pid when the test process leaves in
 * any other way. Its addresses are read from what it prints, as a person would.
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

/** The addresses in what the demo has printed so far, or undefined when some are missing. */
function addresses(output) {
    const urls = [...output.matchAll(/\b(?:http|ws):\/\/[\w.\[\]:-]+:\d+/g)].map(([url]) => new URL(url));
    const page = urls.find(({ protocol }) => protocol === 'http:');
    const channel = urls.find(({ protocol, port }) => protocol === 'ws:' && port !== page?.port);
    if (!page || !channel) return undefined;
    return {
        page: page.href,
        broadcast: `ws://${page.host}/`,
        channel: channel.href,
        port: Number(page.port),
        channelPort: Number(channel.port),
    };
}

class Demo {
    constructor(binary, args) {
        this.command = [binary, ...args].join(' ');
        this.output = '';
        this.child = spawn(binary, args, { stdio: ['ignore', 'pipe', 'pipe'] });
        running.add(this.child);
        this.ended = new Promise((resolve) => {
            this.child.on('error', (error) => resolve(`could not start: ${error.message}`));
            this.child.on('close', (status, signal) => resolve(signal ?? `status ${status}`));
        }).finally(() => running.delete(this.child));
    }

    /** Resolves when all addresses are printed. */
    ready() {
        const printed = new Promise((resolve) => {
            const read = (line) => {
                this.output += `${line}\n`;
                const found = addresses(this.output);
                if (found) resolve(Object.assign(this, found));
            };
            createInterface({ input: this.child.stdout }).on('line', read);
            createInterface({ input: this.child.stderr }).on('line', read);
        });
        const died = this.ended.then((how) => {
            throw this.error(`ended before it was ready (${how})`);
        });
        return this.within(Promise.race([printed, died]), READY_DEADLINE_MS, 'did not print its addresses in time');
    }

    /** SIGTERM; resolves when it has ended with status 0 and without a sanitizer's report. */
    async stop() {
        this.child.kill('SIGTERM');
        const how = await this.within(this.ended, STOP_DEADLINE_MS, 'did not end on SIGTERM');
        if (how !== 'status 0') throw this.error(`ended with ${how}`);
        if (REPORT.test(this.output)) throw this.error('a sanitizer reported');
    }

    /** SIGKILL, as when the machine fails; resolves when it is gone. */
    async kill() {
        this.child.kill('SIGKILL');
        await this.within(this.ended, STOP_DEADLINE_MS, 'did not end on SIGKILL');
        if (REPORT.test(this.output)) throw this.error('a sanitizer reported');
    }

    error(what) {
        return new Error(`${this.command}: ${what}; it said:\n${this.output.slice(-8000)}`);
    }

    within(promise, ms, complaint) {
        let timer;
        const late = new Promise((_, reject) => {
            timer = setTimeout(() => {
                this.child.kill('SIGKILL');
                reject(this.error(complaint));
            }, ms);
        });
        return Promise.race([promise, late]).finally(() => clearTimeout(timer));
    }
}

/**
 * Starts `$WEFT demo`; resolves when it listens to {page, broadcast, channel} (addresses), {port, channelPort}, stop() and kill().
 * Without ports it takes free ones.
 */
export async function startDemo({ port = 0, channelPort = 0 } = {}) {
    const binary = process.env.WEFT;
    if (!binary) throw new Error('WEFT must name the command to test, as build/test/src/cli/weft');
    return new Demo(binary, ['demo', '--port', String(port), '--ws-port', String(channelPort)]).ready();
}
