/** A TCP relay to a server that breaks connections at chosen bytes, or lets them go silent. */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

class Cutter {
    constructor(target, cutAfter) {
        this.target = target;
        this.cutAfter = cutAfter;
        this.cuts = 0;
        this.pairs = new Set();
        this.server = createServer({ noDelay: true }, (client) => this.relay(client));
    }

    get url() {
        const url = new URL(this.target);
        url.hostname = '127.0.0.1';
        url.port = this.server.address().port;
        return url.href;
    }

    relay(client) {
        const { hostname, port } = new URL(this.target);
        const server = connect({ host: hostname, port: Number(port), noDelay: true });
        const pair = { sockets: [client, server], left: this.cutAfter(), frozen: false };
        this.pairs.add(pair);
        for (const [from, to] of [[client, server], [server, client]]) {
            from.on('data', (bytes) => this.forward(pair, from, to, bytes));
            to.on('drain', () => from.resume());
            from.on('end', () => pair.frozen || to.end());
            from.on('error', () => this.break(pair));
            from.on('close', () => pair.frozen || this.break(pair));
        }
    }

    forward(pair, from, to, bytes) {
        if (pair.frozen) return;
        if (bytes.length > pair.left) {
            from.pause();
            this.cuts++;
            to.write(bytes.subarray(0, pair.left), () => this.break(pair));
            pair.left = 0;
            return;
        }
        pair.left -= bytes.length;
        if (!to.write(bytes)) from.pause();
    }

    break(pair) {
        if (!this.pairs.delete(pair)) return;
        const reset = Math.random() < 0.5;
        // A socket that has been ended cannot be reset: node would never close it, nor exit.
        for (const socket of pair.sockets) reset && !socket.connecting && !socket.writableEnded ? socket.resetAndDestroy() : socket.destroy();
    }

    /** Connections that there are stay open, and nothing passes any more. New ones work. */
    freeze() {
        for (const pair of this.pairs) pair.frozen = true;
    }

    cut() {
        for (const pair of [...this.pairs]) this.break(pair);
    }

    async stop() {
        this.server.close();
        this.cut();
        await once(this.server, 'close');
    }
}

/** `cutAfter()` is asked for each connection after how many bytes, of both directions together, it breaks. */
export async function startCutter(target, { cutAfter = () => Infinity } = {}) {
    const cutter = new Cutter(target, cutAfter);
    cutter.server.listen(0, '127.0.0.1');
    await once(cutter.server, 'listening');
    return cutter;
}
