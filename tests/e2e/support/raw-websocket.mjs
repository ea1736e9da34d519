/**
 * A WebSocket client over bare TCP that sends any bytes in any pieces and tells everything that comes back, up to how the
 * connection ended. It keeps the rules only where it is told to, and holds the server to all of them.
 *
 * What comes back is told as a list of short sentences, so that a test compares lists: `text "Hello"`, `binary 00 ff`,
 * `text of 65536 bytes, sha1 …`, `ping …`, `pong …`, `close 1000`, `close` (without a code), and last `fin` or `reset`.
 * A server that breaks a framing rule adds `violation: …`.
 */
import { createHash, randomBytes } from 'node:crypto';
import net from 'node:net';
import { setImmediate } from 'node:timers/promises';

export const CONTINUATION = 0;
export const TEXT = 1;
export const BINARY = 2;
export const CLOSE = 8;
export const PING = 9;
export const PONG = 10;

export const DEADLINE_MS = 15_000;

/* ------------------------------------------------------------------------------------------------------------ frames out */

function lengthBytesFor(length) {
    if (length < 126) return 0;
    return length < 65536 ? 2 : 8;
}

/** The bytes before a payload. Options: fin, rsv (0-7), mask (4 bytes, or null for none), lengthBytes (0, 2 or 8: not the shortest). */
export function frameHeader(opcode, length, { fin = true, rsv = 0, mask = randomBytes(4), lengthBytes } = {}) {
    const extended = lengthBytes ?? lengthBytesFor(Number(length));
    const head = Buffer.alloc(2 + extended);
    head[0] = (fin ? 0x80 : 0) | (rsv << 4) | opcode;
    head[1] = (mask ? 0x80 : 0) | { 0: Number(length), 2: 126, 8: 127 }[extended];
    if (extended === 2) head.writeUInt16BE(length, 2);
    if (extended === 8) head.writeBigUInt64BE(BigInt(length), 2);
    return mask ? Buffer.concat([head, mask]) : head;
}

function masked(payload, mask) {
    const out = Buffer.allocUnsafe(payload.length);
    for (let i = 0; i < payload.length; i++) out[i] = payload[i] ^ mask[i & 3];
    return out;
}

/** A whole frame; options as frameHeader(), and `declared`: the length that the header names, where it is not the payload's. */
export function frame(opcode, payload = '', { mask = randomBytes(4), declared, ...options } = {}) {
    const bytes = Buffer.from(payload);
    const header = frameHeader(opcode, declared ?? bytes.length, { mask, ...options });
    return Buffer.concat([header, mask ? masked(bytes, mask) : bytes]);
}

/** A message cut into frames of at most `size` payload bytes. */
export function fragments(opcode, payload, size) {
    const bytes = Buffer.from(payload);
    const frames = [];
    for (let at = 0; at === 0 || at < bytes.length; at += size) {
        const last = at + size >= bytes.length;
        frames.push(frame(at === 0 ? opcode : CONTINUATION, bytes.subarray(at, at + size), { fin: last }));
    }
    return Buffer.concat(frames);
}

export function closePayload(code, reason = '') {
    const head = Buffer.alloc(2);
    head.writeUInt16BE(code);
    return Buffer.concat([head, Buffer.from(reason)]);
}

export function closeFrame(code, reason) {
    return frame(CLOSE, closePayload(code, reason));
}

/* ------------------------------------------------------------------------------------------------------- what came, in words */

const NAMES = { [TEXT]: 'text', [BINARY]: 'binary', [PING]: 'ping', [PONG]: 'pong' };
const WRITTEN_OUT_BYTES = 80;

function payloadWords(opcode, payload) {
    if (payload.length > WRITTEN_OUT_BYTES) {
        return `of ${payload.length} bytes, sha1 ${createHash('sha1').update(payload).digest('hex')}`;
    }
    return opcode === TEXT ? JSON.stringify(payload.toString()) : payload.toString('hex');
}

/** The sentence for a message or control frame; a close frame's reason is left out, as a server is free in it. */
export function told(opcode, payload = '') {
    const bytes = Buffer.from(payload);
    if (opcode === CLOSE) return bytes.length < 2 ? 'close' : `close ${bytes.readUInt16BE(0)}`;
    return `${NAMES[opcode]} ${payloadWords(opcode, bytes)}`;
}

/* -------------------------------------------------------------------------------------------------------------- bytes in */

/** Bytes that have come and were not taken yet. */
class ByteQueue {
    constructor() {
        this.chunks = [];
        this.length = 0;
    }

    push(chunk) {
        this.chunks.push(chunk);
        this.length += chunk.length;
    }

    /** The first n bytes (n <= length), left in place. */
    peek(n) {
        if (n > 0 && this.chunks[0].length < n) {
            let count = 0;
            let size = 0;
            while (size < n) size += this.chunks[count++].length;
            this.chunks.splice(0, count, Buffer.concat(this.chunks.slice(0, count)));
        }
        return n > 0 ? this.chunks[0].subarray(0, n) : Buffer.alloc(0);
    }

    take(n) {
        const bytes = this.peek(n);
        if (n > 0) {
            this.chunks[0] = this.chunks[0].subarray(n);
            if (this.chunks[0].length === 0) this.chunks.shift();
        }
        this.length -= n;
        return bytes;
    }
}

/* -------------------------------------------------------------------------------------------------------------- TCP alone */

/** One TCP connection. `ended` says how the peer ended it: `fin`, `reset`, `fin, then reset`, or `error CODE`. */
export class RawConnection {
    constructor(socket) {
        this.socket = socket;
        this.incoming = new ByteQueue();
        this.ended = undefined;
        this.wake = () => {};
        socket.on('data', (chunk) => {
            this.incoming.push(chunk);
            this.wake();
        });
        socket.on('end', () => this.end(isConnected(socket) ? 'fin' : 'reset'));
        socket.on('error', ({ code }) => this.end(code === 'ECONNRESET' || code === 'EPIPE' ? 'reset' : `error ${code}`));
        socket.on('close', () => this.end(this.ended ?? 'closed here'));
    }

    static async open(port, host = '127.0.0.1') {
        const socket = net.connect({ port, host, allowHalfOpen: true, noDelay: true });
        const connection = new this(socket);
        await new Promise((resolve, reject) => {
            socket.setTimeout(DEADLINE_MS, () => reject(new Error(`no connection within ${DEADLINE_MS} ms`)));
            socket.once('connect', resolve);
            socket.once('error', reject);
        });
        socket.setTimeout(0);
        return connection;
    }

    end(how) {
        if (this.ended === 'fin' && how === 'reset') this.ended = 'fin, then reset';
        this.ended ??= how;
        this.wake();
    }

    /** Resolves when the kernel has taken the bytes, or the connection is lost (which `ended` tells). */
    write(bytes) {
        return new Promise((resolve) => {
            if (this.socket.destroyed) resolve();
            else this.socket.write(bytes, () => resolve());
        });
    }

    /** Sends bytes in pieces of `chop`, each in a segment of its own as far as TCP lets one say so. */
    async send(bytes, { chop = bytes.length } = {}) {
        for (let at = 0; at < bytes.length && this.lives(); at += chop) {
            await this.write(bytes.subarray(at, at + chop));
            if (chop < bytes.length) await setImmediate();
        }
    }

    lives() {
        return this.ended === undefined || this.ended === 'fin';
    }

    /** What read() gives as soon as it is not undefined; undefined when the connection ends before. */
    async until(read, what, deadline = DEADLINE_MS) {
        const limit = Date.now() + deadline;
        for (;;) {
            const value = read();
            if (value !== undefined || this.ended) return value;
            if (!(await this.change(limit - Date.now()))) throw new Error(`${what}: nothing within ${deadline} ms`);
        }
    }

    /** Resolves to true when something comes, to false after `ms`. */
    change(ms) {
        return new Promise((resolve) => {
            const timer = setTimeout(() => resolve(false), Math.max(ms, 0));
            this.wake = () => {
                clearTimeout(timer);
                this.wake = () => {};
                resolve(true);
            };
        });
    }

    /** An HTTP response's head: {status, line, fields}, fields by lower-case name, each a list of values. */
    async readHead(deadline) {
        const text = await this.until(() => this.takeHead(), 'an HTTP response', deadline);
        if (text === undefined) throw new Error(`the connection ended (${this.ended}) before an HTTP response`);
        return parseHead(text);
    }

    takeHead() {
        const { incoming } = this;
        const end = incoming.peek(incoming.length).indexOf('\r\n\r\n');
        return end < 0 ? undefined : incoming.take(end + 4).toString('latin1');
    }

    /** All that still comes, up to the end of the connection. */
    async readRest(deadline) {
        await this.until(() => undefined, 'the end of the connection', deadline);
        return this.incoming.take(this.incoming.length);
    }

    /** Ends our side, so that a server that waits for it is let go. */
    leave() {
        this.socket.end();
    }

    /** RST. */
    reset() {
        this.socket.resetAndDestroy();
    }

    destroy() {
        this.socket.destroy();
    }
}

/**
 * Tells a FIN from a RST that libuv takes for one (it makes an end of file of a hang-up that comes with the last bytes). Only behind one
 * FIN does the kernel still know the peer; behind two, ours and the peer's, it does not, and there is no telling. The answer is remembered
 * when it is yes, so this is asked once.
 */
function isConnected(socket) {
    return socket.writableEnded || socket.remoteAddress !== undefined;
}

function parseHead(text) {
    const [line, ...rest] = text.slice(0, -4).split('\r\n');
    const status = /^HTTP\/1\.1 (\d{3}) /.exec(line);
    if (!status) throw new Error(`not a status line: ${JSON.stringify(line)}`);
    const fields = new Map();
    for (const field of rest) {
        const [, name, value] = /^([!#$%&'*+.^`|~\w-]+):[ \t]*(.*?)[ \t]*$/.exec(field) ?? [];
        if (name === undefined) throw new Error(`not a header field: ${JSON.stringify(field)}`);
        const key = name.toLowerCase();
        fields.set(key, [...(fields.get(key) ?? []), value]);
    }
    return { status: Number(status[1]), line, fields };
}

/* -------------------------------------------------------------------------------------------------------------- WebSocket */

export function acceptFor(key) {
    return createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
}

export function handshake(port, key, path = '/', fields = []) {
    const lines = [
        `GET ${path} HTTP/1.1`,
        `Host: 127.0.0.1:${port}`,
        'Upgrade: websocket',
        'Connection: Upgrade',
        `Sec-WebSocket-Key: ${key}`,
        'Sec-WebSocket-Version: 13',
        ...fields,
    ];
    return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
}

export class RawWebSocket extends RawConnection {
    constructor(socket) {
        super(socket);
        this.opcode = undefined; /* of the message whose fragments are coming */
        this.parts = [];
        this.over = false; /* next() has told the end */
    }

    /** Connects to a server of startServer() and shakes hands. */
    static async connect({ port }, path = '/') {
        const client = await this.open(port);
        const key = randomBytes(16).toString('base64');
        await client.write(handshake(port, key, path));
        await client.readUpgrade(key);
        return client;
    }

    async readUpgrade(key) {
        const { status, line, fields } = await this.readHead();
        if (status !== 101) throw new Error(`the handshake was answered with ${line}`);
        const accept = fields.get('sec-websocket-accept')?.join();
        if (accept !== acceptFor(key)) throw new Error(`Sec-WebSocket-Accept is ${accept}`);
    }

    /** The next frame: {opcode, fin, payload, violation}; undefined until it is whole. */
    takeFrame() {
        const { incoming } = this;
        if (incoming.length < 2) return undefined;
        const [first, second] = incoming.peek(2);
        const short = second & 0x7f;
        const extended = { 126: 2, 127: 8 }[short] ?? 0;
        const head = 2 + extended + (second & 0x80 ? 4 : 0);
        if (incoming.length < head) return undefined;
        const length = extended ? Number(readLength(incoming.peek(head), extended)) : short;
        if (incoming.length < head + length) return undefined;
        incoming.take(head);
        const frame = { opcode: first & 15, fin: first > 127, rsv: (first >> 4) & 7, payload: incoming.take(length) };
        return { ...frame, violation: violationOf(frame, { masked: second > 127, extended }) };
    }

    /** One sentence for what comes next: a message (its fragments joined), a control frame, or the end. */
    async next(deadline) {
        for (;;) {
            const frame = await this.until(() => this.takeFrame(), 'a frame', deadline);
            if (frame === undefined) return this.ending();
            const sentence = frame.violation ?? this.join(frame);
            if (sentence) return sentence;
        }
    }

    ending() {
        this.over = true;
        return this.incoming.length > 0 ? `part of a frame, then ${this.ended}` : this.ended;
    }

    /** A sentence when the frame is a control frame or completes a message. */
    join({ opcode, fin, payload }) {
        if (opcode >= CLOSE) return told(opcode, payload);
        if ((opcode === CONTINUATION) !== (this.opcode !== undefined)) return `violation: opcode ${opcode} out of turn`;
        this.opcode ??= opcode;
        this.parts.push(payload);
        if (!fin) return undefined;
        const sentence = told(this.opcode, this.parts.length === 1 ? payload : Buffer.concat(this.parts));
        this.opcode = undefined;
        this.parts = [];
        return sentence;
    }

    /** Everything up to the end of the connection; then ends our side too. */
    async events(deadline = DEADLINE_MS) {
        const list = [];
        try {
            while (!this.over) list.push(await this.next(deadline));
        } catch (error) {
            error.message += `, after [${list.join(' | ')}]`;
            throw error;
        }
        this.leave();
        return list;
    }
}

function readLength(head, extended) {
    return extended === 2 ? head.readUInt16BE(2) : head.readBigUInt64BE(2);
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

function isUtf8(bytes) {
    try {
        utf8.decode(bytes);
        return true;
    } catch {
        return false;
    }
}

function closeViolation(payload) {
    if (payload.length === 0) return undefined;
    if (payload.length === 1) return 'a close frame of one byte';
    return isUtf8(payload.subarray(2)) ? undefined : 'a reason that is not UTF-8';
}

function violationOf({ opcode, fin, rsv, payload }, { masked, extended }) {
    const control = opcode >= CLOSE;
    const rules = [
        [masked, 'a masked frame'],
        [rsv !== 0, `reserved bits ${rsv}`],
        [![CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG].includes(opcode), `reserved opcode ${opcode}`],
        [control && !fin, 'a fragmented control frame'],
        [control && payload.length > 125, 'a control frame over 125 bytes'],
        [extended !== lengthBytesFor(payload.length), 'a length that is not in its shortest form'],
    ];
    const broken = rules.find(([is]) => is)?.[1] ?? (opcode === CLOSE ? closeViolation(payload) : undefined);
    return broken && `violation: ${broken}`;
}
