/** A TCP relay that breaks connections at chosen bytes of what the server sends: inside heads, messages and answers. */
import { once } from 'node:events';
import net from 'node:net';

const HEAD_BYTES = 600; /* that surely hold an answer's head */
const RETRY = /retry: \d{4}\n/;

class Cutter {
    cuts = 0;
    isDown = false;
    #pairs = new Set();

    constructor(target, { cutAfter = () => Infinity, hurry = false }) {
        this.target = target;
        this.cutAfter = cutAfter;
        this.hurry = hurry;
        this.server = net.createServer({ noDelay: true }, (client) => this.#relay(client));
    }

    get port() {
        return this.server.address().port;
    }

    get url() {
        return `http://127.0.0.1:${this.port}`;
    }

    /** From which it is connected to the server now. */
    get ports() {
        return [...this.#pairs].map(({ server }) => server.localPort);
    }

    #relay(client) {
        if (this.isDown) return client.resetAndDestroy();
        const server = net.connect({ ...this.target, noDelay: true });
        const pair = { client, server, passed: 0, cutAt: this.cutAfter() };
        this.#pairs.add(pair);
        for (const [from, to] of [[client, server], [server, client]]) {
            from.on('data', (bytes) => this.#forward(pair, from, to, bytes));
            to.on('drain', () => from.resume());
            from.on('end', () => to.end());
            from.on('error', () => this.#break(pair));
            from.on('close', () => this.#break(pair));
        }
    }

    #forward(pair, from, to, bytes) {
        const left = pair.cutAt - pair.passed;
        const isAnswer = from === pair.server;
        if (isAnswer && pair.passed < HEAD_BYTES && this.hurry) hurry(bytes);
        if (isAnswer && bytes.length > left) {
            from.pause();
            this.cuts++;
            to.write(bytes.subarray(0, left), () => this.#break(pair));
            return;
        }
        if (isAnswer) pair.passed += bytes.length;
        if (!to.write(bytes)) from.pause();
    }

    /** A browser takes a head that ends early for a whole one, unless the connection is reset. */
    #break(pair) {
        if (!this.#pairs.delete(pair)) return;
        const reset = pair.cutAt < HEAD_BYTES || Math.random() < 0.5;
        for (const socket of [pair.client, pair.server]) {
            if (reset) resetSocket(socket);
            else socket.destroy();
        }
    }

    /** From now on connections break after so many bytes; those that there are, too. */
    cutEach(cutAfter) {
        this.cutAfter = cutAfter;
        for (const pair of this.#pairs) pair.cutAt = pair.passed + cutAfter();
    }

    /** Ends all connections, and those that come until up(). */
    down() {
        this.isDown = true;
        for (const pair of [...this.#pairs]) this.#break(pair);
    }

    up() {
        this.isDown = false;
    }

    async stop() {
        this.down();
        this.server.close();
        await once(this.server, 'close');
    }
}

/** With a RST, if it can: a Unix socket cannot, nor one that has been ended, which node would never close, and never exit. */
function resetSocket(socket) {
    if (!socket.remoteFamily || socket.connecting || socket.writableEnded) socket.destroy();
    else socket.resetAndDestroy();
}

/** EventSources are told to come back in 20 ms instead of the server's 2 to 4 s. */
function hurry(bytes) {
    const [found] = RETRY.exec(bytes.toString('latin1')) ?? [];
    if (found) bytes.write('retry: 0020\n', bytes.indexOf(found), 'latin1');
}

/**
 * Relays to `target` ({port} or {path: of a Unix socket}) until the test `t` ends; {port, url, cuts, cutEach(), down(), up()}. `cutAfter()` is asked for each
 * connection after how many bytes of the server's it breaks. `hurry`: EventSources come back quickly.
 */
export async function startCutter(t, target, options = {}) {
    const cutter = new Cutter(target.path ? target : { host: '127.0.0.1', port: target.port }, options);
    await once(cutter.server.listen(0, '127.0.0.1'), 'listening');
    t.after(() => cutter.stop());
    return cutter;
}

/** Random numbers below that. */
export const below = (limit) => () => Math.floor(Math.random() * limit);
