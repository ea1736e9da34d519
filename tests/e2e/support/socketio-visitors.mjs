/** Clients of Socket.IO that come, get some way through what clients do, and are gone at any byte of it, by a FIN or a RST. */
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { io } from 'socket.io-client';

const ANY_MS = 5;
const DEADLINE_MS = 10_000; /* the server may have closed what the client still waits for */
const MOST_BYTES = 4096; /* that are kept of what nobody waits for */
const POLLING = '/socket.io/?EIO=4&transport=polling';
const FRAMES = '/socket.io/?EIO=4&transport=websocket';
const SID = /"sid":"([^"]+)"/;

const below = (limit) => Math.floor(Math.random() * limit);

/* ------------------------------------------------------------------------------------------------------------------ bytes */

const get = (sid) => `GET ${POLLING}${sid ? `&sid=${sid}` : ''} HTTP/1.1\r\nHost: localhost\r\n\r\n`;

const post = (sid, body) =>
    `POST ${POLLING}&sid=${sid} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;

const upgrade = (sid) =>
    `GET ${FRAMES}${sid ? `&sid=${sid}` : ''} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
    'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';

/** A frame under a mask of zeros. */
function frame(payload) {
    const bytes = Buffer.from(payload);
    const length = bytes.length < 126 ? [0x80 | bytes.length] : [0xfe, bytes.length >> 8, bytes.length & 255];
    return Buffer.concat([Buffer.from([typeof payload === 'string' ? 0x81 : 0x82, ...length, 0, 0, 0, 0]), bytes]);
}

const frames = (...payloads) => Buffer.concat(payloads.map(frame));

/* ----------------------------------------------------------------------------------------------------------------- clients */

/** One connection of a visitor's. */
class Connection {
    came = '';
    ended = false;

    constructor(port) {
        this.wake = () => {};
        this.socket = net.connect({ host: '127.0.0.1', port, noDelay: true });
        this.socket.setEncoding('latin1').on('data', (text) => this.take(text));
        this.socket.on('error', () => {}).on('close', () => this.take('', true));
    }

    take(text, ended = false) {
        this.came += text;
        this.ended ||= ended;
        this.wake();
        if (this.came.length > MOST_BYTES) this.came = this.came.slice(-MOST_BYTES / 2);
    }

    /** The match of what comes, which is forgotten up to it; undefined when the connection ends before, or nothing comes. */
    async until(pattern) {
        const found = new Promise((resolve) => {
            this.wake = () => {
                const match = pattern.exec(this.came);
                if (match) this.came = this.came.slice(match.index + match[0].length);
                if (match || this.ended) resolve(match ?? undefined);
            };
            this.wake();
        });
        const timer = setTimeout(() => this.take('', true), DEADLINE_MS);
        return found.finally(() => clearTimeout(timer));
    }

    vanish() {
        const way = below(3);
        if (way === 0) this.socket.end();
        else if (way === 1) this.socket.destroy();
        else if (!this.socket.connecting) this.socket.resetAndDestroy();
        setTimeout(() => this.socket.destroy(), 50);
    }
}

/** Goes so many steps, and writes a part of what the next one would send. */
class Visitor {
    connections = [];

    constructor(port, steps) {
        this.port = port;
        this.steps = steps;
    }

    connect() {
        const connection = new Connection(this.port);
        this.connections.push(connection);
        return connection;
    }

    /** Writes and waits for the answer; an exception ends the visit. */
    async say(connection, bytes, pattern) {
        if (this.steps-- <= 0) {
            connection.socket.write(bytes.slice(0, below(bytes.length + 1)));
            throw new Error('enough');
        }
        connection.socket.write(bytes);
        const match = pattern && (await connection.until(pattern));
        if (pattern && !match) throw new Error('the server has closed');
        return match;
    }

    async leave() {
        await sleep(Math.random() * ANY_MS);
        for (const connection of this.connections) connection.vanish();
    }
}

/** Packets of a namespace: most visitors are in one of their own, a few in that of those who stay. */
function language() {
    const namespace = below(10) ? `/visit-${below(20)},` : '';
    return {
        hello: (auth = '') => `40${namespace}${auth}`,
        welcome: new RegExp(`40${namespace}\\{.*?"pid":"([^"]+)"`),
        join: (id) => `42${namespace}${id}["join","room ${below(50)}"]`,
        joined: (id) => new RegExp(`43${namespace}${id}\\[\\]`),
        binary: [`451-${namespace}["unknown",{"_placeholder":true,"num":0}]`, Buffer.from('attachment')],
    };
}

/** All that a client by polls can do; what it posts may stand in several segments. */
async function byPolls(visitor, { hello, welcome, join, binary } = language()) {
    const first = visitor.connect();
    const [, sid] = await visitor.say(first, get(), SID);
    await visitor.say(first, post(sid, hello()), /ok$/);
    await visitor.say(first, get(sid), welcome);
    const second = visitor.connect();
    visitor.say(first, get(sid)).catch(() => {});
    await visitor.say(second, post(sid, join(1)), /ok$/);
    await visitor.say(second, post(sid, `${binary[0]}\x1eb${binary[1].toString('base64')}`), /ok$/);
    return sid;
}

async function byUpgrade(visitor) {
    const spoken = language();
    const { join, joined, binary } = spoken;
    const sid = await byPolls(visitor, spoken);
    const third = visitor.connect();
    await visitor.say(third, upgrade(sid), /\r\n\r\n/);
    await visitor.say(third, frame('2probe'), /3probe/);
    await visitor.say(third, frames('5', join(2)), joined(2));
    await visitor.say(third, frames(...binary, join(3)), joined(3));
}

async function byFrames(visitor) {
    const { hello, welcome, join, joined, binary } = language();
    const only = visitor.connect();
    await visitor.say(only, upgrade(), SID);
    const [, pid] = await visitor.say(only, frame(hello()), welcome);
    await visitor.say(only, frames(join(1)), joined(1));
    await visitor.say(only, frames(...binary, join(2)), joined(2));
    const again = visitor.connect();
    await visitor.say(again, upgrade(), SID);
    only.vanish();
    await visitor.say(again, frame(hello(`{"pid":"${pid}"}`)), welcome);
    await visitor.say(again, frame(join(3)), joined(3));
}

const RAW = [byPolls, byUpgrade, byFrames];
const MOST_STEPS = 12;

async function raw(port) {
    const visitor = new Visitor(port, below(MOST_STEPS));
    try {
        await RAW[below(RAW.length)](visitor);
    } catch {
        /* it has seen enough */
    }
    await visitor.leave();
    return visitor.connections.length;
}

async function stock(port) {
    const socket = io(`http://127.0.0.1:${port}`, { forceNew: true, reconnection: false, transports: [['polling', 'websocket'], ['websocket'], ['polling']][below(3)] });
    const connected = await new Promise((resolve) => {
        socket.once('connect', () => resolve(true)).once('connect_error', () => resolve(false));
        socket.io.once('close', () => resolve(false));
    });
    if (connected) await socket.timeout(DEADLINE_MS).emitWithAck('join', `room ${below(50)}`).catch(() => {});
    await sleep(Math.random() * 20);
    if (below(2)) socket.disconnect();
    else socket.io.engine.close();
    return 3;
}

/** So many at a time, until stop(); {count: of connections, stop()}. */
export function startSocketioVisitors({ port }, atATime) {
    const visitors = { count: 0, isOver: false };
    const come = async () => {
        while (!visitors.isOver) {
            const connections = await (below(10) ? raw(port) : stock(port));
            visitors.count += connections;
        }
    };
    const all = Promise.all(Array.from({ length: atATime }, come));
    visitors.stop = () => {
        visitors.isOver = true;
        return all;
    };
    return visitors;
}
