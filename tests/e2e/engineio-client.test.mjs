/**
 * npm's `engine.io-client`, as it is, against `weft-conformance engineio-client`: an echo that takes no more than 100 bytes and knows
 * a few words.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { Fetch, NodeWebSocket, NodeXHR, Socket, WebSocket as BuiltInWebSocket } from 'engine.io-client';
import { ask, startConformance } from './support/engineio.mjs';
import { collect, next } from './support/events.mjs';

const MAX_PAYLOAD = 100;
const UTF8 = 'пойду спать всем спокойной ночи';
const TEXTS = [
    'plain', ' ', UTF8, 'cash money €€€', '\u{10000}-\u{DBFFF}\u{10FFFF}-\uE000\uF8FF', '\0\x01\x7f', '\x1d\x1f',
    '{"4":"\\n"}',
];
const NOTHING_IN_NODE = typeof WebSocket === 'undefined' && 'this node has no WebSocket of its own';

let server;

before(async () => (server = await startConformance(null, 'engineio-client')));
after(() => server.stop());

function start(t, options, at = server) {
    const socket = new Socket(at.url, options);
    t.after(() => socket.close());
    socket.binaryType = 'arraybuffer';
    socket.texts = collect(socket, 'message');
    return socket;
}

/** A socket that is open and has been greeted. */
async function open(t, options, at) {
    const socket = start(t, options, at);
    await next(socket, 'open');
    assert.deepEqual(await socket.texts.take(1), ['hi']);
    return socket;
}

async function openUpgraded(t, options) {
    const socket = start(t, options);
    await next(socket, 'upgrade');
    assert.deepEqual(await socket.texts.take(1), ['hi']);
    assert.equal(socket.transport.name, 'websocket');
    return socket;
}

const WAYS = {
    polling: (t, options) => open(t, { transports: ['polling'], ...options }),
    websocket: (t, options) => open(t, { transports: ['websocket'], ...options }),
    'polling, then websocket': openUpgraded,
    'polling by fetch': (t, options) => open(t, { transports: [Fetch], ...options }),
};

const bytesOf = (messages) => messages.map((data) => (typeof data === 'string' ? data : [...new Uint8Array(data)]));

/** What an error of polling holds, which is only there while it is told. */
function tellRequest({ type, message, description, context }) {
    return [type, message, description, context.readyState, context.responseText];
}

/* ----------------------------------------------------------------------------------------------------------------- messages */

function talks([way, openBy]) {
    describe(`messages by ${way}`, () => {
        it('come back, whatever characters they hold', async (t) => {
            const socket = await openBy(t);
            for (const text of TEXTS) {
                socket.send(text);
                assert.deepEqual(await socket.texts.take(1), [text]);
            }
        });

        it('come back in order', async (t) => {
            const socket = await openBy(t);
            const sent = Array.from({ length: 300 }, (_, i) => `message ${i}`);
            for (const text of sent) socket.send(text);
            assert.deepEqual(await socket.texts.take(300), sent);
        });

        for (const [kind, make] of [
            ['Buffer', (bytes) => Buffer.from(bytes)],
            ['ArrayBuffer', (bytes) => Uint8Array.from(bytes).buffer],
            ['Int8Array', (bytes) => Int8Array.from(bytes)],
            ['a window on an ArrayBuffer', (bytes) => Uint8Array.from([9, 9, ...bytes, 9]).subarray(2, 2 + bytes.length)],
        ]) {
            it(`come back as binary: ${kind}`, async (t) => {
                const socket = await openBy(t);
                for (const bytes of [[1], [0, 1, 2, 3, 4], [...randomBytes(64)]]) {
                    socket.send(make(bytes));
                    assert.deepEqual(bytesOf(await socket.texts.take(1)), [bytes]);
                }
            });
        }

        it('come back in order when text and binary take turns', async (t) => {
            const socket = await openBy(t);
            const sent = Array.from({ length: 60 }, (_, i) => (i % 2 ? `€ ${i}` : [0, i, 255]));
            for (const data of sent) socket.send(typeof data === 'string' ? data : Uint8Array.from(data));
            assert.deepEqual(bytesOf(await socket.texts.take(60)), sent);
        });

        it('come back as binary that is sent as base64', async (t) => {
            const socket = await openBy(t, { forceBase64: true });
            socket.send(Buffer.from([0, 1, 2, 3, 4]));
            assert.deepEqual(bytesOf(await socket.texts.take(1)), [[0, 1, 2, 3, 4]]);
        });

        it('of the server: binary and text', async (t) => {
            const socket = await openBy(t);
            socket.send('give binary');
            socket.send('give utf8');
            assert.deepEqual(bytesOf(await socket.texts.take(2)), [[0, 1, 2, 3, 4], UTF8]);
        });

        it('come back from payloads that the client fills as far as it may', async (t) => {
            const socket = await openBy(t);
            const sent = [
                'a'.repeat(99), 'b'.repeat(30), 'c'.repeat(30), 'd'.repeat(35), '€'.repeat(33), 'f'.repeat(99),
            ];
            for (const text of sent) socket.send(text);
            assert.deepEqual(await socket.texts.take(6), sent);
        });

        it('come back as binary from payloads that the client fills', async (t) => {
            const socket = await openBy(t);
            const sent = [randomBytes(72), randomBytes(20), 'a'.repeat(20), randomBytes(20), randomBytes(72)];
            for (const data of sent) socket.send(data);
            assert.deepEqual(bytesOf(await socket.texts.take(5)), bytesOf(sent));
        });

        it('go on between heartbeats', async (t) => {
            const socket = await openBy(t);
            const beats = collect(socket, 'ping');
            await beats.take(3);
            socket.send('still here');
            assert.deepEqual(await socket.texts.take(1), ['still here']);
        });
    });
}

Object.entries(WAYS).forEach(talks);

/* ------------------------------------------------------------------------------------------------------------------ opening */

describe('opening', () => {
    it('has what the server says in its handshake', async (t) => {
        const socket = start(t, { transports: ['polling'] });
        const [handshake] = await next(socket, 'handshake');
        assert.deepEqual(Object.keys(handshake), ['sid', 'upgrades', 'pingInterval', 'pingTimeout', 'maxPayload']);
        assert.deepEqual([handshake.pingInterval, handshake.pingTimeout, handshake.maxPayload], [500, 20_000, MAX_PAYLOAD]);
        assert.equal(socket.id, handshake.sid);
    });

    it('begins with polling and upgrades', async (t) => {
        const socket = start(t);
        assert.equal(socket.transport.name, 'polling');
        const [probed] = await next(socket, 'upgrading');
        assert.equal(probed.name, 'websocket');
        const [upgraded] = await next(socket, 'upgrade');
        assert.equal(upgraded.name, 'websocket');
    });

    it('stays on polling when it is told to', async (t) => {
        const socket = await open(t, { upgrade: false });
        await collect(socket, 'ping').take(2);
        assert.equal(socket.transport.name, 'polling');
    });

    it('remembers that an upgrade went well', async (t) => {
        const first = await openUpgraded(t);
        first.close();
        const second = start(t, { rememberUpgrade: true });
        assert.equal(second.transport.name, 'websocket');
        await next(second, 'open');
        assert.deepEqual(await second.texts.take(1), ['hi']);
    });

    for (const [name, transport, skip] of [
        ['XMLHttpRequest for node', NodeXHR],
        ['fetch', Fetch],
        ['ws', NodeWebSocket],
        ["node's own WebSocket", BuiltInWebSocket, NOTHING_IN_NODE],
    ]) {
        it(`opens by ${name}`, { skip }, async (t) => {
            const socket = await open(t, { transports: [transport] });
            socket.send('hello');
            assert.deepEqual(await socket.texts.take(1), ['hello']);
        });
    }

    it('opens a hundred sockets at once', async (t) => {
        const sockets = await Promise.all(Array.from({ length: 100 }, () => openUpgraded(t)));
        sockets.forEach((socket, i) => socket.send(`socket ${i}`));
        const echoes = await Promise.all(sockets.map((socket) => socket.texts.take(1)));
        assert.deepEqual(echoes, sockets.map((_, i) => [`socket ${i}`]));
        assert.equal(new Set(sockets.map(({ id }) => id)).size, 100);
    });

    it('loses nothing of what is sent while it upgrades', async (t) => {
        const socket = start(t);
        await next(socket, 'open');
        const sent = [];
        const send = () => {
            sent.push(`message ${sent.length}`);
            socket.send(sent.at(-1));
        };
        let upgraded = false;
        socket.on('upgrade', () => (upgraded = true));
        for (let i = 0; i < 20; i++) send();
        socket.on('message', () => (upgraded ? sent.length < 200 : true) && sent.length < 5000 && send());
        await next(socket, 'upgrade');
        const texts = ['hi'];
        while (texts.length <= 200) texts.push(...(await socket.texts.take(1)).filter((text) => text !== 'hi'));
        assert.deepEqual(texts.slice(1), sent.slice(0, 200));
    });
});

describe('a request that is denied', () => {
    const denied = { query: { deny: 1 } };

    it('fails with 403 over polling', async (t) => {
        const socket = start(t, { transports: ['polling'], ...denied });
        const told = await next(socket, 'error', tellRequest);
        assert.deepEqual(told, ['TransportError', 'xhr poll error', 403, 4, '{"code":4,"message":"Forbidden"}']);
    });

    it('fails over WebSocket', async (t) => {
        const socket = start(t, { transports: ['websocket'], ...denied });
        const [error] = await next(socket, 'error');
        assert.deepEqual([error.type, error.message], ['TransportError', 'websocket error']);
    });

    it('is 403 with its code in the body', async () => {
        const { status, headers, body } = await ask(`${server.url}/engine.io/?EIO=4&transport=polling&deny=1`);
        assert.deepEqual([status, body], [403, '{"code":4,"message":"Forbidden"}']);
        assert.equal(headers['content-type'], 'application/json');
    });

    for (const transports of [['websocket', 'polling'], ['polling', 'websocket']]) {
        it(`by ${transports[0]} is followed by one by ${transports[1]}`, async (t) => {
            const transportOptions = { [transports[0]]: denied };
            const socket = await open(t, { transports, transportOptions, tryAllTransports: true });
            assert.equal(socket.transport.name, transports[1]);
        });
    }

    it('is the end without tryAllTransports', async (t) => {
        const transportOptions = { polling: denied };
        const socket = start(t, { transports: ['polling', 'websocket'], transportOptions });
        const [{ message }] = await next(socket, 'error');
        assert.equal(message, 'xhr poll error');
    });
});

/* ------------------------------------------------------------------------------------------------------- cookies and headers */

describe('cookies', () => {
    it('are set by the handshake alone', async () => {
        const url = `${server.url}/engine.io/?EIO=4&transport=polling`;
        const { headers, body } = await ask(url);
        const [first, second, third, fourth, ...rest] = headers['set-cookie'];
        const expected = ['1=1; Max-Age=86400', '2=2; Path=/; HttpOnly; Secure; SameSite=Strict', '3=3; Max-Age=0'];
        assert.deepEqual([first, second, third], expected);
        assert.match(fourth, /^4=4; Expires=\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$/);
        assert.deepEqual(rest, []);
        const polled = await ask(`${url}&sid=${JSON.parse(body.slice(1)).sid}`);
        assert.equal(polled.headers['set-cookie'], undefined);
    });

    async function sentHeaders(t, options) {
        const socket = await open(t, { transports: ['polling'], ...options });
        await collect(socket, 'ping').take(1); /* by when cookies that have lapsed are gone */
        socket.send('sendHeaders');
        return JSON.parse((await socket.texts.take(1))[0]);
    }

    it('come back with withCredentials', async (t) => {
        const { cookie } = await sentHeaders(t, { withCredentials: true });
        assert.equal(cookie, '1=1; 2=2');
    });

    it('do not come back without', async (t) => {
        const { cookie } = await sentHeaders(t, { withCredentials: false });
        assert.equal(cookie, undefined);
    });

    it('come with headers of the client', async (t) => {
        const headers = await sentHeaders(t, { extraHeaders: { 'X-Custom': 'my token', Cookie: 'own=1' } });
        assert.deepEqual([headers['x-custom'], headers.cookie], ['my token', 'own=1']);
        assert.equal(headers.host, server.host);
        assert.match(headers['content-type'], /^text\/plain/i);
    });

    it('of the handshake come with a WebSocket too', async (t) => {
        const socket = start(t, { transports: ['websocket'] });
        const fields = new Promise((resolve) => socket.transport.ws.on('upgrade', ({ headers }) => resolve(headers['set-cookie'])));
        await next(socket, 'open');
        assert.match((await fields)[0], /^1=1; Max-Age=86400/);
    });
});

it('CORS is off', async () => {
    const { headers } = await ask(`${server.url}/engine.io/?EIO=4&transport=polling`, { headers: { origin: server.url } });
    assert.equal(headers['access-control-allow-origin'], undefined);
});

/* ------------------------------------------------------------------------------------------------------------------ closing */

describe('closing', () => {
    it('tells the reason of a message that is too large over polling', async (t) => {
        const socket = await open(t, { transports: ['polling'] });
        const closed = next(socket, 'close');
        const failed = next(socket, 'error', tellRequest);
        socket.send('a'.repeat(MAX_PAYLOAD + 1));
        assert.deepEqual(await failed, ['TransportError', 'xhr post error', 413, 4, '']);
        const [reason, details] = await closed;
        assert.equal(reason, 'transport error');
        assert.ok(details instanceof Error);
    });

    it('tells it over WebSocket', async (t) => {
        const socket = await open(t, { transports: ['websocket'] });
        const closed = next(socket, 'close');
        socket.send('a'.repeat(MAX_PAYLOAD + 1));
        const [reason, { description, context }] = await closed;
        assert.deepEqual([reason, description], ['transport close', 'websocket connection closed']);
        assert.deepEqual([context.code, context.reason, context.wasClean], [1009, '', true]);
    });

    it('lets a message as large as may be through', async (t) => {
        for (const transport of ['polling', 'websocket']) {
            const socket = await open(t, { transports: [transport] });
            socket.send('a'.repeat(MAX_PAYLOAD - 1));
            assert.deepEqual(await socket.texts.take(1), ['a'.repeat(MAX_PAYLOAD - 1)]);
        }
    });

    it('tells that a session is unknown over polling', async (t) => {
        const socket = start(t, { transports: ['polling'], query: { sid: 'abc' } });
        const closed = next(socket, 'close');
        const told = await next(socket, 'error', tellRequest);
        assert.deepEqual(told, ['TransportError', 'xhr poll error', 400, 4, '{"code":1,"message":"Session ID unknown"}']);
        const [reason, details] = await closed;
        assert.equal(reason, 'transport error');
        assert.ok(details instanceof Error);
    });

    it('tells it over WebSocket', async (t) => {
        const socket = start(t, { transports: ['websocket'], query: { sid: 'abc' } });
        const closed = next(socket, 'close');
        const [error] = await next(socket, 'error');
        assert.deepEqual([error.type, error.message, error.description.type], ['TransportError', 'websocket error', 'error']);
        assert.equal((await closed)[0], 'transport error');
    });

    for (const [way, openBy] of Object.entries(WAYS)) {
        it(`by the client, ${way}`, async (t) => {
            const socket = await openBy(t);
            const { id } = socket;
            const closed = next(socket, 'close');
            socket.close();
            assert.equal((await closed)[0], 'forced close');
            await forgotten(id);
        });
    }

    async function forgotten(sid) {
        const url = `${server.url}/engine.io/?EIO=4&transport=polling&sid=${sid}`;
        for (let body = ''; body !== '{"code":1,"message":"Session ID unknown"}'; ) {
            ({ body } = await ask(url, { method: 'POST', body: '6' }));
        }
    }

    it('waits for the upgrade that is under way', async (t) => {
        const socket = start(t);
        let upgraded = false;
        socket.on('upgrade', () => (upgraded = true));
        const closed = next(socket, 'close');
        await next(socket, 'upgrading');
        socket.close();
        assert.equal((await closed)[0], 'forced close');
        assert.ok(upgraded);
    });

    it('takes what was sent before, while an upgrade is under way', async (t) => {
        const socket = start(t);
        const closed = next(socket, 'close');
        await next(socket, 'upgrading');
        socket.send('last words');
        socket.close();
        await closed;
        assert.deepEqual(socket.writeBuffer, []);
    });

    it('follows when an upgrade fails', async (t) => {
        const socket = start(t);
        const failed = next(socket, 'upgradeError');
        const closed = next(socket, 'close');
        socket.once('upgrading', (transport) => {
            socket.close();
            transport.onError('an error of the test');
        });
        await failed;
        await closed;
    });

    for (const way of ['polling', 'websocket']) {
        it(`comes with the end of the server, by ${way}`, async (t) => {
            const other = await startConformance(t, 'engineio-client');
            const socket = await open(t, { transports: [way] }, other);
            const closed = next(socket, 'close');
            other.kill();
            assert.match((await closed)[0], /^transport (error|close)$/);
        });

        it(`comes when the server is told to stop, by ${way}`, async (t) => {
            const other = await startConformance(t, 'engineio-client');
            const socket = await open(t, { transports: [way] }, other);
            const closed = next(socket, 'close');
            await other.stop();
            assert.match((await closed)[0], /^transport (error|close)$/);
        });
    }
});
