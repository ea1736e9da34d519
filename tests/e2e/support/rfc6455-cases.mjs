/**
 * RFC 6455 from the client's side, against a server that echoes: framing, control frames, reserved bits and opcodes,
 * fragmentation, UTF-8, closing, limits. Each case has its own connection and compares everything that came back, in order, up to
 * its end, which the server must bring about by itself and in good order. What lies under it (TCP, TLS) is the caller's.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
    BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT,
    closeFrame, closePayload, fragments, frame, frameHeader, told,
} from './raw-websocket.mjs';

const MIB = 1 << 20;
const MAX_MESSAGE_BYTES = 64 * MIB;
const SOON_MS = 4_000; /* nothing else will make the server speak, so any bound shows that it failed early */
const HEAVY_MS = 60_000;

let server;
let connect; /* to it: resolves to a RawWebSocket that has shaken hands */

/* ------------------------------------------------------------------------------------------------------------- the players */

/** Sends bytes and compares all that comes back. */
async function play(bytes, expected, { chop, deadline } = {}) {
    server.check();
    const client = await connect(server);
    try {
        const sent = client.send(bytes, { chop });
        assert.deepEqual(await client.events(deadline), expected);
        await sent;
    } finally {
        client.destroy();
    }
}

/** Plays a conversation: a Buffer is sent, a string is awaited, and then the end. */
async function converse(steps, ending) {
    server.check();
    const client = await connect(server);
    try {
        for (const step of steps) {
            if (typeof step === 'string') assert.equal(await client.next(), step);
            else await client.send(step);
        }
        assert.deepEqual(await client.events(SOON_MS), ending);
    } finally {
        client.destroy();
    }
}

function join(bytes) {
    return Array.isArray(bytes) ? Buffer.concat(bytes) : bytes;
}

/** The frames are fine: the replies come, and nothing else before the answer to our close. */
function accepts(name, bytes, replies, options) {
    it(name, () => play(Buffer.concat([join(bytes), closeFrame(1000)]), [...replies, 'close 1000', 'fin'], options));
}

/** The frames break a rule: the replies to what came before, a close frame with the code, and the end, unasked. */
function fails(name, bytes, code, replies = [], options = { deadline: SOON_MS }) {
    it(name, () => play(join(bytes), [...replies, `close ${code}`, 'fin'], options));
}

/** The client closes, and is answered with `answer`; whatever it sends behind is ignored. */
function closes(name, bytes, answer, replies = []) {
    it(name, () => play(join(bytes), [...replies, answer, 'fin']));
}

/** A message comes back as it went, in any framing. `frames` is made late, as it may be large. */
function echoes(name, opcode, makePayload, { frames = (payload) => frame(opcode, payload), ...options } = {}) {
    it(name, () => {
        const payload = makePayload();
        return play(Buffer.concat([frames(payload), closeFrame(1000)]), [told(opcode, payload), 'close 1000', 'fin'], options);
    });
}

function hex(text) {
    return Buffer.from(text.replace(/ /g, ''), 'hex');
}

const TEXT_UNIT = Buffer.from('aé€😀-Δqž'); /* 16 bytes; code points of each length, so that any cut goes through some */

function textOf(size) {
    const bytes = Buffer.alloc(size, 'z');
    Buffer.alloc(size - (size % TEXT_UNIT.length), TEXT_UNIT).copy(bytes);
    return bytes;
}

function binaryOf(size) {
    const bytes = Buffer.allocUnsafe(size);
    for (let i = 0, state = size | 1; i < size; i++) {
        state = (Math.imul(state, 1664525) + 1013904223) | 0;
        bytes[i] = state >>> 24;
    }
    return bytes;
}

const KINDS = [
    { kind: 'text', opcode: TEXT, make: textOf },
    { kind: 'binary', opcode: BINARY, make: binaryOf },
];

const HELLO = frame(TEXT, 'Hello');
const HELLO_BACK = 'text "Hello"';

function group(name, concurrency, body) {
    describe(name, { concurrency }, body);
}

/* ------------------------------------------------------------------------------------------------------------- 1: framing */

function framing() {
    for (const { kind, opcode, make } of KINDS) {
        for (const size of [0, 1, 125, 126, 127, 128, 65535, 65536]) {
            echoes(`${kind} of ${size} bytes`, opcode, () => make(size));
        }
        echoes(`${kind} of 65536 bytes, chopped by 997`, opcode, () => make(65536), { chop: 997 });
        for (const size of [0, 1, 125, 126]) echoes(`${kind} of ${size} bytes, chopped octet-wise`, opcode, () => make(size), { chop: 1 });
        accepts(`${kind}: a hundred messages in one piece`, Array.from({ length: 100 }, (_, i) => frame(opcode, make(i))),
            Array.from({ length: 100 }, (_, i) => told(opcode, make(i))));
        accepts(`${kind}: a mask of zeros`, frame(opcode, make(50), { mask: Buffer.alloc(4) }), [told(opcode, make(50))]);
        accepts(`${kind}: a mask of ones`, frame(opcode, make(50), { mask: hex('ffffffff') }), [told(opcode, make(50))]);
    }
    accepts('nothing but a close', [], []);
}

function lengthsAndMasks() {
    const unmasked = { mask: null };
    fails('unmasked text', [HELLO, frame(TEXT, 'bare', unmasked)], 1002, [HELLO_BACK]);
    fails('unmasked binary', [HELLO, frame(BINARY, 'bare', unmasked)], 1002, [HELLO_BACK]);
    fails('unmasked empty text', frame(TEXT, '', unmasked), 1002);
    fails('unmasked ping', frame(PING, '', unmasked), 1002);
    fails('unmasked close', frame(CLOSE, closePayload(1000), unmasked), 1002);
    for (const [size, lengthBytes] of [[0, 2], [125, 2], [0, 8], [125, 8], [126, 8], [65535, 8]]) {
        fails(`${size} bytes with a length of ${lengthBytes} bytes`, [HELLO, frame(BINARY, binaryOf(size), { lengthBytes })], 1002, [HELLO_BACK]);
    }
    fails('a ping with a length of 2 bytes', frame(PING, 'x', { lengthBytes: 2 }), 1002);
    fails('a 64-bit length with its top bit', [HELLO, frameHeader(BINARY, 1n << 63n)], 1002, [HELLO_BACK]);
    fails('a 64-bit length of all ones', frameHeader(BINARY, 0xffffffffffffffffn), 1002);
    fails('the largest legal length', [HELLO, frameHeader(BINARY, (1n << 63n) - 1n)], 1009, [HELLO_BACK]);
    fails('a length just above 32 bits', frameHeader(BINARY, (1n << 32n) + 1n), 1009);
}

/* ----------------------------------------------------------------------------------------------------------------- 2: pings */

function pings() {
    const all = hex('00 ff fe fd fc fb 00 ff');
    const full = binaryOf(125);
    const ten = Array.from({ length: 10 }, (_, i) => `payload ${i}`);
    accepts('ping without payload', frame(PING), [told(PONG)]);
    accepts('ping with text', frame(PING, 'Hello, world!'), [told(PONG, 'Hello, world!')]);
    accepts('ping with bytes that are no text', frame(PING, all), [told(PONG, all)]);
    accepts('ping with 125 bytes', frame(PING, full), [told(PONG, full)]);
    fails('ping with 126 bytes', frame(PING, binaryOf(126)), 1002);
    fails('ping with 126 bytes, by its header alone', frameHeader(PING, 126), 1002);
    fails('ping with a 64-bit length', frame(PING, binaryOf(65536)), 1002);
    accepts('ping with 125 bytes, octet-wise', frame(PING, full), [told(PONG, full)], { chop: 1 });
    fails('ping with 126 bytes, octet-wise', frame(PING, binaryOf(126)), 1002, [], { chop: 1 });
    accepts('unsolicited pong without payload', frame(PONG), []);
    accepts('unsolicited pong with payload', frame(PONG, 'unsolicited'), []);
    accepts('unsolicited pong, then ping', [frame(PONG, 'unsolicited'), frame(PING, 'asked')], [told(PONG, 'asked')]);
    fails('pong with 126 bytes', frame(PONG, binaryOf(126)), 1002);
    accepts('ten pings at once', ten.map((p) => frame(PING, p)), ten.map((p) => told(PONG, p)));
    accepts('ten pings at once, octet-wise', ten.map((p) => frame(PING, p)), ten.map((p) => told(PONG, p)), { chop: 1 });
    accepts('pings and messages keep their order', [frame(PING, '1'), HELLO, frame(PING, '2'), HELLO],
        [told(PONG, '1'), HELLO_BACK, told(PONG, '2'), HELLO_BACK]);
}

/* ------------------------------------------------------------------------------------------------ 3, 4: reserved bits, opcodes */

function reservedBits() {
    for (let rsv = 1; rsv <= 7; rsv++) {
        const bad = frame(TEXT, 'reserved', { rsv });
        fails(`text with bits ${rsv}`, bad, 1002);
        fails(`text with bits ${rsv} behind a message and before a ping`, [HELLO, bad, frame(PING)], 1002, [HELLO_BACK]);
        fails(`text with bits ${rsv}, octet-wise`, [HELLO, bad], 1002, [HELLO_BACK], { chop: 1 });
    }
    fails('binary with bits 4', frame(BINARY, 'x', { rsv: 4 }), 1002);
    fails('ping with bits 4', frame(PING, 'x', { rsv: 4 }), 1002);
    fails('ping with bits 1', [HELLO, frame(PING, 'x', { rsv: 1 })], 1002, [HELLO_BACK]);
    fails('close with bits 7', frame(CLOSE, closePayload(1000), { rsv: 7 }), 1002);
    fails('continuation with bits 2', [frame(TEXT, 'a', { fin: false }), frame(CONTINUATION, 'b', { rsv: 2 })], 1002);
    fails('a header with bits 1 and nothing more', frameHeader(BINARY, 1000, { rsv: 1 }), 1002);
}

function reservedOpcodes() {
    for (const opcode of [3, 4, 5, 6, 7, 11, 12, 13, 14, 15]) {
        fails(`opcode ${opcode}, empty`, frame(opcode), 1002);
        fails(`opcode ${opcode} with payload behind a message and before a ping`, [HELLO, frame(opcode, 'reserved'), frame(PING)], 1002,
            [HELLO_BACK]);
        fails(`opcode ${opcode}, octet-wise`, [HELLO, frame(opcode, 'reserved')], 1002, [HELLO_BACK], { chop: 1 });
    }
    fails('opcode 3 between fragments', [frame(TEXT, 'a', { fin: false }), frame(3, 'b'), frame(CONTINUATION, 'c')], 1002);
    fails('opcode 11 between fragments', [frame(TEXT, 'a', { fin: false }), frame(11, 'b'), frame(CONTINUATION, 'c')], 1002);
    fails('a header with opcode 5 and nothing more', frameHeader(5, 1000), 1002);
}

/* --------------------------------------------------------------------------------------------------------- 5: fragmentation */

const part = (opcode, payload) => frame(opcode, payload, { fin: false });
const more = (payload) => part(CONTINUATION, payload);
const last = (payload) => frame(CONTINUATION, payload);

function fragmentation() {
    const two = [part(TEXT, 'fragment 1'), last('fragment 2')];
    const whole = 'text "fragment 1fragment 2"';
    fails('ping in two fragments', [part(PING, 'a'), last('b')], 1002);
    fails('pong in two fragments', [part(PONG, 'a'), last('b')], 1002);
    fails('close in two fragments', [part(CLOSE, closePayload(1000)), last('b')], 1002);
    fails('the header of a fragmented ping', part(PING), 1002);
    for (const chop of [undefined, 1]) {
        const how = chop ? ', octet-wise' : '';
        accepts(`text in two fragments${how}`, two, [whole], { chop });
        accepts(`text in two fragments, ping between${how}`, [two[0], frame(PING, 'p'), two[1]], [told(PONG, 'p'), whole], { chop });
        fails(`continuation that continues nothing, last${how}`, [last('x'), HELLO], 1002, [], { chop });
        fails(`continuation that continues nothing, not last${how}`, [more('x'), HELLO], 1002, [], { chop });
        fails(`continuation behind a whole message${how}`, [HELLO, last('x')], 1002, [HELLO_BACK], { chop });
        fails(`text inside a text${how}`, [part(TEXT, 'a'), HELLO], 1002, [], { chop });
        accepts(`five fragments with two pings between${how}`,
            [part(TEXT, '1'), more('2'), frame(PING, 'a'), more('3'), more('4'), frame(PING, 'b'), last('5')],
            [told(PONG, 'a'), told(PONG, 'b'), 'text "12345"'], { chop });
    }
    fails('binary inside a text', [part(TEXT, 'a'), frame(BINARY, 'b'), last('c')], 1002);
    fails('text inside a binary', [part(BINARY, 'a'), frame(TEXT, 'b'), last('c')], 1002);
    fails('the start of a text inside a text', [part(TEXT, 'a'), part(TEXT, 'b')], 1002);
    fails('a message, then a continuation that is not last', [...two, more('x'), HELLO], 1002, [whole]);
    fails('a message, then an empty continuation', [...two, last('')], 1002, [whole]);
    accepts('binary in two fragments', [part(BINARY, hex('00ff')), last(hex('ff00'))], [told(BINARY, hex('00ffff00'))]);
    accepts('three empty fragments', [part(TEXT), more(), last()], ['text ""']);
    accepts('empty first and last fragment', [part(TEXT), more('middle'), last()], ['text "middle"']);
    accepts('a pong between fragments', [two[0], frame(PONG, 'x'), two[1]], [whole]);
    accepts('two fragmented messages in turn', [...two, part(BINARY, 'a'), last('b')], [whole, told(BINARY, 'ab')]);
    accepts('a fragmented message, octet by octet, 200 frames', fragments(BINARY, binaryOf(200), 1), [told(BINARY, binaryOf(200))]);
    it('fragments that come only after the pong', () => converse(
        [two[0], frame(PING, '1'), told(PONG, '1'), two[1], whole, closeFrame(1000)], ['close 1000', 'fin']));
}

/* ----------------------------------------------------------------------------------------------------------------- 6: UTF-8 */

/** Where the second byte of a sequence must lie, by its first byte (Unicode's table 3-7); every later one lies in 80-BF. */
const LEADS = [
    { from: 0x00, to: 0x7f, more: 0 },
    { from: 0xc2, to: 0xdf, more: 1, second: [0x80, 0xbf] },
    { from: 0xe0, to: 0xe0, more: 2, second: [0xa0, 0xbf] },
    { from: 0xe1, to: 0xec, more: 2, second: [0x80, 0xbf] },
    { from: 0xed, to: 0xed, more: 2, second: [0x80, 0x9f] },
    { from: 0xee, to: 0xef, more: 2, second: [0x80, 0xbf] },
    { from: 0xf0, to: 0xf0, more: 3, second: [0x90, 0xbf] },
    { from: 0xf1, to: 0xf3, more: 3, second: [0x80, 0xbf] },
    { from: 0xf4, to: 0xf4, more: 3, second: [0x80, 0x8f] },
];

/** The offset of the first byte that no text can have there; -1 when the bytes are the start of some text. */
function firstWrongByte(bytes) {
    for (let at = 0; at < bytes.length;) {
        const lead = LEADS.find(({ from, to }) => from <= bytes[at] && bytes[at] <= to);
        if (!lead) return at;
        for (let i = 1; i <= lead.more && at + i < bytes.length; i++) {
            const [low, high] = i === 1 ? lead.second : [0x80, 0xbf];
            if (bytes[at + i] < low || bytes[at + i] > high) return at + i;
        }
        at += lead.more + 1;
    }
    return -1;
}

/** Text that is valid: whole, in one-byte fragments, octet-wise on the wire. */
function validText(name, bytes) {
    accepts(`valid: ${name}`, frame(TEXT, bytes), [told(TEXT, bytes)]);
    accepts(`valid: ${name}, one byte a frame`, fragments(TEXT, bytes, 1), [told(TEXT, bytes)]);
    accepts(`valid: ${name}, one byte a segment`, frame(TEXT, bytes), [told(TEXT, bytes)], { chop: 1 });
}

/** Text that is not: whole behind a good message, and up to its first wrong byte with the rest announced but never sent. */
function invalidText(name, bytes) {
    const wrong = firstWrongByte(bytes);
    fails(`invalid: ${name}`, [HELLO, frame(TEXT, bytes)], 1007, [HELLO_BACK]);
    if (wrong < 0) {
        fails(`invalid: ${name}, one byte a frame`, fragments(TEXT, bytes, 1), 1007);
        return;
    }
    const upToWrong = bytes.subarray(0, wrong + 1);
    fails(`invalid: ${name}, nothing behind the wrong byte`, frame(TEXT, upToWrong, { declared: bytes.length + 1000 }), 1007);
    fails(`invalid: ${name}, the wrong byte in a frame that is not the last`, [...fragmentsOpen(upToWrong)], 1007);
}

function fragmentsOpen(bytes) {
    return [part(TEXT), ...Array.from(bytes, (byte) => more([byte]))];
}

const KOSME = Buffer.from('κόσμε');

function utf8Basics() {
    for (const bytes of [Buffer.from('Hello-µ@ßöäüàá-UTF-8!!'), KOSME, Buffer.from('😀🧵'), Buffer.from('a\0b'), Buffer.alloc(0)]) {
        validText(JSON.stringify(bytes.toString()), bytes);
    }
    accepts('valid: two text fragments, cut between code points', [part(TEXT, 'κό'), last('σμε')], [told(TEXT, KOSME)]);
    accepts('valid: two text fragments, cut in a code point', [part(TEXT, KOSME.subarray(0, 3)), last(KOSME.subarray(3))], [told(TEXT, KOSME)]);
    for (let at = 1; at < 4; at++) {
        const face = Buffer.from('😀');
        accepts(`valid: four bytes cut at ${at}, ping between`, [part(TEXT, face.subarray(0, at)), frame(PING), last(face.subarray(at))],
            [told(PONG), told(TEXT, face)]);
        fails(`invalid: four bytes cut at ${at}, never completed`, [part(TEXT, face.subarray(0, at)), last('')], 1007);
    }
    accepts('valid: binary need not be text', frame(BINARY, hex('ff c0 80 ed a0 80')), [told(BINARY, hex('ff c0 80 ed a0 80'))]);
    accepts('valid: binary fragments need not be text', fragments(BINARY, hex('ff c0 80 ed a0 80'), 2), [told(BINARY, hex('ff c0 80 ed a0 80'))]);
}

function utf8FailsFast() {
    const good = KOSME;
    const surrogate = hex('ed a0 80');
    const tooHigh = hex('f4 90');
    const rest = Buffer.from('edited');
    fails('surrogate in one frame between good text', frame(TEXT, Buffer.concat([good, surrogate, rest])), 1007);
    fails('surrogate in its own fragment', [part(TEXT, good), more(surrogate), last(rest)], 1007);
    fails('surrogate, one byte a frame', fragments(TEXT, Buffer.concat([good, surrogate, rest]), 1), 1007);
    fails('surrogate, octet-wise', frame(TEXT, Buffer.concat([good, surrogate, rest])), 1007, [], { chop: 1 });
    it('three fragments over time: no failure before the wrong one, then at once', () => converse(
        [part(TEXT, good), frame(PING, '1'), told(PONG, '1'), more(tooHigh)], ['close 1007', 'fin']));
    it('the wrong byte alone in a fragment', () => converse(
        [part(TEXT, Buffer.concat([good, hex('f4')])), frame(PING, '1'), told(PONG, '1'), more(hex('90'))], ['close 1007', 'fin']));
    it('three pieces of one frame over time', () => converse(
        [HELLO, HELLO_BACK, frame(TEXT, Buffer.concat([good, tooHigh]), { declared: 100 })], ['close 1007', 'fin']));
    it('a message after a fragmented one starts afresh', () => converse(
        [part(TEXT, good.subarray(0, 1)), last(good.subarray(1)), told(TEXT, good), frame(TEXT, good), told(TEXT, good), frame(TEXT, hex('bc'))],
        ['close 1007', 'fin']));
    fails('nothing of the state of a broken text leaks into binary', [frame(BINARY, hex('f4')), frame(TEXT, hex('90'))], 1007,
        [told(BINARY, hex('f4'))]);
    for (let at = 0; at <= 32; at++) {
        const bytes = Buffer.alloc(at + 1, 'x');
        bytes[at] = 0xff;
        fails(`ff behind ${at} bytes of ASCII, nothing behind it`, frame(TEXT, bytes, { declared: 64 }), 1007);
    }
    fails('ff behind 70,000 bytes of good text, nothing behind it',
        frame(TEXT, Buffer.concat([textOf(70_000), hex('ff')]), { declared: 100_000 }), 1007);
}

/** Boundaries of each length: the first and last code point, with its neighbours over the edge. */
function utf8Boundaries() {
    const valid = ['00', '7f', 'c2 80', 'df bf', 'e0 a0 80', 'ef bf bf', 'f0 90 80 80', 'ed 9f bf', 'ee 80 80', 'ef bf bd', 'f4 8f bf bf'];
    for (const bytes of valid) validText(`boundary ${bytes}`, hex(bytes));
    const invalid = ['f8 88 80 80 80', 'fc 84 80 80 80 80', 'f7 bf bf bf', 'fb bf bf bf bf', 'fd bf bf bf bf bf', 'f4 90 80 80', 'f5 80 80 80'];
    for (const bytes of invalid) invalidText(`boundary ${bytes}`, hex(bytes));
}

function utf8Malformed() {
    const continuations = Buffer.from(Array.from({ length: 64 }, (_, i) => 0x80 + i));
    for (const bytes of ['80', 'bf', '80 bf', '80 bf 80', '80 bf 80 bf', '80 bf 80 bf 80', '80 bf 80 bf 80 bf', 'e2 82 ac 80', 'ce ba 80']) {
        invalidText(`stray continuation ${bytes}`, hex(bytes));
    }
    invalidText('all 64 continuation bytes', continuations);
    for (const [from, to] of [[0xc0, 0xdf], [0xe0, 0xef], [0xf0, 0xf7], [0xf8, 0xfb], [0xfc, 0xfd]]) {
        const lonely = [];
        for (let lead = from; lead <= to; lead++) lonely.push(lead, 0x20);
        invalidText(`start bytes ${from.toString(16)}-${to.toString(16)}, each before a space`, Buffer.from(lonely));
    }
    for (let lead = 0xc0; lead <= 0xff; lead++) invalidText(`start byte ${lead.toString(16)} before a letter`, Buffer.from([lead, 0x61]));
    const cut = ['c0', 'e0 80', 'f0 80 80', 'f8 80 80 80', 'fc 80 80 80 80', 'df', 'ef bf', 'f7 bf bf', 'fb bf bf bf', 'fd bf bf bf bf',
        'c2', 'e1 80', 'e1', 'f1 80 80', 'f1 80', 'f1'];
    for (const bytes of cut) invalidText(`cut short ${bytes}`, hex(bytes));
    invalidText('all of them in a row', hex(cut.join('')));
    for (const bytes of ['fe', 'ff', 'fe fe ff ff']) invalidText(`impossible ${bytes}`, hex(bytes));
}

function utf8Overlong() {
    for (const slash of ['c0 af', 'e0 80 af', 'f0 80 80 af', 'f8 80 80 80 af', 'fc 80 80 80 80 af']) invalidText(`overlong / as ${slash}`, hex(slash));
    for (const most of ['c1 bf', 'e0 9f bf', 'f0 8f bf bf', 'f8 87 bf bf bf', 'fc 83 bf bf bf bf']) invalidText(`largest overlong ${most}`, hex(most));
    for (const nul of ['c0 80', 'e0 80 80', 'f0 80 80 80', 'f8 80 80 80 80', 'fc 80 80 80 80 80']) invalidText(`overlong NUL as ${nul}`, hex(nul));
}

function utf8Surrogates() {
    const high = ['ed a0 80', 'ed ad bf', 'ed ae 80', 'ed af bf'];
    const low = ['ed b0 80', 'ed be 80', 'ed bf bf'];
    for (const single of [...high, ...low]) invalidText(`lone surrogate ${single}`, hex(single));
    for (const first of high) for (const second of ['ed b0 80', 'ed bf bf']) invalidText(`surrogate pair ${first} ${second}`, hex(first + second));
}

function utf8Noncharacters() {
    for (let plane = 0; plane <= 16; plane++) {
        for (const end of [0xfffe, 0xffff]) {
            const point = plane * 0x10000 + end;
            const bytes = Buffer.from(String.fromCodePoint(point));
            accepts(`valid: noncharacter U+${point.toString(16)}`, frame(TEXT, bytes), [told(TEXT, bytes)]);
        }
    }
    const row = Buffer.from(String.fromCodePoint(...Array.from({ length: 32 }, (_, i) => 0xfdd0 + i)));
    accepts('valid: noncharacters U+fdd0-fdef', frame(TEXT, row), [told(TEXT, row)]);
    for (const point of [0xfeff, 0xfff9, 0xfffa, 0xfffb, 0xfffc, 0xfffd, 0x2028, 0xe000, 0x10fffd]) {
        const bytes = Buffer.from(String.fromCodePoint(point));
        accepts(`valid: special U+${point.toString(16)}`, frame(TEXT, bytes), [told(TEXT, bytes)]);
    }
}

/* --------------------------------------------------------------------------------------------------------------- 7: closing */

const VALID_CODES = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3001, 3999, 4000, 4001, 4999];
const INVALID_CODES = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535];

function closing() {
    const bye = closeFrame(1000);
    const large = textOf(256 * 1024);
    closes('a message, then a close', [HELLO, bye], 'close 1000', [HELLO_BACK]);
    closes('two closes', [bye, closeFrame(1001)], 'close 1000');
    closes('a ping behind the close', [bye, frame(PING)], 'close 1000');
    closes('a message behind the close', [bye, HELLO], 'close 1000');
    closes('a close inside a message, then the rest of it', [part(TEXT, 'a'), bye, last('b')], 'close 1000');
    closes('a close inside a message', [part(TEXT, 'a'), closeFrame(4000)], 'close 4000');
    closes('256 KiB, a close, a ping', [frame(TEXT, large), bye, frame(PING)], 'close 1000', [told(TEXT, large)]);
    closes('garbage behind the close', [bye, binaryOf(1000)], 'close 1000');
    closes('invalid frames behind the close', [bye, frame(3, 'x', { rsv: 7, mask: null })], 'close 1000');
    closes('1 MiB behind the close is no reason to reset', [bye, binaryOf(MIB)], 'close 1000');
    closes('an empty close', frame(CLOSE), 'close');
    fails('a close of one byte', frame(CLOSE, hex('03')), 1002);
    closes('a close with a reason', closeFrame(1000, 'Hello, world!'), 'close 1000');
    closes('a close of 125 bytes', closeFrame(1000, textOf(123)), 'close 1000');
    closes('a close of 125 bytes, its reason UTF-8', closeFrame(3999, `x${'é'.repeat(61)}`), 'close 3999');
    fails('a close of 126 bytes', closeFrame(1000, textOf(124)), 1002);
    fails('a reason that is not UTF-8', closeFrame(1000, hex('ce ba e1 bd b9 cf 83 ed a0 80 65')), 1007);
    fails('a reason that ends in a code point', closeFrame(1000, hex('61 e2 82')), 1007);
    fails('a message, then a reason that is not UTF-8', [HELLO, closeFrame(4000, hex('ff'))], 1007, [HELLO_BACK]);
}

function closeCodes() {
    for (const code of VALID_CODES) closes(`code ${code}`, [HELLO, closeFrame(code)], `close ${code}`, [HELLO_BACK]);
    for (const code of INVALID_CODES) {
        fails(`code ${code}`, closeFrame(code), 1002);
        fails(`code ${code} with a reason`, [HELLO, closeFrame(code, 'why')], 1002, [HELLO_BACK]);
    }
}

function closeAndTcp() {
    for (const [name, bytes, code] of [['close', closeFrame(1000), 1000], ['failure', frame(3), 1002], ['wrong text', frame(TEXT, hex('ff')), 1007]]) {
        it(`the server takes what comes after its FIN (${name})`, () => replyAfterFin(bytes, [`close ${code}`, 'fin']));
    }
    it('a client that ends TCP without a close is let go', () => endsTcp(HELLO, [HELLO_BACK]));
    it('a client that ends TCP inside a frame is let go', () => endsTcp(HELLO.subarray(0, 7), []));
    it('a client that ends TCP inside a message is let go', () => endsTcp(part(TEXT, 'a'), []));
    it('a client that ends TCP with its close is answered', () => endsTcp(Buffer.concat([HELLO, closeFrame(1000)]), [HELLO_BACK, 'close 1000']));
    fails('1 MiB behind a violation is no reason to reset', [HELLO, frame(3), binaryOf(MIB)], 1002, [HELLO_BACK]);
    fails('a large echo arrives whole before the failure', [frame(BINARY, binaryOf(MIB)), frame(TEXT, 'x', { rsv: 1 })], 1002,
        [told(BINARY, binaryOf(MIB))]);
}

/** Answers the server's close frame as a browser would, but behind its FIN; on loopback a RST would be back before the second write. */
async function replyAfterFin(bytes, expected) {
    const client = await connect(server);
    try {
        await client.send(bytes);
        const list = [];
        while (!client.over) list.push(await client.next(SOON_MS));
        await client.write(closeFrame(1000));
        await client.write(frame(PING));
        assert.deepEqual(list, expected);
        assert.equal(client.ended, 'fin');
    } finally {
        client.destroy();
    }
}

async function endsTcp(bytes, replies) {
    const client = await connect(server);
    try {
        await client.send(bytes);
        client.leave();
        const list = await client.events(SOON_MS);
        const farewell = list.splice(replies.length).join(', ');
        assert.deepEqual(list, replies);
        assert.match(farewell, /^(close( \d+)?, )?fin$/);
    } finally {
        client.destroy();
    }
}

/* ------------------------------------------------------------------------------------------------------------ 9, 10: limits */

const SIZES = [65536, 256 * 1024, MIB, 4 * MIB, 8 * MIB, 16 * MIB];
const PIECES = [64, 256, 1024, 4096, 16384, 65536, 256 * 1024, MIB, 4 * MIB];
const CHOPS = [64, 128, 256, 512, 1024, 2048];

function largeMessages() {
    const deadline = HEAVY_MS;
    for (const { kind, opcode, make } of KINDS) {
        for (const size of SIZES) echoes(`${kind} of ${size} bytes`, opcode, () => make(size), { deadline });
        for (const piece of PIECES) {
            const frames = (payload) => fragments(opcode, payload, piece);
            echoes(`${kind} of 4 MiB in fragments of ${piece}`, opcode, () => make(4 * MIB), { frames, deadline });
        }
        for (const chop of CHOPS) echoes(`${kind} of 1 MiB chopped by ${chop}`, opcode, () => make(MIB), { chop, deadline });
        for (const size of [0, 16, 64, 256, 1024, 4096]) it(`${kind}: 1000 round trips of ${size} bytes`, () => roundTrips(opcode, make(size), 1000));
    }
    echoes('text of 64 KiB in frames of 1300', TEXT, () => textOf(65536), { frames: (payload) => fragments(TEXT, payload, 1300) });
}

async function roundTrips(opcode, payload, count) {
    server.check();
    const client = await connect(server);
    const expected = told(opcode, payload);
    try {
        for (let i = 0; i < count; i++) {
            await client.write(frame(opcode, payload));
            assert.equal(await client.next(), expected);
        }
        await client.write(closeFrame(1000));
        assert.deepEqual(await client.events(), ['close 1000', 'fin']);
    } finally {
        client.destroy();
    }
}

function limits() {
    fails('a frame over 64 MiB, by its header alone', [HELLO, frameHeader(BINARY, MAX_MESSAGE_BYTES + 1)], 1009, [HELLO_BACK]);
    fails('a text frame over 64 MiB, by its header alone', frameHeader(TEXT, MAX_MESSAGE_BYTES + 1), 1009);
    fails('fragments that are over 64 MiB together, by the last header', [part(BINARY, binaryOf(MIB)), frameHeader(CONTINUATION, MAX_MESSAGE_BYTES)], 1009);
    fails('a frame over 64 MiB that goes on coming', [frameHeader(BINARY, MAX_MESSAGE_BYTES + 1), binaryOf(MIB)], 1009);
    fails('a flood of empty fragments', [part(TEXT), ...Array.from({ length: 1500 }, () => more())], 1008);
    fails('a flood of empty fragments behind a message', [HELLO, part(BINARY), ...Array.from({ length: 1500 }, () => more())], 1008, [HELLO_BACK]);
    accepts('a thousand empty fragments', [part(TEXT), ...Array.from({ length: 998 }, () => more()), last('x')], ['text "x"']);
    echoes('binary of exactly 64 MiB', BINARY, () => binaryOf(MAX_MESSAGE_BYTES), { deadline: HEAVY_MS });
}

/* ---------------------------------------------------------------------------------------------------------------- the suite */

/**
 * Declares all cases, once a process. `start()` resolves to a server of startServer(), `connectTo(server)` to a RawWebSocket; `further()`
 * declares what there is to ask only there.
 */
export function rfc6455(name, { start, connectTo, further = () => {} }) {
    describe(name, () => suite(start, connectTo, further));
}

function suite(start, connectTo, further) {
    before(async () => {
        server = await start();
        connect = connectTo;
    });
    after(() => server?.stop());

    group('1 framing', 16, framing);
    group('1 lengths and masks', 16, lengthsAndMasks);
    group('2 pings and pongs', 16, pings);
    group('3 reserved bits', 16, reservedBits);
    group('4 reserved opcodes', 16, reservedOpcodes);
    group('5 fragmentation', 16, fragmentation);
    group('6 UTF-8 basics', 16, utf8Basics);
    group('6 UTF-8 fails fast', 16, utf8FailsFast);
    group('6 UTF-8 boundaries', 16, utf8Boundaries);
    group('6 UTF-8 malformed', 16, utf8Malformed);
    group('6 UTF-8 overlong', 16, utf8Overlong);
    group('6 UTF-8 surrogates', 16, utf8Surrogates);
    group('6 UTF-8 noncharacters', 16, utf8Noncharacters);
    group('7 closing', 16, closing);
    group('7 close codes', 16, closeCodes);
    group('7 closing and TCP', 16, closeAndTcp);
    group('9 large messages', 3, largeMessages);
    group('9 limits', 1, limits);
    further(() => server);
    it('the server ends on SIGTERM with status 0 and without a report', () => server.stop());
}
