/**
 * The opening handshake (RFC 6455 §4.2, RFC 9112) as bare bytes against `weft-conformance ws`: what must be taken, however it is
 * cut into segments, and what must be refused, with the right status, a closed connection and nothing behind the answer.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { PING, PONG, RawWebSocket, TEXT, acceptFor, closeFrame, frame, told } from './support/raw-websocket.mjs';
import { startServer } from './support/server.mjs';

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const KEY_ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';
const MAX_FIELDS = 100;
const REFUSED = 'anything from 400 to 499';

let server;

/* ---------------------------------------------------------------------------------------------------------------- requests */

const USUAL = {
    Host: 'localhost',
    Upgrade: 'websocket',
    Connection: 'Upgrade',
    'Sec-WebSocket-Key': KEY,
    'Sec-WebSocket-Version': '13',
};

/** A request's bytes. `fields` changes the usual ones (undefined leaves one out, a list repeats it); `lines` come behind, as they are. */
function request({ line = 'GET /chat HTTP/1.1', fields = {}, lines = [], body = '' } = {}) {
    const named = Object.entries({ ...USUAL, ...fields })
        .filter(([, values]) => values !== undefined)
        .flatMap(([name, values]) => [values].flat().map((value) => `${name}: ${value}`));
    return Buffer.from(`${[line, ...named, ...lines].join('\r\n')}\r\n\r\n${body}`, 'latin1');
}

function withFields(fields) {
    return request({ fields });
}

function withLines(...lines) {
    return request({ lines });
}

function withLine(line) {
    return request({ line });
}

function padding(count, bytes = 1) {
    return Array.from({ length: count }, (_, i) => `X-Pad-${i}: ${'p'.repeat(bytes)}`);
}

/* -------------------------------------------------------------------------------------------------------------- the players */

async function withConnection(talk) {
    server.check();
    const client = await RawWebSocket.open(server.port);
    try {
        return await talk(client);
    } finally {
        client.destroy();
    }
}

function only({ fields }, name) {
    const values = fields.get(name.toLowerCase()) ?? [];
    assert.equal(values.length, 1, `${name} comes once, not as [${values}]`);
    return values[0];
}

function checkUpgrade(head, key = KEY, extension = undefined) {
    assert.equal(head.status, 101, head.line);
    assert.equal(only(head, 'Upgrade').toLowerCase(), 'websocket');
    assert.equal(only(head, 'Connection').toLowerCase(), 'upgrade');
    assert.equal(only(head, 'Sec-WebSocket-Accept'), acceptFor(key));
    assert.equal(head.fields.get('sec-websocket-extensions')?.join(), extension);
    for (const name of ['sec-websocket-protocol', 'content-length', 'transfer-encoding']) {
        assert.equal(head.fields.get(name), undefined, `${name} has no place in this answer`);
    }
}

async function checkEcho(client) {
    assert.deepEqual(await client.events(), ['text "echo"', 'close 1000', 'fin']);
}

const TALK = Buffer.concat([frame(TEXT, 'echo'), closeFrame(1000)]);

/** The handshake is taken and the connection works. */
function takes(name, bytes, { key, chop, extension } = {}) {
    it(name, () => withConnection(async (client) => {
        await client.send(bytes, { chop });
        checkUpgrade(await client.readHead(), key, extension);
        await client.send(TALK, { chop });
        await checkEcho(client);
    }));
}

/** The answer's status is the one (a number, a list, or REFUSED); the connection may live on. */
function refuses(name, bytes, status, options) {
    it(name, () => withConnection(async (client) => {
        const sent = client.send(bytes, options);
        checkRefusal(await client.readHead(), status);
        await sent;
    }));
}

/** The answer's status is the one, its body is as long as it says, and then the connection ends. */
function closes(name, bytes, status, options) {
    it(name, () => withConnection(async (client) => {
        const sent = client.send(bytes, options);
        const head = await client.readHead();
        checkRefusal(head, status);
        await checkEnd(client, head);
        await sent;
    }));
}

function checkRefusal(head, status) {
    if (status === REFUSED) assert.ok(head.status >= 400 && head.status < 500, head.line);
    else assert.ok([status].flat().includes(head.status), `${head.line}, not ${status}`);
    assert.equal(head.fields.get('sec-websocket-accept'), undefined);
    for (const name of ['sec-websocket-extensions', 'sec-websocket-protocol']) {
        assert.ok(!head.fields.get(name)?.includes(''), `${name} is empty`);
    }
}

/** Behind the answer's body there is nothing but a FIN. */
async function checkEnd(client, head) {
    const body = await client.readRest();
    assert.equal(client.ended, 'fin');
    assert.ok(!body.includes('HTTP/1.'), `a second answer: ${body}`);
    if (head.fields.has('content-length')) assert.equal(body.length, Number(only(head, 'Content-Length')));
    if (head.status !== 426) assert.match(only(head, 'Connection'), /\bclose\b/i);
}

/** A handshake of the wrong version: 426 and what would be right; a malformed one is 400 and says so too. */
function refusesVersion(name, version, status) {
    it(name, () => withConnection(async (client) => {
        await client.send(withFields({ 'Sec-WebSocket-Version': version }));
        const head = await client.readHead();
        checkRefusal(head, status);
        assert.equal(only(head, 'Sec-WebSocket-Version'), '13');
        if (head.status === 426) {
            assert.equal(only(head, 'Upgrade').toLowerCase(), 'websocket');
            assert.match(only(head, 'Connection'), /\bupgrade\b/i);
        }
        await checkEnd(client, head);
    }));
}

function group(name, body) {
    describe(name, { concurrency: 16 }, body);
}

/* -------------------------------------------------------------------------------------------------------------------- taken */

function taken() {
    it('the key of RFC 6455 gives the answer of RFC 6455', () => assert.equal(acceptFor(KEY), KEY_ACCEPT));
    takes('as in RFC 6455', request());
    takes('octet-wise', request(), { chop: 1 });
    for (const path of ['/', '/a/b/c', '/chat?room=1&x=%20', '/%7Efoo', '//double', '/?', `/${'long'.repeat(1750)}`]) {
        takes(`path ${path.slice(0, 40)}`, withLine(`GET ${path} HTTP/1.1`));
    }
    takes('values in capitals', withFields({ Upgrade: 'WEBSOCKET', Connection: 'UPGRADE' }));
    takes('values in mixed case', withFields({ Upgrade: 'WebSocket', Connection: 'uPgRaDe' }));
    takes('names in lower case', Buffer.from(request().toString().replace(/^[\w-]+:/gm, (name) => name.toLowerCase())));
    takes('names in capitals', Buffer.from(request().toString().replace(/^[\w-]+:/gm, (name) => name.toUpperCase())));
    for (const connection of ['keep-alive, Upgrade', 'Upgrade, keep-alive', 'keep-alive,Upgrade', 'a , upgrade\t, b', ', ,Upgrade']) {
        takes(`Connection: ${JSON.stringify(connection)}`, withFields({ Connection: connection }));
    }
    takes('two Connection fields', withFields({ Connection: ['keep-alive', 'Upgrade'] }));
    takes('blanks around the key', withFields({ 'Sec-WebSocket-Key': ` \t${KEY} \t` }));
    takes('no blank behind the colons', Buffer.from(request().toString().replace(/: /g, ':')));
    takes('another key', withFields({ 'Sec-WebSocket-Key': 'AAAAAAAAAAAAAAAAAAAAAA==' }), { key: 'AAAAAAAAAAAAAAAAAAAAAA==' });
    takes('a key with + and /', withFields({ 'Sec-WebSocket-Key': '+/+/+/+/+/+/+/+/+/+/+w==' }), { key: '+/+/+/+/+/+/+/+/+/+/+w==' });
    takes('an empty line before the request', Buffer.concat([Buffer.from('\r\n'), request()]));
    takes('an empty line before the request, octet-wise', Buffer.concat([Buffer.from('\r\n'), request()]), { chop: 1 });
    takes('fields in the reverse order', reversed());
    takes('a field with bytes over 7f', withLines('X-Name: caf\xe9'));
    takes('an empty field', withLines('X-Empty:'));
    takes('what browsers send', withLines('User-Agent: Mozilla/5.0 (X11; Linux x86_64)', 'Accept-Language: de,en;q=0.5', 'Accept: */*',
        'Pragma: no-cache', 'Cookie: a=b; c=d', 'Sec-Fetch-Mode: websocket', 'DNT: 1'));
    for (const origin of ['http://localhost', 'https://elsewhere.example', 'null', 'file://']) takes(`Origin: ${origin}`, withLines(`Origin: ${origin}`));
    takes('a subprotocol that the server has not', withLines('Sec-WebSocket-Protocol: chat, superchat'));
}

function reversed() {
    return Buffer.from(['GET /chat HTTP/1.1', ...Object.entries(USUAL).reverse().map((field) => field.join(': ')), '', ''].join('\r\n'));
}

function absoluteForm() {
    for (const scheme of ['ws', 'http']) {
        it(`GET ${scheme}://localhost:PORT/ws/chat`, () => withConnection(async (client) => {
            await client.send(withLine(`GET ${scheme}://localhost:${server.port}/ws/chat HTTP/1.1`));
            checkUpgrade(await client.readHead());
            await client.send(TALK);
            await checkEcho(client);
        }));
    }
    takes('an absolute target without a path', withLine('GET ws://localhost HTTP/1.1'));
    takes('an absolute target with a query', withLine('GET ws://localhost/chat?a=b HTTP/1.1'));
}

const DEFLATE = 'permessage-deflate; server_no_context_takeover; client_no_context_takeover';

/* Each with its answer. */
const OFFERS = {
    'permessage-deflate': DEFLATE,
    'permessage-deflate; client_max_window_bits': DEFLATE,
    'permessage-deflate; server_no_context_takeover; client_no_context_takeover': DEFLATE,
    'permessage-deflate; server_max_window_bits=10, permessage-deflate': `${DEFLATE}; server_max_window_bits=10`,
    'permessage-deflate; server_max_window_bits=8, permessage-deflate': DEFLATE,
    'permessage-deflate; client_max_window_bits="12"': `${DEFLATE}; client_max_window_bits=12`,
    'permessage-deflate; unknown=1': undefined,
    'x-webkit-deflate-frame': undefined,
    'permessage-bzip2, foo; bar="a, b"': undefined,
};

function extensions() {
    const field = (offer) => `Sec-WebSocket-Extensions: ${offer}`;
    for (const [offer, extension] of Object.entries(OFFERS)) takes(`${extension ? 'taken' : 'declined'}: ${offer}`, withLines(field(offer)), { extension });
    takes('taken: in the second of two fields', withLines(field('x-webkit-deflate-frame'), field('permessage-deflate')), { extension: DEFLATE });
    takes('taken: an offer of a hundred', withLines(field(Array(100).fill('permessage-deflate').join(', '))), { extension: DEFLATE });
    for (const odd of ['', ',', 'permessage-deflate;', 'permessage-deflate; =', 'permessage-deflate; client_max_window_bits="', ';;;']) {
        it(`malformed: ${JSON.stringify(odd)} is declined or refused`, () => withConnection(async (client) => {
            await client.send(withLines(`Sec-WebSocket-Extensions: ${odd}`));
            const head = await client.readHead();
            if (head.status === 101) checkUpgrade(head);
            else checkRefusal(head, 400);
        }));
    }
}

/* ----------------------------------------------------------------------------------------------------------------- segments */

function segments() {
    const bytes = Buffer.concat([request(), TALK]);
    for (let at = 1; at < bytes.length; at++) it(`cut at ${at}`, () => cutAt(bytes, at));
    it('frames in the segment of the handshake', () => cutAt(bytes, bytes.length));
    it('a hundred messages in the segment of the handshake', () => withConnection(async (client) => {
        const many = Array.from({ length: 100 }, (_, i) => `message ${i}`);
        await client.send(Buffer.concat([request(), ...many.map((text) => frame(TEXT, text)), closeFrame(4001)]));
        checkUpgrade(await client.readHead());
        assert.deepEqual(await client.events(), [...many.map((text) => told(TEXT, text)), 'close 4001', 'fin']);
    }));
    it('a ping in the segment of the handshake', () => withConnection(async (client) => {
        await client.send(Buffer.concat([request(), frame(PING, 'early')]));
        checkUpgrade(await client.readHead());
        assert.equal(await client.next(), told(PONG, 'early'));
    }));
    it('a violation in the segment of the handshake', () => withConnection(async (client) => {
        await client.send(Buffer.concat([request(), frame(TEXT, 'fine'), frame(3)]));
        checkUpgrade(await client.readHead());
        assert.deepEqual(await client.events(), ['text "fine"', 'close 1002', 'fin']);
    }));
    it('a large message in the segment of the handshake', () => withConnection(async (client) => {
        const text = 'x'.repeat(300_000);
        const sent = client.send(Buffer.concat([request(), frame(TEXT, text), closeFrame(1000)]));
        checkUpgrade(await client.readHead());
        assert.deepEqual(await client.events(), [told(TEXT, text), 'close 1000', 'fin']);
        await sent;
    }));
}

async function cutAt(bytes, at) {
    await withConnection(async (client) => {
        await client.send(bytes, { chop: at });
        checkUpgrade(await client.readHead());
        await checkEcho(client);
    });
}

/* ------------------------------------------------------------------------------------------------------------------ refused */

function keysAndVersions() {
    const keys = {
        missing: undefined,
        empty: '',
        repeated: [KEY, KEY],
        'of 15 bytes': 'AAAAAAAAAAAAAAAAAAAA',
        'of 17 bytes': 'AAAAAAAAAAAAAAAAAAAAAAA=',
        'of 18 bytes': 'AAAAAAAAAAAAAAAAAAAAAAAA',
        short: 'AAAA',
        long: 'A'.repeat(1000),
        'without padding': KEY.slice(0, 22),
        'with half its padding': KEY.slice(0, 23),
        'with a letter outside of base64': KEY.replace('G', '!'),
        'in the URL alphabet': '-_-_-_-_-_-_-_-_-_-_-w==',
        'with a blank inside': `${KEY.slice(0, 8)} ${KEY.slice(8)}`,
        'with padding inside': 'AAAAAAAAAAAAAAAAAAAA==AA',
    };
    for (const [what, key] of Object.entries(keys)) closes(`key ${what}`, withFields({ 'Sec-WebSocket-Key': key }), 400);
    refusesVersion('version missing', undefined, 400);
    refusesVersion('version 8', '8', 426);
    refusesVersion('version 14', '14', 426);
    refusesVersion('version 0', '0', 426);
    refusesVersion('version 7', '7', 426);
    refusesVersion('version 255', '255', 426);
    refusesVersion('version that is no number', 'abc', [400, 426]);
    refusesVersion('version empty', '', [400, 426]);
    refusesVersion('version 13 and 8', '13, 8', [400, 426]);
    refusesVersion('version 13 twice', ['13', '13'], [400, 426]);
    refusesVersion('version 113', '113', [400, 426]);
    refusesVersion('version 130', '130', [400, 426]);
    refusesVersion('version 1', '1', 426);
}

function otherRequests() {
    for (const method of ['POST', 'PUT', 'HEAD', 'OPTIONS', 'DELETE', 'get', 'FOO']) {
        refuses(`method ${method}`, withLine(`${method} /chat HTTP/1.1`), REFUSED_OR_UNKNOWN);
    }
    refuses('HTTP/1.0', withLine('GET /chat HTTP/1.0'), REFUSED);
    refuses('HTTP/1.0 without a host', request({ line: 'GET /chat HTTP/1.0', fields: { Host: undefined } }), REFUSED);
    refuses('no Upgrade', withFields({ Upgrade: undefined }), REFUSED);
    refuses('no Connection', withFields({ Connection: undefined }), REFUSED);
    refuses('Connection without Upgrade', withFields({ Connection: 'keep-alive' }), REFUSED);
    refuses('Connection with something like Upgrade', withFields({ Connection: 'Upgraded, xUpgrade' }), REFUSED);
    refuses('Upgrade: h2c', withFields({ Upgrade: 'h2c', Connection: 'Upgrade, HTTP2-Settings' }), REFUSED);
    refuses('Upgrade to something like websocket', withFields({ Upgrade: 'websockets' }), REFUSED);
    refuses('a plain GET', Buffer.from('GET /chat HTTP/1.1\r\nHost: localhost\r\n\r\n'), REFUSED);
}

const REFUSED_OR_UNKNOWN = [400, 404, 405, 426, 501];

function malformedLines() {
    const lines = ['GET /chat', 'GET', 'GET /chat HTTP/2.0', 'GET /chat HTTP/1', 'GET /chat HTTP/1.', 'GET /chat HTTP/1.1x', 'GET /chat http/1.1',
        'GET /chat FTP/1.1', 'GET  /chat HTTP/1.1', 'GET /chat  HTTP/1.1', 'GET\t/chat HTTP/1.1', 'GET /chat HTTP/1.1 ', ' GET /chat HTTP/1.1',
        'GET /ch at HTTP/1.1', 'GET /ch\tat HTTP/1.1', 'GET /ch\0at HTTP/1.1', 'GET /ch\x7fat HTTP/1.1', 'GET chat HTTP/1.1', 'GET * HTTP/1.1',
        'GET localhost:80 HTTP/1.1', 'G(T /chat HTTP/1.1', 'G\0T /chat HTTP/1.1', '/chat HTTP/1.1', '\0\0\0'];
    for (const line of lines) closes(`request line ${JSON.stringify(line)}`, withLine(line), line.includes('HTTP/2.0') ? [400, 505] : 400);
    closes('a TLS hello', Buffer.from('16030100c8010000c40303' + '00'.repeat(200) + '0d0a0d0a', 'hex'), 400);
}

function malformedFields() {
    closes('no Host', withFields({ Host: undefined }), 400);
    closes('two Hosts', withFields({ Host: ['localhost', 'localhost'] }), 400);
    closes('an empty Host', withFields({ Host: '' }), 400);
    closes('bare LF everywhere', Buffer.from(request().toString().replace(/\r\n/g, '\n')), 400);
    closes('bare LF behind the request line', Buffer.from(request().toString().replace('\r\n', '\n')), 400);
    closes('bare LF in a value', withLines('X-A: b\nX-C: d'), 400);
    closes('bare CR in a value', withLines('X-A: b\rX-C: d'), 400);
    closes('CR CR LF', withLines('X-A: b\r'), 400);
    closes('NUL in a value', withLines('X-A: b\0'), 400);
    closes('a control byte in a value', withLines('X-A: b\x01c'), 400);
    closes('DEL in a value', withLines('X-A: b\x7fc'), 400);
    closes('obs-fold', withLines('X-A: b', ' folded'), 400);
    closes('obs-fold by a tab', withLines('X-A: b', '\tfolded'), 400);
    closes('a blank before the first field', Buffer.from(request().toString().replace('Host', ' Host')), 400);
    closes('a blank before the colon', withLines('X-A : b'), 400);
    closes('a tab before the colon', withLines('X-A\t: b'), 400);
    closes('a blank in a name', withLines('X A: b'), 400);
    closes('no colon', withLines('X-A'), 400);
    closes('no name', withLines(': b'), 400);
    closes('a name in brackets', withLines('(X): b'), 400);
    closes('a name with bytes over 7f', withLines('caf\xe9: b'), 400);
    closes('NUL in a name', withLines('X\0A: b'), 400);
}

function bodies() {
    closes('a body', request({ lines: ['Content-Length: 5'], body: 'hello' }), 400);
    closes('a chunked body', request({ lines: ['Transfer-Encoding: chunked'], body: '5\r\nhello\r\n0\r\n\r\n' }), 400);
    closes('Content-Length with Transfer-Encoding', request({ lines: ['Content-Length: 5', 'Transfer-Encoding: chunked'], body: '0\r\n\r\n' }), 400);
    closes('two lengths', request({ lines: ['Content-Length: 5', 'Content-Length: 6'], body: 'hello' }), 400);
    for (const length of ['+5', '-5', '5, 6', '0x5', '5 5', 'five', '18446744073709551621']) {
        closes(`Content-Length: ${length}`, request({ lines: [`Content-Length: ${length}`], body: 'hello' }), 400);
    }
    closes('a transfer coding that nobody knows', request({ lines: ['Transfer-Encoding: zip, chunked'], body: '0\r\n\r\n' }), [400, 501]);
}

/* ------------------------------------------------------------------------------------------------------------------- limits */

function limits() {
    const others = Object.keys(USUAL).length;
    takes(`${MAX_FIELDS} fields`, withLines(...padding(MAX_FIELDS - others)));
    closes(`${MAX_FIELDS + 1} fields`, withLines(...padding(MAX_FIELDS + 1 - others)), 431);
    closes('a thousand fields', withLines(...padding(1000)), 431);
    closes('a thousand fields of nothing', withLines(...Array(1000).fill('a:')), 431);
    closes('a flood of fields in small pieces', withLines(...padding(200)), 431, { chop: 16 });
    closes('fields without end', Buffer.from(['GET / HTTP/1.1', ...padding(90, 1000)].join('\r\n')), 431);
    takes('15 KiB of fields', withLines(...padding(15, 1000)));
    closes('20 KiB of fields', withLines(...padding(20, 1000)), 431);
    closes('one field of 20 KiB', withLines(...padding(1, 20_000)), 431);
    closes('one field of 1 MiB', withLines(...padding(1, 1 << 20)), 431);
    closes('a field name of 20 KiB', withLines(`${'n'.repeat(20_000)}: x`), 431);
    closes('a request line of 9 KiB', withLine(`GET /${'p'.repeat(9000)} HTTP/1.1`), 414);
    closes('a request line of 1 MiB', withLine(`GET /${'p'.repeat(1 << 20)} HTTP/1.1`), 414);
    closes('a request line without end', Buffer.from(`GET /${'p'.repeat(9000)}`), 414);
    takes('a request line just under 8 KiB', withLine(`GET /${'p'.repeat(8100)} HTTP/1.1`));
}

/* ------------------------------------------------------------------------------------------------------- behind a refusal */

function behindRefusals() {
    const second = request();
    closes('a second request behind a wrong version is not answered',
        Buffer.concat([withFields({ 'Sec-WebSocket-Version': '8' }), second]), 426);
    closes('a second request behind a missing key is not answered', Buffer.concat([withFields({ 'Sec-WebSocket-Key': undefined }), second]), 400);
    closes('a second request behind a malformed one is not answered', Buffer.concat([withLines('X A: b'), second]), 400);
    closes('frames behind a wrong version are not answered', Buffer.concat([withFields({ 'Sec-WebSocket-Version': '8' }), TALK]), 426);
    closes('1 MiB behind a malformed request is no reason to reset', Buffer.concat([withLines('X A: b'), Buffer.alloc(1 << 20)]), 400);
    it('a request after the refusal and its FIN is taken, not answered, and not reset', () => withConnection(async (client) => {
        await client.send(withLines('X A: b'));
        const head = await client.readHead();
        checkRefusal(head, 400);
        await checkEnd(client, head);
        await client.write(second);
        await client.write(second);
        assert.equal(client.ended, 'fin');
    }));
    it('a client that leaves inside its head is let go', () => withConnection(async (client) => {
        await client.send(request().subarray(0, 40));
        client.leave();
        await client.readRest();
        assert.equal(client.ended, 'fin');
    }));
    it('the next connection is served after all that', () => withConnection(async (client) => {
        await client.send(Buffer.concat([second, TALK]));
        checkUpgrade(await client.readHead());
        await checkEcho(client);
    }));
}

/* ---------------------------------------------------------------------------------------------------------------- the suite */

describe('opening handshake', () => {
    before(async () => {
        server = await startServer('ws');
    });
    after(() => server?.stop());

    group('taken', taken);
    group('absolute form', absoluteForm);
    group('extensions', extensions);
    group('segments', segments);
    group('keys and versions', keysAndVersions);
    group('other requests', otherRequests);
    group('malformed request lines', malformedLines);
    group('malformed fields', malformedFields);
    group('bodies', bodies);
    group('limits', limits);
    group('behind refusals', behindRefusals);
    it('the server ends on SIGTERM with status 0 and without a report', () => server.stop());
});
