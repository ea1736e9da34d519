/** Engine.IO 4 spoken by hand, over HTTP requests and npm's `ws`: whatever is sent goes out, and every packet that comes is kept. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { fileURLToPath } from 'node:url';
import WebSocket from 'ws';
import { DEADLINE_MS, start, within } from './program.mjs';

export const PING = '2';
export const PONG = '3';
const SEPARATOR = '\x1e';

/** The same servers on the packages that their authors publish. */
export const REFERENCE = fileURLToPath(new URL('reference/conformance.mjs', import.meta.url));

export const isReference = () => process.env.WEFT_CONFORMANCE === REFERENCE;

/** Starts a server for the test `t`, or for a whole file without one, on a port of one's choice, with further arguments; {url, port, stop()}. */
export async function startConformance(t, name, { port = 0, command = process.env.WEFT_CONFORMANCE, args = [] } = {}) {
    if (!command) throw new Error('WEFT_CONFORMANCE must name the conformance server, as build/test/weft-conformance');
    const program = start(t ?? { after() {} }, command, [name, '--port', String(port), ...args]);
    const [, address] = await program.printed(/^ready (\S+)/m);
    const url = new URL(address);
    return Object.assign(program, { url: url.origin, port: Number(url.port), host: url.host });
}

/* -------------------------------------------------------------------------------------------------------------------- HTTP */

function send(url, { method = 'GET', headers = {}, body, agent = false } = {}) {
    const request = http.request(url, { method, headers, agent });
    const answer = new Promise((resolve, reject) => {
        request.on('error', reject);
        request.on('response', (response) => {
            const { statusCode: status, headers: fields } = response;
            const whole = (parts) => ({ status, headers: fields, body: Buffer.concat(parts).toString() });
            response.toArray().then((parts) => resolve(whole(parts)), reject);
        });
    });
    request.end(body);
    return { request, answer: within(answer, () => `${method} ${url}`) };
}

/** Resolves to {status, headers, body}; rejects when the connection breaks. */
export function ask(url, options) {
    return send(url, options).answer;
}

/** The answer, or in its place how the connection broke: some servers answer what is malformed, others hang up. */
export function askRoughly(url, options) {
    return ask(url, options).catch(({ code, message }) => ({ status: code ?? message }));
}

export const payload = (...packets) => packets.join(SEPARATOR);

export const packetsOf = (body) => body.split(SEPARATOR);

/** A session over polling. */
export class Session {
    constructor(server, path, query) {
        this.server = server;
        this.target = `${path}?EIO=4${query}`;
        this.came = [];
    }

    async open() {
        const { status, headers, body } = await ask(this.url());
        assert.deepEqual([status, body[0]], [200, '0'], body);
        this.headers = headers;
        this.opened = JSON.parse(body.slice(1));
        this.sid = this.opened.sid;
        return this;
    }

    url(transport = 'polling') {
        const sid = this.sid ? `&sid=${encodeURIComponent(this.sid)}` : '';
        return `${this.server.url}${this.target}&transport=${transport}${sid}`;
    }

    poll(options) {
        return ask(this.url(), options);
    }

    post(body, options) {
        return ask(this.url(), { method: 'POST', body, ...options });
    }

    /** A poll that the server surely holds when this resolves: it has answered later requests. {request, answer}. */
    async hang() {
        const held = send(this.url());
        held.answer.catch(() => {});
        await within(once(held.request, 'finish'), () => 'a request that goes out');
        for (let round = 0; round < 2; round++) await ask(`${this.server.url}${this.target}&transport=none`);
        return held;
    }

    /** The packet that comes next, over as many polls as that takes; pings are answered and left out. */
    async next() {
        for (const limit = Date.now() + DEADLINE_MS; !this.came.length; ) {
            assert.ok(Date.now() < limit, 'nothing but pings came');
            const { status, body } = await this.poll();
            assert.equal(status, 200, body);
            const packets = packetsOf(body);
            if (packets.includes(PING)) assert.equal((await this.post(PONG)).status, 200);
            this.came.push(...packets.filter((packet) => packet !== PING));
        }
        return this.came.shift();
    }

    async take(count) {
        const packets = [];
        while (packets.length < count) packets.push(await this.next());
        return packets;
    }

    /** The server does not know it any more. */
    async isGone() {
        const { status, body } = await this.poll();
        assert.deepEqual([status, body], [400, '{"code":1,"message":"Session ID unknown"}']);
    }

    /** A WebSocket with its sid. */
    socket(options) {
        return new Wire(this.url('websocket').replace('http', 'ws'), options);
    }

    /** One that the server has answered the probe on. */
    async probe(options) {
        const wire = this.socket(options);
        await wire.open();
        wire.send('2probe');
        assert.equal(await wire.next(), '3probe');
        return wire;
    }
}

export function openSession(server, { path = '/engine.io/', query = '' } = {}) {
    return new Session(server, path, query).open();
}

/* --------------------------------------------------------------------------------------------------------------- WebSocket */

/** Packets over WebSocket: text is a string, binary a Buffer. Pings are answered and left out, unless `pongs` is false. */
export class Wire {
    constructor(url, { pongs = true, ...options } = {}) {
        this.url = url;
        this.came = [];
        this.end = undefined; /* {code, reason} of a close, or {status, body} of an answer that is not 101 */
        this.wake = () => {};
        this.socket = new WebSocket(url, options);
        this.socket.on('open', () => this.wake());
        this.socket.on('message', (data, isBinary) => this.take(isBinary ? data : data.toString(), pongs));
        this.socket.on('close', (code, reason) => this.finish({ code, reason: reason.toString() }));
        this.socket.on('error', (error) => this.finish({ error: error.code ?? error.message }));
        this.socket.on('unexpected-response', (_, response) => {
            response.toArray().then((parts) => {
                this.finish({ status: response.statusCode, headers: response.headers, body: Buffer.concat(parts).toString() });
            });
        });
    }

    take(packet, pongs) {
        if (packet === PING && pongs) return this.send(PONG);
        this.came.push(packet);
        this.wake();
    }

    finish(end) {
        this.end ??= end;
        this.wake();
    }

    send(...packets) {
        for (const packet of packets) this.socket.send(packet);
    }

    until(look, what) {
        const found = new Promise((resolve) => {
            this.wake = () => look() && resolve();
            this.wake();
        });
        return within(found, () => `${this.url}: ${what}, after ${JSON.stringify(this.came)}`);
    }

    async open() {
        await this.until(() => this.socket.readyState === WebSocket.OPEN || this.end, 'open');
        assert.equal(this.end, undefined);
    }

    async next() {
        await this.until(() => this.came.length || this.end, 'a packet');
        assert.ok(this.came.length, `the connection ended: ${JSON.stringify(this.end)}`);
        return this.came.shift();
    }

    async nextOf(count) {
        const packets = [];
        while (packets.length < count) packets.push(await this.next());
        return packets;
    }

    /** How it ended, once it has, with nothing more that came. */
    async ended() {
        await this.until(() => this.end, 'an end');
        assert.deepEqual(this.came, []);
        return this.end;
    }

    close() {
        this.socket.terminate();
    }
}

/** A session over WebSocket, whose open packet is in `opened`. */
export async function openWire(server, { path = '/engine.io/', query = '', ...options } = {}) {
    const wire = new Wire(`ws://${server.host}${path}?EIO=4&transport=websocket${query}`, options);
    const packet = await wire.next();
    assert.equal(packet[0], '0', packet);
    wire.opened = JSON.parse(packet.slice(1));
    return wire;
}
