/**
 * HTTP/1 as bare bytes (RFC 9110, RFC 9112) against `weft-conformance http`: what must be taken and come back byte for byte, and what must
 * be refused, with which status. Each case is sent whole, byte by byte and cut in two, between two requests that nothing is wrong with:
 * behind an accepted request the second is answered, behind a refused one never, and the connection ends with a FIN.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { RawHttp, chunked, message, only, request, saysClose } from './support/raw-http.mjs';
import { startServer } from './support/server.mjs';

const KIB = 1 << 10;
const MIB = 1 << 20;
const MAX_BODY_BYTES = MIB;
const MAX_FIELDS = 100;
const MAX_HEAD_BYTES = 16 * KIB;
const MAX_LINE_BYTES = 8 * KIB;
const MAX_CHUNK_LINE_BYTES = 256;
const MAX_TRAILER_BYTES = 8 * KIB;
const BYTEWISE_UP_TO_BYTES = 20 * KIB;
const SOON_MS = 4_000; /* far below every deadline of the server, so that it is not one of these that speaks */
const STALLED_MS = 1_000; /* a kernel that takes nothing for so long has a peer that does not read */
const HEAVY_MS = 60_000;
const NOT_FOR_US = [400, 405, 501];

let server;

/* ---------------------------------------------------------------------------------------------------------------- requests */

const HELLO = 'hello';
const EVERY_BYTE = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
const ARABIC_FIVE = '\xd9\xa5'; /* a digit to some, in UTF-8 */

/** Requests whose line, Host, fields, framing or body is the one of the case, and otherwise nothing special. */
const withLine = (line) => message([line, 'Host: localhost']);
const withTarget = (target, method = 'GET') => withLine(`${method} ${target} HTTP/1.1`);
const withVersion = (version) => withLine(`GET / ${version}`);
const withFields = (...fields) => request('GET', '/', { fields });
const withHost = (...lines) => message(['GET / HTTP/1.1', ...lines]);
const withFraming = (fields, body = HELLO) => message(['POST / HTTP/1.1', 'Host: localhost', ...fields], body);
const withLength = (...values) => withFraming(values.map((value) => `Content-Length: ${value}`));
const withCoding = (...values) => withFraming(values.map((value) => `Transfer-Encoding: ${value}`), chunked(HELLO));
const withChunks = (body) => withFraming(['Transfer-Encoding: chunked'], Buffer.from(body, 'latin1'));
const withTrailers = (...lines) => withChunks(`5\r\nhello\r\n0\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`);
const headOnly = (coding, body) => message(['HEAD / HTTP/1.1', 'Host: localhost', coding], body);
const old = (...fields) => message(['POST / HTTP/1.0', ...fields], HELLO);

function bytesOf(size) {
    const bytes = Buffer.allocUnsafe(size);
    for (let i = 0, state = size | 1; i < size; i++) {
        state = (Math.imul(state, 1664525) + 1013904223) | 0;
        bytes[i] = state >>> 24;
    }
    return bytes;
}

function padding(count) {
    return Array.from({ length: count }, (_, i) => `X-Pad-${i}: ${i}`);
}

/** A request whose line is so many bytes long. */
function lineOf(size) {
    return withTarget(`/${'p'.repeat(size - 'GET / HTTP/1.1'.length)}`);
}

/** A request whose head is so many bytes long. */
function headOf(size) {
    return withFields(`X-Pad: ${'p'.repeat(size - withFields('X-Pad: ').length)}`);
}

/** A body whose trailer section is so many bytes long. */
function trailersOf(size) {
    return withTrailers(`X-Pad: ${'p'.repeat(size - 'X-Pad: \r\n\r\n'.length)}`);
}

/* -------------------------------------------------------------------------------------------------------------- the players */

const BEFORE = request('POST', '/before', { body: 'before' });
const BEHIND = request('POST', '/behind', { body: 'behind', fields: ['Connection: close'] });

async function withConnection(talk) {
    server.check();
    const client = await RawHttp.open(server.port);
    try {
        return await talk(client);
    } finally {
        client.destroy();
    }
}

function cutAt(bytes, at) {
    return [Buffer.concat([BEFORE, bytes.subarray(0, at)]), Buffer.concat([bytes.subarray(at), BEHIND])];
}

/** The ways to send a case: [what, pieces]. */
function waysToSend(bytes) {
    const offsets = [0, 1, bytes.length >> 1, bytes.length - 2, bytes.length - 1, bytes.length];
    const ways = [
        ['whole', [Buffer.concat([BEFORE, bytes, BEHIND])]],
        ...[...new Set(offsets)].filter((at) => at >= 0).map((at) => [`cut at ${at}`, cutAt(bytes, at)]),
    ];
    const bytewise = Array.from({ length: bytes.length }, (_, at) => bytes.subarray(at, at + 1));
    if (bytes.length <= BYTEWISE_UP_TO_BYTES) ways.push(['byte by byte', [BEFORE, ...bytewise, BEHIND]]);
    return ways;
}

/** Sends the case in each way and hands the connection to `look`, which must find the same each time. */
function eachWay(name, bytes, look) {
    it(name, async () => {
        for (const [way, pieces] of waysToSend(bytes)) {
            try {
                await withConnection(async (client) => {
                    const sent = client.sendPieces(pieces);
                    await readEcho(client, 'before');
                    await look(client);
                    await client.readEnd({ sent });
                });
            } catch (error) {
                error.message += ` (sent ${way})`;
                throw error;
            }
        }
    });
}

/** The next answer, which must bring this body back. */
async function readEcho(client, body = '', { method = 'GET', interim = 0, deadline } = {}) {
    const answer = await client.readAnswer(method, deadline);
    const expected = Buffer.from(body);
    assert.equal(answer.status, 200, `${answer.line}: ${answer.body.toString('latin1', 0, 200)}`);
    assert.equal(only(answer, 'Content-Type'), 'application/octet-stream');
    assert.equal(Number(only(answer, 'Content-Length')), expected.length);
    assert.ok(method === 'HEAD' || expected.equals(answer.body), `${answer.body.length} bytes that are not those sent`);
    assert.ok(answer.interim <= interim, `${answer.interim} times 100 Continue`);
    return answer;
}

/** The request is answered with its body, and so is the one behind it. */
function takes(name, bytes, body = '', options = {}) {
    eachWay(name, bytes, async (client) => {
        const answer = await readEcho(client, body, options);
        assert.ok(!saysClose(answer), 'the connection goes on, yet the answer says close');
        if (options.minor0) assert.match(only(answer, 'Connection') ?? '', /keep-alive/i, 'HTTP/1.0 is not told that the connection goes on');
        assert.ok(saysClose(await readEcho(client, 'behind')), 'the last answer does not say close');
    });
}

/** The request is answered with its body, and then the connection ends. */
function takesAsLast(name, bytes, body = '', options) {
    eachWay(name, bytes, async (client) => {
        const answer = await readEcho(client, body, options);
        assert.doesNotMatch(only(answer, 'Connection') ?? '', /keep-alive/i);
        assert.ok(saysClose(answer), 'the answer does not say close');
    });
}

/** The request is answered with this status (or one of these), and then the connection ends. */
function refuses(name, bytes, status = 400, { method = 'GET' } = {}) {
    eachWay(name, bytes, async (client) => checkRefusal(await client.readAnswer(method), status));
}

function checkRefusal(answer, status) {
    assert.ok([status].flat().includes(answer.status), `${answer.line}, not ${status}`);
    assert.ok(saysClose(answer), `${answer.line} without Connection: close`);
    assert.ok(answer.status !== 405 || only(answer, 'Allow') !== undefined, '405 without Allow');
    assert.equal(answer.interim, 0, '100 Continue before a refusal');
}

function shown(text) {
    return JSON.stringify(text.length > 60 ? `${text.slice(0, 57)}...` : text);
}

/* ------------------------------------------------------------------------------------------------------------ request lines */

function methods() {
    const names = [
        'GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'get', 'G', 'M-SEARCH', 'UNHEARD-OF',
        "!#$%&'*+-.^_`|~09aZ",
    ];
    for (const name of names) takes(`method ${name}`, withTarget('/', name));
    for (const name of names.filter((name) => name !== 'TRACE')) {
        takes(`method ${name} with a body`, request(name, '/', { body: HELLO }), HELLO);
    }
    takes('HEAD', withTarget('/', 'HEAD'), '', { method: 'HEAD' });
    takes('HEAD with a body', request('HEAD', '/', { body: HELLO }), HELLO, { method: 'HEAD' });
    takes('HEAD with a chunked body', headOnly('Transfer-Encoding: chunked', chunked(HELLO)), HELLO, { method: 'HEAD' });
    for (const name of ['', '(', 'G(T', 'G/T', 'G:T', 'G"T', 'G\0T', 'G\x7fT', 'GE\xcf', '{}', 'G,T', 'G=T', 'G@T']) {
        refuses(`method ${shown(name)}`, withTarget('/', name));
    }
}

function targets() {
    const origins = [
        '/', '/?', '/a/b/c', '//', '/a//b/', '/?a=b&c=d', '/a?b?c/d', '/%41%7e', "/-._~!$&'()*+,;=:@", '/a/./b/../c', '/[1]',
        '/?q=100%', '/?[\\]^`{|}', '/?%zz', '/...', '/.well-known/x', `/${'long/'.repeat(1000)}`,
    ];
    for (const target of origins) takes(`target ${shown(target)}`, withTarget(target));
    const absolutes = [
        'http://localhost', 'http://localhost/', 'http://localhost:8080/a?b', 'http://localhost?q', 'HTTP://LOCALHOST/',
        'https://localhost/a', 'ws://localhost:3000/ws/chat', 'http://127.0.0.1/', 'http://[::1]:80/', 'http://localhost:/',
    ];
    for (const target of absolutes) takes(`target ${target}`, withTarget(target));
    takes('an absolute target and another Host', message(['GET http://localhost/ HTTP/1.1', 'Host: 127.0.0.1:80']));
    for (const target of [
        'http:/localhost/', 'http:///x', 'http://', 'http:localhost', '://localhost/', 'ftp://localhost/',
        'http://user@localhost/', 'http://user:secret@localhost/', 'http://localhost:x/', 'http://localhost:65536/',
        'http://[::g]/', 'http://[::1/', 'http://local host/', 'http://localhost#f', 'http://localhost/a#f',
        'http://localhost\\@elsewhere/',
    ]) refuses(`target ${target}`, withTarget(target));
    refuses('an absolute target without Host', message(['GET http://localhost/ HTTP/1.1']));
    for (const target of [
        '', 'x', 'a/b', '?a', '#', '/#', '/a#b', '/a b', '/a\tb', '/a\0b', '/a\x7fb', '/a\x01', '/\xe9', '/<', '/>', '/"',
        '/a\\b', '/{a}', '/a|b', '/^', '/`', '/%', '/%4', '/%zz', '/%4x', '/?a#b', '/?\xe9', '/?"', '/?<', '/? ',
    ]) refuses(`target ${shown(target)}`, withTarget(target));
    for (const target of [
        '/..', '/a/../..', '/%2e%2e/x', '/a%2Fb', '/a%2fb', '/a%00b',
    ]) refuses(`path ${target}, which means no path`, withTarget(target));
    for (const target of ['*', 'localhost:80', 'localhost']) refuses(`target ${target} of GET`, withTarget(target));
    for (const target of ['*/', '**', '*?a']) refuses(`target ${target} of OPTIONS`, withTarget(target, 'OPTIONS'));
    for (const target of [
        '/', '*', 'localhost', 'localhost:', 'localhost:x', 'http://localhost:80/', 'user@localhost:80', ':80', 'localhost:80/',
    ]) {
        refuses(`target ${target} of CONNECT`, withTarget(target, 'CONNECT'));
    }
    refuses('CONNECT localhost:80: no tunnels here', withTarget('localhost:80', 'CONNECT'), NOT_FOR_US);
    it('OPTIONS * asks about the server, not about a path', () => withConnection(async (client) => {
        await client.write(Buffer.concat([withTarget('*', 'OPTIONS'), BEHIND]));
        const { status, line } = await client.readAnswer();
        assert.ok([200, 204, 404, 405].includes(status), line);
        await readEcho(client, 'behind');
        await client.readEnd();
    }));
}

function versions() {
    for (const minor of [1, 2, 9]) takes(`HTTP/1.${minor}`, withVersion(`HTTP/1.${minor}`));
    for (const version of ['HTTP/0.9', 'HTTP/2.0', 'HTTP/3.0', 'HTTP/9.9']) refuses(version, withVersion(version), 505);
    refuses('the preface of HTTP/2', message(['PRI * HTTP/2.0', '', 'SM']), 505);
    for (const version of [
        '', 'HTTP', 'HTTP/', 'HTTP/1', 'HTTP/1.', 'HTTP/.1', 'HTTP/11', 'HTTP/1.10', 'HTTP/01.1', 'HTTP/1.1.1', 'HTTP/1,1',
        'HTTP/1.1x', 'HTTP/+1.1', 'HTTP/1.x', 'HTTP/1. 1', 'HTTP /1.1', 'http/1.1', 'HTTPS/1.1', 'FTP/1.1', 'ICY', 'HTTP/1.1 ',
        'HTTP/1.1\t', ' HTTP/1.1', '\tHTTP/1.1', 'HTTP/1.1 HTTP/1.1', 'HTTP/1.1\0', 'HTTP/1.1\r',
    ]) refuses(`version ${shown(version)}`, withVersion(version));
    refuses('the request line of HTTP/0.9', Buffer.from('GET /\r\n'));
}

function requestLines() {
    refuses('a method alone', Buffer.from('GET\r\n'));
    refuses('no method', withLine('/ HTTP/1.1'));
    refuses('a blank before the method', withLine(' GET / HTTP/1.1'));
    refuses('a tab before the method', withLine('\tGET / HTTP/1.1'));
    refuses('two blanks behind the method', withLine('GET  / HTTP/1.1'));
    refuses('two blanks behind the target', withLine('GET /  HTTP/1.1'));
    refuses('tabs for blanks', withLine('GET\t/\tHTTP/1.1'));
    refuses('vertical tabs for blanks', withLine('GET\v/\vHTTP/1.1'));
    refuses('bare LF behind the request line', Buffer.from('GET / HTTP/1.1\nHost: localhost\r\n\r\n'));
    refuses('bare CR behind the request line', Buffer.from('GET / HTTP/1.1\rHost: localhost\r\n\r\n'));
    refuses('LF CR behind the request line', Buffer.from('GET / HTTP/1.1\n\rHost: localhost\r\n\r\n'));
    refuses('bare LF everywhere', Buffer.from('GET / HTTP/1.1\nHost: localhost\n\n'));
    takes('an empty line before the request', Buffer.concat([Buffer.from('\r\n'), withFields()]));
    refuses('a bare LF before the request', Buffer.concat([Buffer.from('\n'), withFields()]));
    refuses('a bare CR before the request', Buffer.concat([Buffer.from('\r'), withFields()]));
    refuses('a blank line that is not empty before the request', Buffer.concat([Buffer.from(' \r\n'), withFields()]));
    refuses('NUL', Buffer.from('\0\r\n'));
    refuses('a TLS hello', Buffer.from(`16030100c8010000c40303${'00'.repeat(200)}`, 'hex'));
    refuses('an answer instead of a request', message(['HTTP/1.1 200 OK', 'Content-Length: 0']));
}

/* ------------------------------------------------------------------------------------------------------------------- fields */

function fields() {
    for (const field of [
        'X-A: b', 'X-A:b', 'X-A:', 'X-A: ', 'X-A: \t b \t ', 'X-A: b\tc d', 'X-A: caf\xe9', 'X-A: \x80\xff',
        "!#$%&'*+-.^_`|~09aZ: x", 'a: ::', 'X-A: "quoted, \\" string"', 'X-A: (comment', 'X-A: GET / HTTP/1.1', 'Trailer: X-T',
        'TE: trailers', 'Upgrade: h2c', 'Content-Encoding: gzip',
    ]) {
        takes(`field ${shown(field)}`, withFields(field));
    }
    takes('a field that comes twice', withFields('X-A: b', 'X-A: c'));
    takes('names in capitals', message(['POST / HTTP/1.1', 'HOST: localhost', 'CONTENT-LENGTH: 5'], HELLO), HELLO);
    takes('names in lower case', message(['POST / HTTP/1.1', 'host: localhost', 'content-length: 5'], HELLO), HELLO);
    takes('fields before Host', message(['POST / HTTP/1.1', 'Content-Length: 5', 'Host: localhost'], HELLO), HELLO);
    for (const field of [
        'X-A : b', 'X-A\t: b', 'X A: b', ': b', ':', 'X-A', 'X-A b', '(X): b', 'X/A: b', 'X[A]: b', 'X"A: b', 'X,A: b',
        'X;A: b', 'X=A: b', 'X@A: b', 'X?A: b', 'X\\A: b', 'X{A}: b', 'X<A>: b', 'X\0A: b', 'X\x7fA: b', 'X\x01A: b',
        'caf\xe9: b', 'X-A: b\0', 'X-A: \0', 'X-A: b\x01c', 'X-A: b\x0bc', 'X-A: b\x1b[0m', 'X-A: b\x7fc', 'X-A: b\rc',
        'X-A: b\r', 'X-A: \r', 'X-A: b\nX-C: d', 'X-A: b\n', 'X-A\r: b', 'X-A\n: b', '\rX-A: b', '\nX-A: b',
    ]) {
        refuses(`field ${shown(field)}`, withFields(field));
    }
    refuses('a folded field', withFields('X-A: b', ' c'));
    refuses('a field folded by a tab', withFields('X-A: b', '\tc'));
    refuses('a field folded into nothing', withFields('X-A: b', ' '));
    refuses('a blank before the first field', message(['GET / HTTP/1.1', ' Host: localhost']));
    refuses('a blank line that is not empty behind the fields', withFields(' \t'));
    refuses('a length hidden in a fold', withFraming(['X-A: b', ' Content-Length: 5']));
    refuses('bare LF behind the last field', Buffer.from('GET / HTTP/1.1\r\nHost: localhost\n\r\n'));
    refuses('an empty line that is a bare LF', Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\n'));
    refuses('an empty line that is CR CR LF', Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\r\n'));
}

function hosts() {
    for (const host of [
        'localhost', 'LOCALHOST', 'localhost:80', 'localhost:', '127.0.0.1', '127.0.0.1:65535', '[::1]', '[::1]:8080',
        ' \tlocalhost \t',
    ]) {
        takes(`Host: ${shown(host)}`, withHost(`Host:${host}`));
    }
    refuses('no Host', withHost());
    refuses('no Host, but other fields', withHost('X-Host: localhost', 'Hos: a', 'Hostt: b'));
    refuses('two Hosts that are the same', withHost('Host: localhost', 'Host: localhost'));
    refuses('two Hosts that differ', withHost('Host: localhost', 'Host: elsewhere.example'));
    refuses('two Hosts in different case', withHost('Host: localhost', 'X-A: b', 'hOST: localhost'));
    for (const host of [
        '', ' ', 'local host', 'localhost, localhost', 'user@localhost', 'http://localhost', 'localhost/', 'localhost?',
        'localhost#', '/', ':80', 'localhost:http', 'localhost:-1', 'localhost:80:80', 'localhost:65536',
        'localhost:99999999999', '[::1', '::1', '[::g]', '[]', '[1.2.3.4]', '[::1]x', '[::1]:x', 'local%4', 'local%zz',
        'local\\host', 'local"host', 'local<host>', 'caf\xe9', '[::1%25lo]',
    ]) refuses(`Host: ${shown(host)}`, withHost(`Host: ${host}`));
    refuses('an empty Host in HTTP/1.0', old('Host:', 'Content-Length: 5'));
    refuses('two Hosts in HTTP/1.0', old('Host: localhost', 'Host: localhost', 'Content-Length: 5'));
}

/* ------------------------------------------------------------------------------------------------------------------ framing */

function lengths() {
    for (const length of [
        '5', '05', '0000000000000000000000005', ' \t5 \t',
    ]) takes(`Content-Length: ${shown(length)}`, withLength(length), HELLO);
    takes('Content-Length: 0', withFraming(['Content-Length: 0'], ''));
    takes('a POST without a body', withFraming([], ''));
    takes('a body of every byte', withFraming(['Content-Length: 256'], EVERY_BYTE), EVERY_BYTE);
    takes('a body that looks like a request', withFraming([`Content-Length: ${BEHIND.length}`], BEHIND), BEHIND);
    for (const length of [
        '', '+5', '-5', '-0', '5,5', '5, 5', '5,', ',5', '5, 6', '5;', '0x5', '5 5', '5.0', '5e0', 'five', ARABIC_FIVE, '5\0',
        '"5"', '9223372036854775808', '18446744073709551616', '18446744073709551621', '99999999999999999999999999',
    ]) refuses(`Content-Length: ${shown(length)}`, withLength(length));
    refuses('Content-Length twice, the same', withLength('5', '5'));
    refuses('Content-Length twice, differing', withLength('5', '6'));
    refuses('Content-Length twice, one of them 0', withLength('0', '5'));
    refuses('Content-Length twice, in different case', withFraming(['Content-Length: 5', 'X-A: b', 'content-LENGTH: 5']));
    refuses('Content-Length with a blank before the colon', withFraming(['Content-Length : 5']));
    refuses('Content-Length, then Transfer-Encoding', withFraming(['Content-Length: 5', 'Transfer-Encoding: chunked'], chunked(HELLO)));
    refuses('Transfer-Encoding, then Content-Length', withFraming(['Transfer-Encoding: chunked', 'Content-Length: 5'], chunked(HELLO)));
    refuses('Transfer-Encoding with Content-Length: 0', withFraming(['Transfer-Encoding: chunked', 'Content-Length: 0'], chunked(HELLO)));
    refuses('a length of 1 MiB and 1', withFraming([`Content-Length: ${MAX_BODY_BYTES + 1}`], ''), 413);
    refuses('a length of 2^32 and 5', withLength('4294967301'), 413);
    refuses('a length of 2^63 - 1', withLength('9223372036854775807'), 413);
    refuses('HEAD with a length of 1 MiB and 1', headOnly(`Content-Length: ${MAX_BODY_BYTES + 1}`), 413, { method: 'HEAD' });
}

function codings() {
    for (const coding of [
        'chunked', 'Chunked', 'CHUNKED', ' \tchunked \t',
    ]) takes(`Transfer-Encoding: ${shown(coding)}`, withCoding(coding), HELLO);
    for (const coding of ['gzip', 'identity', 'x', 'xchunked', 'chunkedx', 'gzip, chunked', 'identity, chunked', 'deflate;q=1', 'chunke']) {
        refuses(`Transfer-Encoding: ${coding}`, withCoding(coding), 501);
    }
    for (const coding of [
        '', ',', ', chunked', 'chunked,', 'chunked, chunked', 'chunked, gzip', 'chunked, identity', 'chunked;a=b',
        'chunked chunked', '"chunked"', 'chunked\0', '\x0bchunked', 'chunked\x0b', 'chun ked', 'chunked\r', 'chunked\xa0', '=',
    ]) refuses(`Transfer-Encoding: ${shown(coding)}`, withCoding(coding));
    refuses('Transfer-Encoding: chunked, twice', withCoding('chunked', 'chunked'));
    refuses('Transfer-Encoding: chunked, then gzip', withCoding('chunked', 'gzip'));
    refuses('Transfer-Encoding: gzip, then chunked', withCoding('gzip', 'chunked'), 501);
    refuses('Transfer-Encoding with a blank before the colon', withFraming(['Transfer-Encoding : chunked'], chunked(HELLO)));
    refuses('Transfer-Encoding in a fold', withFraming(['Transfer-Encoding:', ' chunked'], chunked(HELLO)));
    refuses('Transfer-Encoding in HTTP/1.0', message(['POST / HTTP/1.0', 'Transfer-Encoding: chunked'], chunked(HELLO)));
    refuses('Transfer-Encoding in HTTP/1.0 that keeps alive',
        message(['POST / HTTP/1.0', 'Connection: keep-alive', 'Transfer-Encoding: chunked'], chunked(HELLO)));
    takes('Transfer-Encoding in HTTP/1.2', message(['POST / HTTP/1.2', 'Host: localhost', 'Transfer-Encoding: chunked'], chunked(HELLO)), HELLO);
}

function chunks() {
    const sizes = [
        '5', '05', '0000000000000005', '5;a', '5;a=b', '5;a=b;c;d=e', '5;a="b"', '5;a=""', '5;a="; \\"\t5"',
        "5;!#$%&'*+-.^_`|~=x", '5;a="\xe9"',
    ];
    for (const size of sizes) takes(`chunk size ${shown(size)}`, withChunks(`${size}\r\nhello\r\n0\r\n\r\n`), HELLO);
    takes('chunk size 1a', withChunks(`1a\r\n${'z'.repeat(26)}\r\n0\r\n\r\n`), 'z'.repeat(26));
    takes('chunk size 1A', withChunks(`1A\r\n${'z'.repeat(26)}\r\n0\r\n\r\n`), 'z'.repeat(26));
    takes('no chunk but the last', withChunks('0\r\n\r\n'));
    for (const last of ['00', '0000000000000000', '0;a=b']) takes(`last chunk ${last}`, withChunks(`5\r\nhello\r\n${last}\r\n\r\n`), HELLO);
    takes('a chunk for each byte', withFraming(['Transfer-Encoding: chunked'], chunked('chunk by chunk', [1])), 'chunk by chunk');
    takes('chunks of several sizes', withFraming(['Transfer-Encoding: chunked'], chunked(bytesOf(600), [1, 16, 255, 256])), bytesOf(600));
    takes('a chunk of CRLF and what looks like the last', withChunks('9\r\n\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n'), '\r\n0\r\n\r\n\r\n');
    const bad = [
        '', ' ', ' 5', '5 ', '5\t', '\t5', '0x5', '+5', '-5', '-0', '5,', '5.0', 'g', 'five', '5g', '5 5', '5=', '5;', '5;;',
        '5;=b', '5;a=', '5;a="', '5;a="b', '5;a="b"c', '5;a=b=c', '5 ;a', '5; a', '5;a =b', '5;a= b', '5;a;', '5;a,b',
        '5;a="\0"', '5;a="\r"', '5;a\0', '5\0', '5\r', '5;\r', '5;a=b\r', '00000000000000005', '10000000000000005', 'h\xe9',
        ARABIC_FIVE,
    ];
    for (const size of bad) refuses(`chunk size ${shown(size)}`, withChunks(`${size}\r\nhello\r\n0\r\n\r\n`));
    for (const last of [
        '', '0x0', '-0', '0 ', '0;', '00000000000000000',
    ]) refuses(`last chunk ${shown(last)}`, withChunks(`5\r\nhello\r\n${last}\r\n\r\n`));
}

function chunkEnds() {
    refuses('a bare LF behind a chunk size', withChunks('5\nhello\r\n0\r\n\r\n'));
    refuses('a bare LF behind an extension', withChunks('5;a\nhello\r\n0\r\n\r\n'));
    refuses('a bare LF within a quoted extension', withChunks('5;a="\n"\r\nhello\r\n0\r\n\r\n'));
    refuses('a bare CR behind a chunk size', withChunks('5\rhello\r\n0\r\n\r\n'));
    refuses('a bare LF behind a chunk', withChunks('5\r\nhello\n0\r\n\r\n'));
    refuses('a bare CR behind a chunk', withChunks('5\r\nhello\r0\r\n\r\n'));
    refuses('LF CR behind a chunk', withChunks('5\r\nhello\n\r0\r\n\r\n'));
    refuses('CR CR LF behind a chunk', withChunks('5\r\nhello\r\r\n0\r\n\r\n'));
    refuses('nothing behind a chunk', withChunks('5\r\nhello0\r\n\r\n'));
    refuses('a chunk longer than its size', withChunks('4\r\nhello\r\n0\r\n\r\n'));
    refuses('a chunk shorter than its size', withChunks('6\r\nhello\r\n0\r\n\r\n'));
    refuses('a bare LF behind the last chunk', withChunks('5\r\nhello\r\n0\n\r\n'));
    refuses('a bare LF that ends the body', withChunks('5\r\nhello\r\n0\r\n\n'));
    refuses('a chunk that has no size left', withChunks('5\r\nhello\r\n\r\n0\r\n\r\n'));
    refuses('a chunk of 1 MiB and 1, by its size', withChunks(`${(MAX_BODY_BYTES + 1).toString(16)}\r\n`), 413);
    refuses('a second chunk that is one too long, by its size', withChunks(`5\r\nhello\r\n${(MAX_BODY_BYTES - 4).toString(16)}\r\n`), 413);
    refuses('a chunk of 2^32 and 5', withChunks('100000005\r\nhello\r\n0\r\n\r\n'), 413);
    refuses('a chunk of 2^64 - 1', withChunks('ffffffffffffffff\r\nhello\r\n0\r\n\r\n'), 413);
    refuses('a second chunk that wraps the sum', withChunks('5\r\nhello\r\nfffffffffffffffb\r\nhello\r\n0\r\n\r\n'), 413);
    refuses('HEAD with a wrong chunk', headOnly('Transfer-Encoding: chunked', 'x\r\n'), 400, { method: 'HEAD' });
}

function trailers() {
    takes('one trailer', withTrailers('X-T: v'), HELLO);
    takes('several trailers', withTrailers('X-T: v', 'X-T:', 'X-U: caf\xe9 \t', 'Digest: x'), HELLO);
    takes('a trailer that was announced',
        withFraming(['Trailer: X-T', 'Transfer-Encoding: chunked'], '5\r\nhello\r\n0\r\nX-T: v\r\n\r\n'), HELLO);
    for (const line of [
        'Content-Length: 5', 'content-LENGTH: 5', 'Transfer-Encoding: chunked', 'Host: localhost', 'X-T', ': v', ' X-T: v',
        '\tX-T: v', 'X-T : v', 'X T: v', 'X-T: v\0', 'X-T: v\x01', 'X-T: v\x7f', 'X-T: v\r', 'X-T: v\rw', 'X-T: v\nX-U: w',
        '(X): v', 'caf\xe9: v', 'GET / HTTP/1.1',
    ]) {
        refuses(`trailer ${shown(line)}`, withTrailers(line));
    }
    refuses('a folded trailer', withTrailers('X-T: v', ' w'));
}

/* -------------------------------------------------------------------------------------------------------------- persistence */

function persistence() {
    for (const options of [
        'keep-alive', 'Keep-Alive', 'x', '', 'closed', 'x-close', 'TE, upgrade',
    ]) takes(`Connection: ${shown(options)}`, withFields(`Connection: ${options}`));
    for (const options of ['close', 'Close', 'x, close', 'close, keep-alive', 'keep-alive, close', ',close,', 'x,\tclose\t,y']) {
        takesAsLast(`Connection: ${shown(options)}`, withFields(`Connection: ${options}`));
    }
    takesAsLast('close in a second Connection field', withFields('Connection: keep-alive', 'Connection: close'));
    takesAsLast('a body and Connection: close', withFraming(['Connection: close', 'Content-Length: 5']), HELLO);
    takesAsLast('a chunked body and Connection: close', withFraming(['Connection: close', 'Transfer-Encoding: chunked'], chunked(HELLO)), HELLO);
    takesAsLast('HEAD and Connection: close', request('HEAD', '/', { body: HELLO, fields: ['Connection: close'] }), HELLO, { method: 'HEAD' });
    takes('an upgrade that nobody knows', withFields('Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQAAP__'));
}

/** What follows may be frames for somebody who was thought to be here, and is never read as a request. */
function closesBehind(name, bytes) {
    eachWay(name, bytes, async (client) => {
        const answer = await client.readAnswer();
        assert.ok([200, 400, 404, 426].includes(answer.status), answer.line);
        assert.ok(saysClose(answer), `${answer.line} without Connection: close`);
    });
}

function upgrades() {
    const handshake = [
        'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    ];
    closesBehind('a WebSocket handshake where no WebSocket is', withFields(...handshake));
    closesBehind('a WebSocket handshake with a body', request('GET', '/', { fields: handshake, body: HELLO }));
    closesBehind('a WebSocket handshake with a chunked body', withFraming([...handshake, 'Transfer-Encoding: chunked'], chunked(HELLO)));
    closesBehind('a WebSocket handshake without a key', withFields(...handshake.slice(0, 2)));
}

function oldVersion() {
    takesAsLast('HTTP/1.0 without Host', message(['GET / HTTP/1.0']));
    takesAsLast('HTTP/1.0 with Host', message(['GET / HTTP/1.0', 'Host: localhost']));
    takesAsLast('HTTP/1.0 with a body', old('Content-Length: 5'), HELLO);
    takesAsLast('HTTP/1.0 HEAD', message(['HEAD / HTTP/1.0', 'Content-Length: 5'], HELLO), HELLO, { method: 'HEAD' });
    takesAsLast('HTTP/1.0 with Connection: close', old('Connection: close', 'Content-Length: 5'), HELLO);
    takesAsLast('HTTP/1.0 with Connection: close, keep-alive', old('Connection: close, keep-alive', 'Content-Length: 5'), HELLO);
    takesAsLast('HTTP/1.0 with an absolute target', message(['GET http://localhost/ HTTP/1.0']));
    takesAsLast('HTTP/1.0 with an expectation, which has no meaning there', old('Expect: 100-continue', 'Content-Length: 5'), HELLO);
    takesAsLast('HTTP/1.0 that wants an upgrade', message(['GET / HTTP/1.0', 'Connection: Upgrade', 'Upgrade: websocket']));
    takes('HTTP/1.0 that keeps alive', old('Connection: keep-alive', 'Content-Length: 5'), HELLO, { minor0: true });
    takes('HTTP/1.0 that keeps alive, without a body', message(['GET / HTTP/1.0', 'Connection: Keep-Alive']), '', { minor0: true });
    refuses('HTTP/1.0 with a wrong length', old('Content-Length: 5, 5'));
    refuses('HTTP/1.0 with a length of 1 MiB and 1', old(`Content-Length: ${MAX_BODY_BYTES + 1}`), 413);
}

/* ------------------------------------------------------------------------------------------------------------- expectations */

const EXPECT = 'Expect: 100-continue';

/** The head goes alone; 100 Continue comes; then the body goes, and is answered. */
function continues(name, head, body, echo = HELLO) {
    it(name, () => withConnection(async (client) => {
        await client.write(message(['POST / HTTP/1.1', 'Host: localhost', ...head]));
        await client.readContinue(SOON_MS);
        await client.write(Buffer.concat([Buffer.from(body), BEHIND]));
        await readEcho(client, echo, { deadline: SOON_MS });
        await readEcho(client, 'behind');
        await client.readEnd();
    }));
}

/** The head goes alone, and is refused before any of the body. */
function refusesToContinue(name, fields, status) {
    it(name, () => withConnection(async (client) => {
        await client.write(message(['POST / HTTP/1.1', 'Host: localhost', ...fields]));
        checkRefusal(await client.readAnswer('POST', SOON_MS), status);
        await client.readEnd();
    }));
}

function expectations() {
    continues('100 Continue, then a body', [EXPECT, 'Content-Length: 5'], HELLO);
    continues('100 Continue, then a chunked body', [EXPECT, 'Transfer-Encoding: chunked'], chunked(HELLO));
    continues('100 Continue, then 1 MiB', [EXPECT, `Content-Length: ${MIB}`], bytesOf(MIB), bytesOf(MIB));
    continues('100 Continue, in capitals', ['EXPECT: 100-CONTINUE', 'Content-Length: 5'], HELLO);
    it('100 Continue twice on one connection', () => withConnection(async (client) => {
        for (const body of ['first', 'other']) {
            await client.write(message(['POST / HTTP/1.1', 'Host: localhost', EXPECT, `Content-Length: ${body.length}`]));
            await client.readContinue(SOON_MS);
            await client.write(Buffer.from(body));
            await readEcho(client, body);
        }
    }));
    it('100 Continue to a pipelined request comes behind the answer before it', () => withConnection(async (client) => {
        await client.write(Buffer.concat([BEFORE, message(['POST / HTTP/1.1', 'Host: localhost', EXPECT, 'Content-Length: 5'])]));
        await readEcho(client, 'before');
        await client.readContinue(SOON_MS);
        await client.write(Buffer.from(HELLO));
        await readEcho(client, HELLO);
    }));
    it('a client that expects 100 Continue and goes is let go', () => withConnection(async (client) => {
        await client.write(message(['POST / HTTP/1.1', 'Host: localhost', EXPECT, 'Content-Length: 5']));
        await client.readContinue(SOON_MS);
        client.leave();
        assert.doesNotMatch((await client.readRest(SOON_MS)).toString(), /^HTTP\/1\.1 200 /);
        assert.equal(client.ended, 'fin');
    }));
    takes('the body comes with the expectation', withFraming([EXPECT, 'Content-Length: 5']), HELLO, { interim: 1 });
    takes('a chunked body comes with the expectation', withFraming([EXPECT, 'Transfer-Encoding: chunked'], chunked(HELLO)), HELLO, { interim: 1 });
    takes('an expectation without a body', withFields(EXPECT), '', { interim: 1 });
    takes('an expectation with a body of 0', withFraming([EXPECT, 'Content-Length: 0'], ''), '', { interim: 1 });
    refusesToContinue('no 100 Continue for 1 MiB and 1', [EXPECT, `Content-Length: ${MAX_BODY_BYTES + 1}`], 413);
    refusesToContinue('no 100 Continue for a wrong length', [EXPECT, 'Content-Length: +5'], 400);
    refusesToContinue('no 100 Continue for an unknown coding', [EXPECT, 'Transfer-Encoding: gzip'], 501);
    refusesToContinue('an unknown expectation', ['Expect: the worst', 'Content-Length: 5'], 417);
    for (const value of ['200-ok', '100-continued', '100-continue, x', '100', '100-continue=x', '"100-continue"']) {
        refuses(`Expect: ${value}`, withFraming([`Expect: ${value}`, 'Content-Length: 5']), 417);
    }
    refuses('an unknown expectation behind a known one', withFraming([EXPECT, 'Expect: x', 'Content-Length: 5']), 417);
}

/* ------------------------------------------------------------------------------------------------------------------- limits */

/** The body comes back, however it is sent. */
function takesLarge(name, bytes, body) {
    for (const chop of [bytes.length, 65_521, 4_099]) {
        it(`${name}, in pieces of ${chop}`, () => withConnection(async (client) => {
            const sent = client.send(bytes, { chop }).then(() => client.write(BEHIND));
            await readEcho(client, body, { deadline: HEAVY_MS });
            await readEcho(client, 'behind');
            await client.readEnd({ sent });
        }));
    }
}

function limits() {
    const others = 1; /* Host */
    takes(`${MAX_FIELDS} fields`, withFields(...padding(MAX_FIELDS - others)));
    refuses(`${MAX_FIELDS + 1} fields`, withFields(...padding(MAX_FIELDS + 1 - others)), 431);
    refuses('a thousand fields of nothing', withFields(...Array(1000).fill('a:')), 431);
    takes('a request line of 8 KiB', lineOf(MAX_LINE_BYTES));
    refuses('a request line of 8 KiB and 1', lineOf(MAX_LINE_BYTES + 1), 414);
    refuses('a request line without end', Buffer.from(`GET /${'p'.repeat(MAX_LINE_BYTES)}`), 414);
    refuses('a method without end', Buffer.from('M'.repeat(MAX_LINE_BYTES + 1)), 414);
    refuses('a request line of 1 MiB', lineOf(MIB), 414);
    takes('a head of 16 KiB', headOf(MAX_HEAD_BYTES));
    refuses('a head of 16 KiB and 1', headOf(MAX_HEAD_BYTES + 1), 431);
    refuses('a head of 1 MiB', headOf(MIB), 431);
    refuses('a field name of 20 KB', withFields(`${'n'.repeat(20_000)}: v`), 431);
    refuses('a head without end', message(['GET / HTTP/1.1', 'Host: localhost', ...padding(90).map((line) => line + 'p'.repeat(500))]), 431);
    const name = '5;a=';
    takes('a chunk line of 256 bytes', withChunks(`${name.padEnd(MAX_CHUNK_LINE_BYTES, 'e')}\r\nhello\r\n0\r\n\r\n`), HELLO);
    refuses('a chunk line of 257 bytes', withChunks(`${name.padEnd(MAX_CHUNK_LINE_BYTES + 1, 'e')}\r\nhello\r\n0\r\n\r\n`));
    refuses('a chunk line without end', withChunks(name.padEnd(20_000, 'e')));
    refuses('a chunk size without end', withChunks('0'.repeat(20_000)));
    refuses('more extensions than content', withChunks(`${'1;'.padEnd(200, 'e')}\r\nx\r\n`.repeat(100)));
    takes('trailers of 8 KiB', trailersOf(MAX_TRAILER_BYTES), HELLO);
    refuses('trailers of 8 KiB and 1', trailersOf(MAX_TRAILER_BYTES + 1), 431);
    refuses('many trailers', withTrailers(...Array(1000).fill('X-T: and so on')), 431);
    refuses('trailers without end', withChunks(`0\r\nX-T: ${'t'.repeat(MAX_TRAILER_BYTES)}`), 431);
}

function largeBodies() {
    const full = bytesOf(MAX_BODY_BYTES);
    const coding = ['Transfer-Encoding: chunked'];
    for (const size of [1, 4095, 4096, 65_535, 65_536, 262_144, 524_288]) {
        takesLarge(`a body of ${size} bytes`, withFraming([`Content-Length: ${size}`], full.subarray(0, size)), full.subarray(0, size));
    }
    takesLarge('a body of 1 MiB', withFraming([`Content-Length: ${full.length}`], full), full);
    takesLarge('a chunk of 1 MiB', withFraming(coding, chunked(full)), full);
    takesLarge('1 MiB in chunks of 1000', withFraming(coding, chunked(full, [1000])), full);
    takesLarge('64 KiB in chunks of 1', withFraming(coding, chunked(full.subarray(0, 65_536), [1])), full.subarray(0, 65_536));
    const oneMore = bytesOf(MAX_BODY_BYTES + 1);
    it('1 MiB and 1 is refused, though it is all sent', () => refusesLarge(withFraming([`Content-Length: ${oneMore.length}`], oneMore)));
    it('chunks that come to 1 MiB and 1 are refused', () => refusesLarge(withFraming(coding, chunked(oneMore, [MAX_BODY_BYTES, 1]))));
    it('chunks that come to 8 MiB are refused', () => refusesLarge(withFraming(coding, chunked(bytesOf(8 * MIB), [4096]))));
}

function refusesLarge(bytes) {
    return withConnection(async (client) => {
        const sent = client.write(bytes);
        checkRefusal(await client.readAnswer('POST'), 413);
        await client.readEnd({ sent });
    });
}

/* --------------------------------------------------------------------------------------------------------------- pipelining */

/** The i-th of many requests of all kinds: {bytes, method, body}. */
function assorted(i) {
    const body = `body ${i} `.repeat(i % 7);
    const kinds = [
        { method: 'POST', body, bytes: request('POST', `/${i}`, { body }) }, { method: 'GET', body: '', bytes: request('GET',
        `/${i}`) }, { method: 'HEAD', body, bytes: request('HEAD', `/${i}`, { body }) }, { method: 'PUT', body,
        bytes: message([`PUT /${i} HTTP/1.1`, 'Host: localhost', 'Transfer-Encoding: chunked',
    ], chunked(body, [3])) },
        { method: 'POST', body, bytes: Buffer.concat([Buffer.from('\r\n'), request('POST', `/${i}`, { body })]) },
    ];
    return kinds[i % kinds.length];
}

async function readAll(client, requests, sent) {
    for (const { method, body } of requests) await readEcho(client, body, { method, deadline: HEAVY_MS });
    await readEcho(client, 'behind');
    await client.readEnd({ sent });
}

function pipelining() {
    for (const [count, chop] of [[1000, undefined], [1000, 1009], [200, 7], [20, 1]]) {
        it(`${count} requests of all kinds in pieces of ${chop ?? 'all'}`, () => withConnection(async (client) => {
            const requests = Array.from({ length: count }, (_, i) => assorted(i));
            const sent = client.send(Buffer.concat([...requests.map(({ bytes }) => bytes), BEHIND]), { chop });
            await readAll(client, requests, sent);
        }));
    }
    it('500 requests, one behind the answer to the other', () => withConnection(async (client) => {
        for (let i = 0; i < 500; i++) {
            const { bytes, method, body } = assorted(i);
            await client.write(bytes);
            await readEcho(client, body, { method });
        }
    }));
    it('the server stops reading a client that reads no answer, and answers all in the end', () => withConnection(async (client) => {
        const body = bytesOf(100_000);
        const bytes = request('POST', '/', { body });
        client.socket.pause();
        const count = await writeUntilStalled(client, bytes, 1000);
        const sent = client.write(BEHIND);
        client.socket.resume();
        await readAll(client, Array.from({ length: count }, () => ({ method: 'POST', body })), sent);
    }));
    it('a refused request in the middle: those before are answered, those behind are not', () => withConnection(async (client) => {
        const good = Array.from({ length: 50 }, (_, i) => assorted(i));
        const bytes = good.map((one) => one.bytes);
        await client.write(Buffer.concat([...bytes, withFields('X A: b'), ...bytes]));
        for (const { method, body } of good) await readEcho(client, body, { method });
        checkRefusal(await client.readAnswer(), 400);
        await client.readEnd();
    }));
    it('a request after a refusal and its FIN is taken, not answered, and not reset', () => withConnection(async (client) => {
        await client.write(withFields('X A: b'));
        checkRefusal(await client.readAnswer(), 400);
        assert.equal((await client.readRest(SOON_MS)).length, 0);
        await client.write(BEHIND);
        await client.write(BEHIND);
        assert.equal(client.ended, 'fin');
    }));
    it('1 MiB behind a refused request is no reason to reset', () => withConnection(async (client) => {
        const sent = client.write(Buffer.concat([withFields('X A: b'), Buffer.alloc(MIB, BEHIND)]));
        checkRefusal(await client.readAnswer(), 400);
        await client.readEnd({ sent });
    }));
}

/** Writes `bytes` again and again until the peer stops reading; returns how often, the one that waits included. */
async function writeUntilStalled(client, bytes, most) {
    for (let count = 1; count <= most; count++) {
        const taken = await Promise.race([client.write(bytes).then(() => true), sleep(STALLED_MS, false)]);
        assert.equal(client.ended, undefined);
        if (!taken) return count;
    }
    assert.fail(`the server took ${most} requests of ${bytes.length} bytes from a client that reads nothing`);
}

/* --------------------------------------------------------------------------------------------------------- clients that go */

/** A client that has said all it will say is answered, and then the connection ends. */
function answersHalfClosed(name, bytes, bodies) {
    it(name, () => withConnection(async (client) => {
        await client.write(bytes);
        client.leave();
        for (const body of bodies) await readEcho(client, body);
        assert.equal((await client.readRest(SOON_MS)).length, 0);
        assert.equal(client.ended, 'fin');
    }));
}

/** A client that leaves within a request gets no answer that says it was served. */
function dropsUnfinished(name, bytes) {
    it(name, () => withConnection(async (client) => {
        await client.write(bytes);
        client.leave();
        const rest = await client.readRest(SOON_MS);
        assert.match(rest.toString('latin1'), /^(HTTP\/1\.1 4\d\d |$)/);
        assert.equal(client.ended, 'fin');
    }));
}

function leaving() {
    const post = request('POST', '/', { body: HELLO });
    answersHalfClosed('a FIN behind a request', post, [HELLO]);
    answersHalfClosed('a FIN behind three requests', Buffer.concat([post, BEFORE, post]), [HELLO, 'before', HELLO]);
    answersHalfClosed('a FIN behind a chunked request', withChunks('5\r\nhello\r\n0\r\n\r\n'), [HELLO]);
    answersHalfClosed('a FIN at once', Buffer.alloc(0), []);
    dropsUnfinished('a FIN within a request line', Buffer.from('GET / HT'));
    dropsUnfinished('a FIN within the fields', Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n'));
    dropsUnfinished('a FIN before the body', withLength('5').subarray(0, -HELLO.length));
    dropsUnfinished('a FIN within the body', withLength('6'));
    dropsUnfinished('a FIN behind a chunk', withChunks('5\r\nhello\r\n'));
    dropsUnfinished('a FIN within the trailers', withChunks('5\r\nhello\r\n0\r\nX-T: v\r\n'));
    it('a thousand clients that reset within a request hurt nobody', async () => {
        const partial = withLength('1000');
        for (let round = 0; round < 20; round++) {
            const clients = await Promise.all(Array.from({ length: 50 }, () => RawHttp.open(server.port)));
            await Promise.all(clients.map((client, i) => client.write(partial.subarray(0, 1 + ((round * 50 + i) % partial.length)))));
            for (const client of clients) client.reset();
        }
        await withConnection(async (client) => {
            await client.write(BEHIND);
            await readEcho(client, 'behind', { deadline: SOON_MS });
            await client.readEnd();
        });
    });
}

/* ---------------------------------------------------------------------------------------------------------------- the suite */

function group(name, body, concurrency = 16) {
    describe(name, { concurrency }, body);
}

describe('HTTP/1', () => {
    before(async () => {
        server = await startServer('http');
    });
    after(() => server?.stop());

    group('methods', methods);
    group('targets', targets);
    group('versions', versions);
    group('request lines', requestLines);
    group('fields', fields);
    group('hosts', hosts);
    group('lengths', lengths);
    group('codings', codings);
    group('chunks', chunks);
    group('chunk ends', chunkEnds);
    group('trailers', trailers);
    group('persistence', persistence);
    group('upgrades', upgrades);
    group('HTTP/1.0', oldVersion);
    group('expectations', expectations);
    group('limits', limits, 4);
    group('large bodies', largeBodies, 4);
    group('pipelining', pipelining, 4);
    group('clients that go', leaving, 4);
    it('the server ends on SIGTERM with status 0 and without a report', () => server.stop());
});
