/** Clients of npm's `ws` that keep what comes to them, in words: `text "hi"`, `binary 00ff`, `close 1000 bye`. */
import WebSocket from 'ws';
import { BINARY, TEXT, told } from './raw-websocket.mjs';
import { within } from './program.mjs';

class Client {
    constructor(url, options) {
        this.url = url;
        this.events = [];
        this.taken = 0;
        this.wake = () => {};
        this.socket = new WebSocket(url, options);
        this.socket.on('message', (data, isBinary) => this.take(told(isBinary ? BINARY : TEXT, data)));
        this.socket.on('close', (code, reason) => this.take(`close ${code} ${reason}`.trim()));
    }

    take(event) {
        this.events.push(event);
        this.wake();
    }

    isClosed() {
        return this.events.at(-1)?.startsWith('close') ?? false;
    }

    async until(reached, what) {
        const all = new Promise((resolve) => {
            this.wake = () => reached() && resolve();
            this.wake();
        });
        await within(all, () => `${this.url}: ${what}, after [${this.events.slice(-20).join(' | ')}]`);
    }

    /** The next `count` events. */
    async next(count = 1) {
        await this.until(() => this.events.length >= this.taken + count, `${count} events`);
        return this.events.slice(this.taken, (this.taken += count));
    }

    /** All events that were not taken yet, up to the close. */
    async rest() {
        await this.until(() => this.isClosed(), 'a close');
        return this.next(this.events.length - this.taken);
    }

    send(...messages) {
        for (const message of messages) this.socket.send(message);
    }

    /** Resolves when the server has seen all that was sent, and what it sent before is here; or when the connection is closed. */
    async settle() {
        let answered = false;
        this.socket.once('pong', () => {
            answered = true;
            this.wake();
        });
        this.socket.ping();
        await this.until(() => answered || this.isClosed(), 'a pong');
    }

    async leave() {
        this.socket.close(1000);
        return this.next();
    }
}

/** A connected client of the test `t`, which has had a pong, or has been closed already. */
export async function connect(t, url, options) {
    const client = new Client(url, options);
    t.after(() => client.socket.terminate());
    const open = new Promise((resolve, reject) => client.socket.once('open', resolve).once('error', reject));
    await within(open, () => `${url}: open`);
    client.socket.on('error', (error) => client.take(`error ${error.code ?? error.message}`));
    await client.settle();
    return client;
}

export function connectMany(t, count, url, options) {
    return Promise.all(Array.from({ length: count }, () => connect(t, url, options)));
}

/** The HTTP status that refuses a connection, or the error's code. */
export function refusal(t, url, options) {
    const socket = new WebSocket(url, options);
    t.after(() => socket.terminate());
    const answer = new Promise((resolve) => {
        socket.on('unexpected-response', (_, response) => resolve(response.resume().statusCode));
        socket.on('open', () => resolve('open'));
        socket.on('error', ({ code }) => resolve(code));
    });
    return within(answer, () => `${url}: a refusal`);
}
