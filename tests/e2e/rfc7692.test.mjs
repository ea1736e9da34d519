/**
 * RFC 7692 from the client's side, with node's zlib, against `weft-conformance ws` and `ws-context`: what is agreed for each offer, and
 * the 216 compression cases of the suite that all WebSocket servers are measured by (12: kinds of data, 13: offers), of which each
 * sends messages of one size, whole or in fragments, and compares every echo. WEFT_ALL=1 sends 1000 messages in each, as that suite
 * does; without it, as many as make about a mebibyte.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import zlib from 'node:zlib';
import { within } from './support/program.mjs';
import { BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, RawWebSocket, acceptFor, closeFrame, frame, handshake } from './support/raw-websocket.mjs';
import { startServer } from './support/server.mjs';

const ALL = process.env.WEFT_ALL === '1';
const ALL_MESSAGES = 1000;
const MOST_MESSAGES = 64;
const LEAST_MESSAGES = 4;
const ENOUGH_BYTES = 1 << 20;
const COMPRESSED = 4; /* RSV1 */
const TAIL = Buffer.from('0000ffff', 'hex'); /* of each flush; not sent (RFC 7692 §7.2.1) */
const PIECEWISE_EACH = 16; /* one message in so many is flushed at the end of each fragment instead of cut when it is compressed */
const DEADLINE_MS = 30_000;

/* ----------------------------------------------------------------------------------------------------- offers and answers */

const FLAGS = ['server_no_context_takeover', 'client_no_context_takeover'];
const BITS = ['server_max_window_bits', 'client_max_window_bits'];

/** [name, {parameter: value or true}] of each extension of a header field, as our own offers and the answers to them are written. */
function parseExtensions(field) {
    return field.split(',').map((extension) => {
        const [name, ...parameters] = extension.split(';').map((part) => part.trim());
        const pairs = parameters.map((parameter) => parameter.split('='));
        assert.equal(new Set(pairs.map(([key]) => key)).size, pairs.length, `${field}: a parameter comes twice`);
        return [name, Object.fromEntries(pairs.map(([key, value]) => [key, value ?? true]))];
    });
}

/** True when that offer could have been answered so (RFC 7692 §7.1). */
function answers(answer, offer) {
    const [most, offered] = [answer.server_max_window_bits, offer.server_max_window_bits];
    return (
        Object.keys(offer).every((key) => FLAGS.includes(key) || BITS.includes(key)) &&
        (!offer.server_no_context_takeover || answer.server_no_context_takeover === true) &&
        (offered === undefined || (most !== undefined && Number(most) <= Number(offered))) &&
        (answer.client_max_window_bits === undefined || offer.client_max_window_bits !== undefined)
    );
}

/** What was agreed: {server: {keeps, windowBits}, client: {…}}; undefined when nothing was. Throws when that must not be. */
function agreementOf(offers, field) {
    if (field === undefined) return undefined;
    const extensions = parseExtensions(field);
    assert.equal(extensions.length, 1, field);
    const [[name, answer]] = extensions;
    assert.equal(name, 'permessage-deflate');
    for (const [key, value] of Object.entries(answer)) {
        if (FLAGS.includes(key)) assert.equal(value, true, field);
        else assert.ok(BITS.includes(key) && /^([89]|1[0-5])$/.test(value), field);
    }
    const fits = parseExtensions(offers).some(([offer, parameters]) => offer === name && answers(answer, parameters));
    assert.ok(fits, `"${field}" answers nothing in "${offers}"`);
    return Object.fromEntries(['server', 'client'].map((side) => [
        side, { keeps: !answer[`${side}_no_context_takeover`], windowBits: Number(answer[`${side}_max_window_bits`] ?? 15) },
    ]));
}

/* -------------------------------------------------------------------------------------------------------------- the client */

const inflateWhole = promisify(zlib.inflateRaw);

/** A stream of zlib's that is flushed by hand. */
class Flushed {
    constructor(stream) {
        this.stream = stream;
        this.parts = [];
        stream.on('data', (bytes) => this.parts.push(bytes));
        this.failed = new Promise((_, reject) => {
            stream.on('error', reject);
            stream.on('end', () => reject(new Error('a block that says it is the last, where the context is kept')));
        });
        this.failed.catch(() => {});
    }

    /** All that comes out for these bytes. */
    async push(bytes) {
        const flushed = new Promise((resolve) => {
            this.stream.write(bytes);
            this.stream.flush(zlib.constants.Z_SYNC_FLUSH, resolve);
        });
        await Promise.race([flushed, this.failed]);
        return Buffer.concat(this.parts.splice(0));
    }

    close() {
        this.stream.close();
    }
}

class Compressor {
    constructor({ keeps, windowBits }) {
        this.make = () => new Flushed(zlib.createDeflateRaw({ windowBits, level: 2 }));
        this.keeps = keeps;
        this.kept = keeps ? this.make() : undefined;
    }

    /** The compressed pieces of a message, each of which ends at a byte. */
    async compress(pieces) {
        const flushed = this.kept ?? this.make();
        const out = [];
        for (const piece of pieces) out.push(await flushed.push(piece));
        if (!this.keeps) flushed.close();
        const last = out.pop();
        assert.ok(last.subarray(-4).equals(TAIL));
        return [...out, last.subarray(0, -4)];
    }

    close() {
        this.kept?.close();
    }
}

class Expander {
    constructor({ keeps, windowBits }) {
        this.windowBits = windowBits;
        this.kept = keeps ? new Flushed(zlib.createInflateRaw({ windowBits })) : undefined;
    }

    expand(bytes) {
        const whole = Buffer.concat([bytes, TAIL]);
        return this.kept ? this.kept.push(whole) : inflateWhole(whole, { windowBits: this.windowBits, finishFlush: zlib.constants.Z_SYNC_FLUSH });
    }

    close() {
        this.kept?.close();
    }
}

const cut = (bytes, size) => Array.from({ length: Math.max(1, Math.ceil(bytes.length / size)) }, (_, i) => bytes.subarray(i * size, (i + 1) * size));

/** One message in frames, of which only the first has RSV1. */
function compressedFrames(opcode, pieces) {
    return Buffer.concat(pieces.map((piece, i) =>
        frame(i === 0 ? opcode : CONTINUATION, piece, { rsv: i === 0 ? COMPRESSED : 0, fin: i === pieces.length - 1 })));
}

class DeflateClient extends RawWebSocket {
    /** Shakes hands with these offers; `extension` is what the server answered, `agreed` what it means. */
    static async offer(server, ...offers) {
        const client = await this.open(server.port);
        const key = randomBytes(16).toString('base64');
        await client.write(handshake(server.port, key, '/', offers.map((offer) => `Sec-WebSocket-Extensions: ${offer}`)));
        const { status, line, fields } = await client.readHead();
        assert.equal(status, 101, line);
        assert.equal(fields.get('sec-websocket-accept')?.join(), acceptFor(key));
        client.extension = fields.get('sec-websocket-extensions')?.join(' and ');
        client.agreed = agreementOf(offers.join(','), client.extension);
        client.compressor = client.agreed && new Compressor(client.agreed.client);
        client.expander = client.agreed && new Expander(client.agreed.server);
        client.wireBytes = 0;
        return client;
    }

    /** Sends a message compressed, in frames of `fragment` bytes; `piecewise`: each of which holds that much of what it was before. */
    async sendCompressed(opcode, payload, { fragment = Infinity, piecewise = false } = {}) {
        const pieces = await this.compressor.compress(piecewise ? cut(payload, fragment) : [payload]);
        await this.write(compressedFrames(opcode, piecewise ? pieces : cut(pieces[0], Math.min(fragment, pieces[0].length || 1))));
    }

    async readFrame() {
        const got = await this.until(() => this.takeFrame(), 'a frame', DEADLINE_MS);
        assert.ok(got, `the connection ended: ${this.ended}`);
        return got;
    }

    /** The next message: {opcode, isCompressed, payload as it was before}. RSV1 may stand on its first frame only. */
    async readMessage() {
        const { opcode, rsv, fin, payload, violation } = await this.readFrame();
        assert.ok(opcode === TEXT || opcode === BINARY, `a frame of opcode ${opcode}, payload ${payload.toString('hex', 0, 80)}`);
        const isCompressed = rsv === COMPRESSED;
        assert.equal(violation, isCompressed ? `violation: reserved bits ${COMPRESSED}` : undefined);
        assert.ok(!isCompressed || this.agreed, 'compressed, though nothing was agreed');
        const parts = [payload];
        for (let more = !fin; more;) {
            const next = await this.readFrame();
            assert.equal(next.violation, undefined);
            assert.equal(next.opcode, CONTINUATION);
            parts.push(next.payload);
            more = !next.fin;
        }
        const bytes = Buffer.concat(parts);
        this.wireBytes += bytes.length;
        return { opcode, isCompressed, payload: isCompressed ? await this.expander.expand(bytes) : bytes };
    }

    async expect(opcode, payload) {
        const got = await this.readMessage();
        assert.equal(got.opcode, opcode);
        assert.ok(got.payload.equals(payload), `${got.payload.length} bytes came back that are not the ${payload.length} that were sent`);
        return got;
    }

    /** Closes, to which the answer is a close, without RSV1, and a FIN. */
    async bye() {
        await this.write(closeFrame(1000));
        assert.deepEqual(await this.events(), ['close 1000', 'fin']);
    }

    destroy() {
        this.compressor?.close();
        this.expander?.close();
        super.destroy();
    }
}

/** Runs `use` with a client that has made these offers. */
async function talk(server, offers, use) {
    server.check();
    const client = await DeflateClient.offer(server, ...[offers].flat());
    try {
        assert.ok(client.agreed, 'nothing was agreed');
        await within(use(client), () => `${offers}: the conversation`, ALL ? 280_000 : 120_000);
        await client.bye();
    } finally {
        client.destroy();
    }
}

/* ---------------------------------------------------------------------------------------------------------------- the data */

const LARGEST = 131072;
const CORPUS_BYTES = 3 * LARGEST;

/** Bytes that are the same in every run and do not shrink. */
function noise(length, name) {
    const pieces = Array.from({ length: Math.ceil(length / 64) }, (_, i) => createHash('sha512').update(`${name} ${i}`).digest());
    return Buffer.concat(pieces).subarray(0, length);
}

/** `line(n, i)` again and again, n of noise. */
function written(name, line) {
    const numbers = noise(CORPUS_BYTES / 4, name);
    let text = '';
    for (let i = 0; text.length < CORPUS_BYTES; i++) text += line(numbers.readUInt32LE((i % (numbers.length >> 2)) * 4), i);
    return Buffer.from(text);
}

const WORDS = 'Habe nun ach Philosophie Juristerei und Medizin durchaus studiert mit heißem Bemühn γνῶθι σεαυτόν шум и тишина 言葉 😀 🧵'.split(' ');

function bitmap() {
    const bytes = noise(CORPUS_BYTES, 'bitmap');
    for (let i = 0; i < bytes.length; i++) bytes[i] = ((i & 511) >> 2) + ((i >> 11) & 127) + (bytes[i] & 1);
    return bytes;
}

const JSON_TEXT = {
    name: 'JSON', opcode: TEXT, shrinks: true,
    corpus: written('json', (n, i) => JSON.stringify({ id: i, key: `k${n % 977}`, value: n / 1000, tags: ['warp', 'weft', '✓'].slice(n % 4), on: n % 2 > 0 }) + ',\n'),
};

const KINDS = [
    JSON_TEXT,
    { name: 'a bitmap', opcode: BINARY, shrinks: true, corpus: bitmap() },
    { name: 'prose in Unicode', opcode: TEXT, shrinks: true, corpus: written('prose', (n) => `${WORDS[n % WORDS.length]} ${n % 11 === 0 ? '\n' : ''}`) },
    {
        name: 'HTML', opcode: TEXT, shrinks: true,
        corpus: written('html', (n, i) => `<li class="row ${i % 2 ? 'odd' : 'even'}"><a href="/item/${n}">${WORDS[n % WORDS.length]}</a> &mdash; ${n % 1000}</li>\n`),
    },
    { name: 'noise', opcode: BINARY, shrinks: false, corpus: noise(CORPUS_BYTES, 'noise') },
];

const isInside = (byte) => (byte & 0xc0) === 0x80; /* of a code point */

/** The nth message of that size; each is another part of the corpus, and text is cut between code points. */
function nth({ opcode, corpus }, size, n) {
    const at = (n * 7919 * 13) % (corpus.length - size);
    const message = Buffer.from(corpus.subarray(at, at + size));
    if (opcode !== TEXT) return message;
    for (let i = 0; isInside(message[i]); i++) message[i] = 0x20;
    let end = size;
    if (isInside(corpus[at + size])) while (isInside(message[--end])) continue;
    return message.fill(0x20, end);
}

/* ----------------------------------------------------------------------------------------------------------- the 216 cases */

const SHAPES = [
    ...[16, 64, 256, 1024, 4096, 8192, 16384, 32768, 65536, 131072].map((size) => ({ size })),
    ...[8192, 16384, 32768, 65536, 131072].map((size) => ({ size, fragment: 256 })),
    ...[1024, 4096, 32768].map((fragment) => ({ size: 131072, fragment })),
];

const SOME_SHAPES = [{ size: 64 }, { size: 4096 }, { size: 65536 }, { size: 131072, fragment: 4096 }];

const shown = ({ size, fragment }) => `messages of ${size} bytes${fragment ? ` in fragments of ${fragment}` : ''}`;

function messagesOf(size) {
    return ALL ? ALL_MESSAGES : Math.min(MOST_MESSAGES, Math.max(LEAST_MESSAGES, Math.ceil(ENOUGH_BYTES / size)));
}

/** Messages one after the other, of which each must have come back before the next one goes. */
async function echoes(client, kind, { size, fragment }) {
    const count = messagesOf(size);
    let nCompressed = 0;
    for (let i = 0; i < count; i++) {
        const message = nth(kind, size, i);
        await client.sendCompressed(kind.opcode, message, { fragment, piecewise: fragment !== undefined && i % PIECEWISE_EACH === 1 });
        const { isCompressed } = await client.expect(kind.opcode, message);
        nCompressed += isCompressed;
    }
    if (!kind.shrinks || size < 1024) return; /* what does not get smaller may go as it is */
    assert.equal(nCompressed, count, 'what shrinks was compressed');
    assert.ok(client.wireBytes < 0.95 * count * size, `${client.wireBytes} bytes are not less than ${count * size}`);
}

function cases(get, kind, offers, shapes) {
    for (const shape of shapes) it(shown(shape), () => talk(get(), offers, (client) => echoes(client, kind, shape)));
}

const CLIENT = 'client_no_context_takeover; client_max_window_bits'; /* what the suite's client takes, in each of its offers */

/** Of cases 13.1 to 13.7. */
const SUITE_OFFERS = [
    `permessage-deflate; ${CLIENT}`,
    `permessage-deflate; server_no_context_takeover; ${CLIENT}`,
    `permessage-deflate; server_max_window_bits=9; ${CLIENT}`,
    `permessage-deflate; server_max_window_bits=15; ${CLIENT}`,
    `permessage-deflate; server_no_context_takeover; server_max_window_bits=9; ${CLIENT}`,
    `permessage-deflate; server_no_context_takeover; server_max_window_bits=15; ${CLIENT}`,
    [
        `permessage-deflate; server_no_context_takeover; server_max_window_bits=9; ${CLIENT}`,
        `permessage-deflate; server_no_context_takeover; ${CLIENT}`,
        `permessage-deflate; ${CLIENT}`,
    ].join(', '),
];

const OTHER_OFFERS = [
    'permessage-deflate',
    'permessage-deflate; client_no_context_takeover',
    'permessage-deflate; client_max_window_bits=9',
    'permessage-deflate; client_max_window_bits=15',
    'permessage-deflate; client_no_context_takeover; client_max_window_bits=9',
    'permessage-deflate; server_no_context_takeover',
    'permessage-deflate; server_max_window_bits=9',
    'permessage-deflate; server_max_window_bits=15',
    'permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10; client_max_window_bits=11',
    'x-webkit-deflate-frame, permessage-deflate; server_max_window_bits=8, permessage-deflate; mystery, permessage-deflate; server_max_window_bits=12',
];

/* ------------------------------------------------------------------------------------------------------------- agreements */

const NONE = 'server_no_context_takeover; client_no_context_takeover';

/** Offers, and what comes back from a server that keeps no contexts, and from one that does; null: nothing is agreed. */
const AGREEMENTS = [
    ['permessage-deflate', NONE, ''],
    ['permessage-deflate; client_no_context_takeover', NONE, 'client_no_context_takeover'],
    ['permessage-deflate; server_no_context_takeover', NONE, 'server_no_context_takeover'],
    ['permessage-deflate; server_max_window_bits=9', `${NONE}; server_max_window_bits=9`, 'server_max_window_bits=9'],
    ['permessage-deflate; server_max_window_bits=15', `${NONE}; server_max_window_bits=15`, 'server_max_window_bits=15'],
    ['permessage-deflate; server_max_window_bits="10"', `${NONE}; server_max_window_bits=10`, 'server_max_window_bits=10'],
    ['permessage-deflate; server_max_window_bits=8', null, null],
    ['permessage-deflate; server_max_window_bits=8, permessage-deflate', NONE, ''],
    ['permessage-deflate; mystery, permessage-deflate; server_no_context_takeover', NONE, 'server_no_context_takeover'],
    ...[
        'permessage-deflate; server_max_window_bits', 'permessage-deflate; server_max_window_bits=16', 'permessage-deflate; server_max_window_bits=7',
        'permessage-deflate; server_max_window_bits=09', 'permessage-deflate; client_max_window_bits=16', 'permessage-deflate; client_max_window_bits=0',
        'permessage-deflate; server_no_context_takeover=1', 'permessage-deflate; client_no_context_takeover=true', 'permessage-deflate; mystery',
        'permessage-deflate; mystery=1', 'x-webkit-deflate-frame', 'permessage-deflate-2', 'permessage-deflate; =9', 'permessage-deflate;',
    ].map((offer) => [offer, null, null]),
];

const TWICE = [...FLAGS, 'server_max_window_bits=10', 'client_max_window_bits', 'client_max_window_bits=10'];

const CLIENT_BITS = ['', ...Array.from({ length: 8 }, (_, i) => `=${i + 8}`)];

const whole = (parameters) => (parameters === null ? undefined : ['permessage-deflate', parameters].filter(Boolean).join('; '));

function agreements(get, column) {
    for (const [offer, ...answered] of AGREEMENTS)
        it(`${offer} -> ${answered[column] === null ? 'nothing' : answered[column] || 'as it is'}`, async () => {
            await expectAnswer(get(), [offer], whole(answered[column]));
        });
    for (const parameter of TWICE)
        it(`${parameter} twice -> nothing`, () => expectAnswer(get(), [`permessage-deflate; ${parameter}; ${parameter}`], undefined));
    it('offers in two header fields are one list', () => {
        const bits = 'server_max_window_bits=11';
        return expectAnswer(get(), ['x-webkit-deflate-frame', `permessage-deflate; ${bits}`], whole(column ? bits : `${NONE}; ${bits}`));
    });
    for (const bits of CLIENT_BITS)
        it(`client_max_window_bits${bits} is answered with ${bits ? 'that' : 'nothing of it'}`, () => {
            const parts = [column ? '' : NONE, bits && `client_max_window_bits${bits}`].filter(Boolean);
            return expectAnswer(get(), [`permessage-deflate; client_max_window_bits${bits}`], whole(parts.join('; ')));
        });
}

/** The answer to the handshake, to the letter, and an uncompressed message behind it, which stays legal. */
async function expectAnswer(server, offers, expected) {
    server.check();
    const client = await RawWebSocket.open(server.port);
    try {
        const key = randomBytes(16).toString('base64');
        await client.write(handshake(server.port, key, '/', offers.map((offer) => `Sec-WebSocket-Extensions: ${offer}`)));
        const { status, line, fields } = await client.readHead();
        assert.equal(status, 101, line);
        assert.equal(fields.get('sec-websocket-extensions')?.join(), expected);
        await client.write(Buffer.concat([frame(TEXT, 'plain'), closeFrame(1000)]));
        assert.deepEqual(await client.events(), ['text "plain"', 'close 1000', 'fin']);
    } finally {
        client.destroy();
    }
}

/* ------------------------------------------------------------------------------------------------------------------ frames */

const hex = (digits) => Buffer.from(digits, 'hex');
const compressed = (payload, opcode = TEXT, options = {}) => frame(opcode, payload, { rsv: COMPRESSED, ...options });

const HELLO = hex('f248cdc9c90700');

const EXAMPLES = {
    '§7.2.3.1': HELLO,
    '§7.2.3.3, not compressed': hex('000500faff48656c6c6f00'),
    '§7.2.3.4, a block that is the last': hex('f348cdc9c9070000'),
    '§7.2.3.5, two blocks': hex('f24805000000ffffcac9c90700'),
};

const MAX_MESSAGE_BYTES = 64 << 20;

/** Deflates to a thousandth of its size. */
function bomb() {
    return zlib.deflateRawSync(Buffer.alloc(MAX_MESSAGE_BYTES + 1), { finishFlush: zlib.constants.Z_SYNC_FLUSH }).subarray(0, -TAIL.length);
}

/** What breaks a rule, and the code that it is closed with. */
const BROKEN = {
    'RSV1 on a continuation': [1002, () => [compressed(HELLO.subarray(0, 2), TEXT, { fin: false }), compressed(HELLO.subarray(2), CONTINUATION)]],
    'RSV1 on a continuation of an uncompressed message': [1002, () => [frame(TEXT, 'a', { fin: false }), compressed('b', CONTINUATION)]],
    'RSV1 on a ping': [1002, () => [compressed('', PING)]],
    'RSV1 on a pong': [1002, () => [compressed('', PONG)]],
    'RSV1 on a close': [1002, () => [compressed(hex('03e8'), CLOSE)]],
    'RSV2 on a compressed message': [1002, () => [frame(TEXT, HELLO, { rsv: COMPRESSED | 2 })]],
    'RSV3 on a compressed message': [1002, () => [frame(TEXT, HELLO, { rsv: COMPRESSED | 1 })]],
    'what is no deflate stream': [1007, () => [compressed(hex('ffffffff'))]],
    'compressed text that is not UTF-8': [1007, () => [compressed(zlib.deflateRawSync(hex('ff')))]],
    'compressed text that ends within a code point': [1007, () => [compressed(zlib.deflateRawSync(hex('61e282')))]],
    'a message that is too large only when it is inflated': [1009, () => [compressed(bomb(), BINARY)]],
};

/** Sends frames, and a close of our own where the server should have no reason for one, and compares all that comes back. */
async function ends(server, offer, list, expected) {
    server.check();
    const client = await DeflateClient.offer(server, offer);
    const fails = expected.at(-1).startsWith('close');
    try {
        await client.write(Buffer.concat(fails ? list : [...list, closeFrame(1000)]));
        assert.deepEqual(await client.events(), [...expected, ...(fails ? [] : ['close 1000']), 'fin']);
    } finally {
        client.destroy();
    }
}

function frames(get, keeps) {
    const offer = 'permessage-deflate; client_max_window_bits';
    const message = nth(JSON_TEXT, 4096, 3);

    it('compressed and uncompressed messages in turn', () => talk(get(), offer, async (client) => {
        for (let i = 0; i < 20; i++) {
            if (i % 3 === 1) await client.write(frame(TEXT, message));
            else await client.sendCompressed(TEXT, message);
            await client.expect(TEXT, message);
        }
    }));
    it('an empty message, compressed', () => talk(get(), offer, async (client) => {
        for (let i = 0; i < 3; i++) {
            await client.sendCompressed(i % 2 ? BINARY : TEXT, Buffer.alloc(0));
            await client.expect(i % 2 ? BINARY : TEXT, Buffer.alloc(0));
        }
    }));
    it('an empty message as one zero byte (§7.2.3.6)', () => talk(get(), offer, async (client) => {
        await client.write(compressed(hex('00')));
        await client.expect(TEXT, Buffer.alloc(0));
    }));
    for (const [section, hello] of Object.entries(EXAMPLES))
        it(`"Hello" as in ${section}`, () => talk(get(), offer, async (client) => {
            for (let i = 0; i < 2; i++) {
                await client.write(compressed(hello));
                await client.expect(TEXT, Buffer.from('Hello'));
            }
        }));
    it(keeps ? '"Hello" by reference to the message before (§7.2.3.2)' : '"Hello" by reference to a message that must be forgotten (§7.2.3.2) fails', () =>
        ends(get(), offer, [compressed(HELLO), compressed(hex('f200110000'))],
            keeps ? ['text "Hello"', 'text "Hello"'] : ['text "Hello"', 'close 1007']));
    it('pings between the fragments of a compressed message', () => talk(get(), offer, async (client) => {
        const pieces = cut((await client.compressor.compress([message]))[0], 100);
        for (let i = 0; i < pieces.length; i++) {
            await client.write(frame(i ? CONTINUATION : TEXT, pieces[i], { rsv: i ? 0 : COMPRESSED, fin: i === pieces.length - 1 }));
            if (i === pieces.length - 1) break;
            await client.write(frame(PING, `${i}`));
            const { opcode, rsv, payload } = await client.readFrame();
            assert.deepEqual([opcode, rsv, payload.toString()], [PONG, 0, `${i}`]);
        }
        await client.expect(TEXT, message);
    }));

    for (const [name, [code, make]] of Object.entries(BROKEN)) it(`${name} fails`, () => ends(get(), offer, make(), [`close ${code}`]));
    it('RSV1 fails where nothing was agreed', async () => {
        const client = await RawWebSocket.connect(get());
        try {
            await client.write(compressed(HELLO));
            assert.deepEqual(await client.events(), ['close 1002', 'fin']);
        } finally {
            client.destroy();
        }
    });
}

/* ---------------------------------------------------------------------------------------------------------------- the suite */

const together = { concurrency: 4 };

describe('RFC 7692', () => {
    for (const [column, name] of ['ws', 'ws-context'].entries())
        describe(name, () => {
            let server;
            const get = () => server;
            before(async () => (server = await startServer(name)));
            after(() => server?.stop());

            describe('agreements', together, () => agreements(get, column));
            describe('frames', together, () => frames(get, column > 0));
            if (name === 'ws') {
                for (const [i, kind] of KINDS.entries()) describe(`12.${i + 1} ${kind.name}`, together, () => cases(get, kind, SUITE_OFFERS[0], SHAPES));
                for (const [i, offers] of SUITE_OFFERS.entries()) describe(`13.${i + 1} ${offers}`, together, () => cases(get, JSON_TEXT, offers, SHAPES));
            }
            const others = name === 'ws' ? OTHER_OFFERS : [...SUITE_OFFERS, ...OTHER_OFFERS];
            for (const offers of others) describe(offers, together, () => cases(get, KINDS[2], offers, SOME_SHAPES));
            it('ends on SIGTERM with status 0 and without a report', () => server.stop());
        });
});
