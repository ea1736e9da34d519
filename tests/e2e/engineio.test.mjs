/**
 * Engine.IO 4 packet by packet, over HTTP requests and WebSockets, against `weft-conformance engineio`: an echo that pings each
 * 300 ms and waits 200 ms for the pong.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import http from 'node:http';
import { after, before, describe, it } from 'node:test';
import { becomesTrue, within } from './support/program.mjs';
import { BINARY, CLOSE, RawWebSocket, TEXT, closePayload, frame, fragments, handshake } from './support/raw-websocket.mjs';
import { ask, askRoughly, openSession, openWire, packetsOf, payload, startConformance, Wire } from './support/engineio.mjs';

const PING_INTERVAL_MS = 300;
const PING_TIMEOUT_MS = 200;
const UPGRADE_TIMEOUT_MS = 10_000;
const EARLY_MS = 5; /* that clocks may differ by */
const MAX_PAYLOAD = 1_000_000;
const POLLING = '?EIO=4&transport=polling';
const WEBSOCKET = '?EIO=4&transport=websocket';
const TEXTS = [
    '4hello', '4', '4 ', '4пойду спать', '4\u{1F600}-\uDBFF\uDFFF', '4{"a":[1,"\\n"]}', '4\0\x01\x1f\x7f',
    `4${'x'.repeat(100_000)}`,
];

let server;

before(async () => (server = await startConformance(null, 'engineio')));
after(() => server.stop());

const at = (query) => `${server.url}/engine.io/${query}`;

const error = (code) => {
    const sentences = [
        'Transport unknown', 'Session ID unknown', 'Bad handshake method', 'Bad request', 'Forbidden',
        'Unsupported protocol version',
    ];
    return JSON.stringify({ code, message: sentences[code] });
};

async function refused(code, query, options) {
    const { status, headers, body } = await ask(at(query), options);
    assert.deepEqual([status, body], [400, error(code)], query);
    assert.equal(headers['content-type'], 'application/json');
}

function isOpenPacket(opened, upgrades) {
    const { sid, ...rest } = opened;
    assert.ok(typeof sid === 'string' && sid.length >= 20, sid);
    assert.match(sid, /^[\w-]+$/);
    assert.deepEqual(rest, { upgrades, pingInterval: PING_INTERVAL_MS, pingTimeout: PING_TIMEOUT_MS, maxPayload: MAX_PAYLOAD });
    assert.deepEqual(Object.keys(opened), ['sid', 'upgrades', 'pingInterval', 'pingTimeout', 'maxPayload']);
}

/** A malformed request may be refused, or the connection broken; either way that was the session's end. */
function broke({ status }) {
    assert.ok([200, 400, 'ECONNRESET', 'EPIPE', 'socket hang up'].includes(status), status);
}

/* -------------------------------------------------------------------------------------------------------------- handshakes */

describe('handshake over polling', () => {
    it('opens a session', async () => {
        const { headers, opened } = await openSession(server);
        isOpenPacket(opened, ['websocket']);
        assert.equal(headers['content-type'], 'text/plain; charset=UTF-8');
        assert.equal(headers['cache-control'], 'no-store');
        assert.match(headers['content-length'], /^\d+$/);
        assert.equal(headers['access-control-allow-origin'], '*');
        assert.equal(headers['set-cookie'], undefined);
    });

    it('takes its parameters in any order, with others among them', async () => {
        for (const query of [
            '?transport=polling&EIO=4', '?t=abc123&EIO=4&transport=polling&b=%F0%9F%98%80&a',
            '?EIO=4&&transport=polling&',
        ]) {
            const { status, body } = await ask(at(query));
            assert.deepEqual([status, body[0]], [200, '0'], query);
        }
    });

    it('gives each session an id of its own', async () => {
        const sessions = await Promise.all(Array.from({ length: 100 }, () => openSession(server)));
        assert.equal(new Set(sessions.map(({ sid }) => sid)).size, 100);
    });

    for (const query of [
        '?transport=polling', '?EIO=abc&transport=polling', '?EIO=3&transport=polling', '?EIO=5&transport=polling',
        '?EIO=&transport=polling', '?EIO=44&transport=polling',
    ]) {
        it(`refuses the protocol version of ${query}`, () => refused(5, query));
    }

    for (const query of [
        '?EIO=4', '?EIO=4&transport=abc', '?EIO=4&transport=', '?EIO=4&transport=webtransport',
        '?EIO=4&transport=Polling', '', '?',
    ]) {
        it(`refuses the transport of ${query || 'no query'}`, () => refused(0, query));
    }

    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH']) {
        it(`refuses ${method}`, () => refused(2, POLLING, { method, headers: { 'content-length': 0 } }));
    }

    it('refuses HEAD', async () => assert.equal((await ask(at(POLLING), { method: 'HEAD' })).status, 400));

    it('refuses the transport websocket without an upgrade', () => refused(3, WEBSOCKET));

    for (const sid of ['abc', '0', '__proto__', 'constructor', '%00', 'x'.repeat(5000), '%F0%9F%98%80']) {
        it(`does not know the session ${sid.slice(0, 20)}`, async () => {
            await refused(1, `${POLLING}&sid=${sid}`);
            await refused(1, `${POLLING}&sid=${sid}`, { method: 'POST', body: '4hello' });
        });
    }

    it('takes an empty session id for none', async () => {
        const { status, body } = await ask(at(`${POLLING}&sid=`));
        assert.deepEqual([status, body[0]], [200, '0']);
    });
});

describe('handshake over WebSocket', () => {
    it('opens a session', async () => {
        const wire = await openWire(server);
        isOpenPacket(wire.opened, []);
        wire.close();
    });

    it('opens when a frame comes in one segment with the handshake', async () => {
        const raw = await RawWebSocket.open(server.port);
        const key = randomBytes(16).toString('base64');
        await raw.write(Buffer.concat([handshake(server.port, key, `/engine.io/${WEBSOCKET}`), frame(TEXT, '6')]));
        await raw.readUpgrade(key);
        assert.match(await raw.next(), /^text of \d+ bytes|^text "0/);
        await raw.write(frame(BINARY, 'bytes'));
        assert.equal(await raw.next(), 'binary 6279746573');
        raw.destroy();
    });

    for (const query of [
        '?transport=websocket', '?EIO=abc&transport=websocket', '?EIO=3&transport=websocket', '?EIO=4',
        '?EIO=4&transport=abc', `${WEBSOCKET}&sid=abc`, `${WEBSOCKET}&sid=__proto__`,
    ]) {
        it(`refuses ${query}`, async () => {
            const wire = new Wire(`ws://${server.host}/engine.io/${query}`);
            await wire.until(() => wire.end, 'an end');
            assert.deepEqual(wire.came, []);
        });
    }

    for (const query of ['?EIO=4', '?EIO=4&transport=abc', `${WEBSOCKET}&sid=abc`]) {
        it(`says 400 to ${query}`, async () => {
            const wire = new Wire(`ws://${server.host}/engine.io/${query}`);
            const { status, body } = await wire.ended();
            assert.equal(status, 400);
            assert.match(body, query.includes('sid') ? /Session ID unknown/ : /Transport unknown/);
        });
    }
});

/* ------------------------------------------------------------------------------------------------------------------ polling */

describe('messages over polling', () => {
    for (const text of TEXTS) {
        it(`echoes ${JSON.stringify(text.slice(0, 20))}`, async () => {
            const session = await openSession(server);
            const { status, headers, body } = await session.post(text, { headers: { 'content-type': 'text/plain;charset=UTF-8' } });
            assert.deepEqual([status, body, headers['content-type']], [200, 'ok', 'text/html']);
            assert.equal(headers['cache-control'], 'no-store');
            assert.equal(await session.next(), text);
        });
    }

    it('answers with the headers of text', async () => {
        const session = await openSession(server);
        await session.post('4пойду');
        const { headers, body } = await session.poll();
        assert.equal(headers['content-type'], 'text/plain; charset=UTF-8');
        assert.equal(headers['cache-control'], 'no-store');
        assert.equal(headers['content-length'], String(Buffer.byteLength(body)));
        assert.equal(headers['access-control-allow-origin'], '*');
    });

    for (const bytes of [1, 2, 3, 4, 5, 255, 10_000]) {
        it(`echoes ${bytes} bytes of binary`, async () => {
            const session = await openSession(server);
            const packet = `b${randomBytes(bytes).toString('base64')}`;
            await session.post(packet);
            assert.equal(await session.next(), packet);
        });
    }

    it('takes base64 without its padding', async () => {
        const session = await openSession(server);
        await session.post('bAQIDBA');
        assert.equal(await session.next(), 'bAQIDBA==');
    });

    it('takes several packets in a payload and gives them in one', async () => {
        const session = await openSession(server);
        const packets = ['4test1', 'bAQIDBA==', '4test2', '4', 'bAA==', '4test3'];
        await session.post(payload(...packets));
        const { body } = await session.poll();
        assert.deepEqual(packetsOf(body), packets);
    });

    it('takes a thousand packets in a payload', async () => {
        const session = await openSession(server);
        const packets = Array.from({ length: 1000 }, (_, i) => `4message ${i}`);
        await session.post(payload(...packets));
        assert.deepEqual(await session.take(1000), packets);
    });

    it('keeps what is posted between polls, in order', async () => {
        const session = await openSession(server);
        const packets = Array.from({ length: 20 }, (_, i) => `4${i}`);
        for (const packet of packets) await session.post(packet);
        assert.deepEqual(await session.take(20), packets);
    });

    it('answers a poll that hangs', async () => {
        const session = await openSession(server);
        const { answer } = await session.hang();
        await session.post('4hello');
        assert.equal((await answer).body, '4hello');
    });

    it('ignores open, upgrade and noop', async () => {
        const session = await openSession(server);
        await session.post(payload('0', '5', '6', '4after'));
        assert.equal(await session.next(), '4after');
    });

    it('serves a session over one connection', async (t) => {
        const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
        t.after(() => agent.destroy());
        const session = await openSession(server);
        for (let i = 0; i < 10; i++) {
            await session.post(`4${i}`, { agent });
            const { body } = await session.poll({ agent });
            assert.ok(packetsOf(body).includes(`4${i}`), body);
            if (packetsOf(body).includes('2')) await session.post('3', { agent });
        }
        assert.ok(agent.totalSocketCount <= 1);
    });

    it('takes a body in chunks', async () => {
        const session = await openSession(server);
        const request = http.request(session.url(), { method: 'POST', agent: false });
        const answered = new Promise((resolve, reject) => request.on('response', resolve).on('error', reject));
        request.write(Buffer.from('4€').subarray(0, 2));
        request.write(Buffer.from('4€').subarray(2));
        request.end('!');
        const response = await within(answered, () => 'an answer');
        assert.equal(response.resume().statusCode, 200);
        assert.equal(await session.next(), '4€!');
    });

    it('talks with two hundred sessions at once', async () => {
        const talk = async (_, i) => {
            const { status, body } = await ask(at(POLLING));
            assert.equal(status, 200);
            const url = at(`${POLLING}&sid=${JSON.parse(body.slice(1)).sid}`);
            const posted = await ask(url, { method: 'POST', body: `4session ${i}` });
            if (posted.status === 400) return 0; /* this machine was too slow for the heartbeat */
            const answer = await ask(url);
            if (answer.status === 200) assert.ok([`4session ${i}`, '2'].includes(packetsOf(answer.body)[0]), answer.body);
            return packetsOf(answer.body).includes(`4session ${i}`) ? 1 : 0;
        };
        const echoes = await Promise.all(Array.from({ length: 200 }, talk));
        assert.ok(echoes.includes(1));
    });
});

describe('what ends a session over polling', () => {
    for (const body of [
        'abc', '', '9', '7hello', 'hello', '\x1e', '4a\x1e', '4a\x1e\x1e4b', '4a\x1ex', '2', '2hello',
    ]) {
        it(`the payload ${JSON.stringify(body)}`, async () => {
            const session = await openSession(server);
            broke(await askRoughly(session.url(), { method: 'POST', body }));
            await session.isGone();
        });
    }

    it('a malformed payload, for the poll that hangs too', async () => {
        const session = await openSession(server);
        const { answer } = await session.hang();
        broke(await askRoughly(session.url(), { method: 'POST', body: 'abc' }));
        const { status, body } = await answer;
        assert.deepEqual([status, body], [200, '1']);
        await session.isGone();
    });

    it('a body of octets', async () => {
        const session = await openSession(server);
        const { status } = await session.post('4hello', { headers: { 'content-type': 'application/octet-stream' } });
        assert.equal(status, 400);
        await session.isGone();
    });

    it('a second poll', async () => {
        const session = await openSession(server);
        const { answer } = await session.hang();
        const second = await session.poll();
        assert.deepEqual([second.status, second.body], [400, '']);
        const first = await answer;
        assert.deepEqual([first.status, first.body], [200, '1']);
        await session.isGone();
    });

    it('a second post', async () => {
        const session = await openSession(server);
        const headers = { expect: '100-continue', 'content-length': 6 };
        const request = http.request(session.url(), { method: 'POST', agent: false, headers });
        const first = new Promise((resolve) => request.on('response', ({ statusCode }) => resolve(statusCode)).on('error', resolve));
        request.flushHeaders();
        await within(new Promise((resolve) => request.on('continue', resolve)), () => '100');
        const second = await session.post('4hello');
        assert.equal(second.status, 400);
        request.end('4first');
        assert.notEqual(await within(first, () => 'an end of the first post'), 200);
        await session.isGone();
    });

    it('a poll that is given up', async () => {
        const session = await openSession(server);
        const { request, answer } = await session.hang();
        request.destroy();
        await assert.rejects(answer);
        const isGone = async () => (await session.post('4hello')).status === 400;
        assert.ok(await becomesTrue(isGone));
        await session.isGone();
    });

    it('the packet close, which lets the poll that hangs go', async () => {
        const session = await openSession(server);
        const { answer } = await session.hang();
        const { status, body } = await session.post('1');
        assert.deepEqual([status, body], [200, 'ok']);
        assert.deepEqual((await answer).body, '6');
        await session.isGone();
    });

    it('the packet close behind messages', async () => {
        const session = await openSession(server);
        const { status, body } = await session.post(payload('4a', '4b', '1'));
        assert.deepEqual([status, body], [200, 'ok']);
        await session.isGone();
    });
});

describe('too large a payload over polling', () => {
    it('takes what is as large as may be', async () => {
        const session = await openSession(server);
        const packet = `4${'x'.repeat(MAX_PAYLOAD - 1)}`;
        assert.equal((await session.post(packet)).status, 200);
        assert.ok((await session.next()) === packet);
    });

    it('counts bytes, not characters', async () => {
        const session = await openSession(server);
        const { status } = await askRoughly(session.url(), { method: 'POST', body: `4${'€'.repeat(MAX_PAYLOAD / 3 + 1)}` });
        assert.equal(status, 413);
    });

    it('answers 413 without a word to a byte more', async () => {
        const session = await openSession(server);
        const { status, body } = await askRoughly(session.url(), { method: 'POST', body: `4${'x'.repeat(MAX_PAYLOAD)}` });
        assert.deepEqual([status, body], [413, '']);
    });
});

/* ---------------------------------------------------------------------------------------------------------------- WebSocket */

describe('messages over WebSocket', () => {
    it('echoes text', async () => {
        const wire = await openWire(server);
        wire.send(...TEXTS);
        assert.deepEqual(await wire.nextOf(TEXTS.length), TEXTS);
        wire.close();
    });

    it('echoes binary', async () => {
        const wire = await openWire(server);
        for (const bytes of [1, 2, 125, 126, 65_535, 65_536, 900_000].map((size) => randomBytes(size))) {
            wire.send(bytes);
            assert.ok(bytes.equals(await wire.next()));
        }
        wire.send(Buffer.from('4not text'));
        assert.deepEqual(await wire.next(), Buffer.from('4not text'));
        wire.close();
    });

    it('takes a binary packet in a frame of text', async () => {
        const wire = await openWire(server);
        wire.send('bAQIDBA==');
        assert.deepEqual(await wire.next(), Buffer.from([1, 2, 3, 4]));
        wire.close();
    });

    it('keeps order between text and binary', async () => {
        const wire = await openWire(server);
        const packets = Array.from({ length: 500 }, (_, i) => (i % 3 ? `4message ${i}` : Buffer.from(`message ${i}`)));
        wire.send(...packets);
        assert.deepEqual(await wire.nextOf(500), packets);
        wire.close();
    });

    it('takes frames in one segment, in pieces and in fragments', async () => {
        const raw = await RawWebSocket.connect(server, `/engine.io/${WEBSOCKET}`);
        await raw.next();
        await raw.write(Buffer.concat(['4a', '4b', '4c'].map((text) => frame(TEXT, text))));
        for (const text of ['4a', '4b', '4c']) assert.equal(await raw.next(), `text "${text}"`);
        await raw.send(frame(TEXT, '4пойду'), { chop: 1 });
        assert.equal(await raw.next(), 'text "4пойду"');
        await raw.write(fragments(TEXT, '4спать', 2));
        assert.equal(await raw.next(), 'text "4спать"');
        raw.destroy();
    });

    it('takes a message as large as may be', async () => {
        const wire = await openWire(server);
        const packet = `4${'x'.repeat(MAX_PAYLOAD - 1)}`;
        wire.send(packet);
        assert.ok((await wire.next()) === packet);
        wire.close();
    });

    for (const [what, packet] of [['text', `4${'x'.repeat(MAX_PAYLOAD)}`], ['binary', Buffer.alloc(MAX_PAYLOAD + 1)]]) {
        it(`closes with 1009 for ${what} of a byte more`, async () => {
            const wire = await openWire(server);
            wire.send(packet);
            assert.deepEqual(await wire.ended(), { code: 1009, reason: '' });
        });
    }

    for (const packet of ['abc', '', '9', 'hello', '7', '2', '2hello']) {
        it(`closes for ${JSON.stringify(packet)}`, async () => {
            const wire = await openWire(server);
            wire.send(packet);
            const { code } = await wire.ended();
            assert.ok([1000, 1005].includes(code), code);
        });
    }

    it('ignores open, upgrade, noop and pongs that nobody asked for', async () => {
        const wire = await openWire(server);
        wire.send('0', '5', '6', '3', '3probe', '4after');
        assert.equal(await wire.next(), '4after');
        wire.close();
    });

    it('does not take part in polling', async () => {
        const { opened } = await openWire(server);
        await refused(3, `${POLLING}&sid=${opened.sid}`);
        await refused(3, `${POLLING}&sid=${opened.sid}`, { method: 'POST', body: '4hello' });
    });

    it('ends with a close of the client', async () => {
        const raw = await RawWebSocket.connect(server, `/engine.io/${WEBSOCKET}`);
        await raw.next();
        await raw.write(frame(CLOSE, closePayload(1000)));
        const events = (await raw.events()).filter((event) => event !== 'text "2"');
        assert.deepEqual(events, ['close 1000', 'fin']);
    });

    it('forgets the session of a connection that is cut', async () => {
        const wire = await openWire(server);
        wire.close();
        const isForgotten = async () => (await ask(at(`${POLLING}&sid=${wire.opened.sid}`))).body === error(1);
        assert.ok(await becomesTrue(isForgotten));
    });

    it('closes after the packet close', async () => {
        const wire = await openWire(server, { pongs: false });
        wire.send('1');
        await wire.until(() => wire.end, 'an end');
    });
});

/* ---------------------------------------------------------------------------------------------------------------- heartbeat */

describe('heartbeat', () => {
    it('pings over polling, never early', async () => {
        let since = performance.now();
        const session = await openSession(server);
        for (let round = 0; round < 3; round++) {
            const { body } = await session.poll();
            assert.equal(body, '2');
            assert.ok(performance.now() - since >= PING_INTERVAL_MS - EARLY_MS, `after ${performance.now() - since} ms`);
            since = performance.now();
            assert.equal((await session.post('3')).status, 200);
        }
    });

    it('pings over WebSocket, never early', async () => {
        let since = performance.now();
        const wire = await openWire(server, { pongs: false });
        for (let round = 0; round < 3; round++) {
            assert.equal(await wire.next(), '2');
            assert.ok(performance.now() - since >= PING_INTERVAL_MS - EARLY_MS, `after ${performance.now() - since} ms`);
            since = performance.now();
            wire.send('3');
        }
        wire.close();
    });

    it('pings while messages flow', async () => {
        const wire = await openWire(server, { pongs: false });
        for (let pings = 0; pings < 2; ) {
            wire.send('4busy');
            const packet = await wire.next();
            if (packet !== '2') continue;
            wire.send('3');
            pings++;
        }
        wire.close();
    });

    it('ends a session over polling that does not answer, through the poll that hangs', async () => {
        const since = performance.now();
        const session = await openSession(server);
        assert.equal((await session.poll()).body, '2');
        const { status, body } = await session.poll();
        assert.deepEqual([status, body], [200, '1']);
        assert.ok(performance.now() - since >= PING_INTERVAL_MS + PING_TIMEOUT_MS - EARLY_MS);
        await session.isGone();
    });

    it('ends a session over polling that nobody polls', async () => {
        const since = performance.now();
        const session = await openSession(server);
        const isGone = async () => (await session.post('4hello')).status === 400;
        assert.ok(await becomesTrue(isGone));
        assert.ok(performance.now() - since >= PING_INTERVAL_MS + PING_TIMEOUT_MS - EARLY_MS);
        await session.isGone();
    });

    it('ends a session over WebSocket that does not answer', async () => {
        const since = performance.now();
        const wire = await openWire(server, { pongs: false });
        assert.equal(await wire.next(), '2');
        await wire.ended();
        assert.ok(performance.now() - since >= PING_INTERVAL_MS + PING_TIMEOUT_MS - EARLY_MS);
    });
});

/* ------------------------------------------------------------------------------------------------------------------ upgrade */

describe('upgrade', () => {
    async function upgraded(options) {
        const session = await openSession(server);
        const wire = await session.probe(options);
        wire.send('5');
        return [session, wire];
    }

    it('from polling to WebSocket', async () => {
        const session = await openSession(server);
        const wire = await session.probe();
        const { status, body } = await session.poll();
        assert.deepEqual([status, body], [200, '6']);
        wire.send('5', '4hello');
        assert.equal(await wire.next(), '4hello');
        wire.close();
    });

    it('lets the poll that hangs go', async () => {
        const session = await openSession(server);
        const { answer } = await session.hang();
        const wire = await session.probe();
        assert.equal((await answer).body, '6');
        wire.send('5', '4hello');
        assert.equal(await wire.next(), '4hello');
        wire.close();
    });

    it('leaves messages on polling until it is whole', async () => {
        const session = await openSession(server);
        await session.post('4before');
        const wire = await session.probe();
        await session.post('4while');
        const packets = await session.take(2);
        assert.deepEqual(packets.filter((packet) => packet !== '6'), ['4before', '4while']);
        wire.send('5', '4after');
        assert.equal(await wire.next(), '4after');
        wire.close();
    });

    it('sends what was not polled over WebSocket, in order', async () => {
        const session = await openSession(server);
        const wire = await session.probe();
        for (const packet of ['4one', 'bAQIDBA==', '4two']) await session.post(packet);
        wire.send('5', '4three');
        assert.deepEqual(await wire.nextOf(4), ['4one', Buffer.from([1, 2, 3, 4]), '4two', '4three']);
        wire.close();
    });

    it('in one segment with the handshake and the first message', async () => {
        const session = await openSession(server);
        const raw = await RawWebSocket.open(server.port);
        const key = randomBytes(16).toString('base64');
        const frames = ['2probe', '5', '4hello'].map((text) => frame(TEXT, text));
        await raw.write(Buffer.concat([handshake(server.port, key, `/engine.io/${WEBSOCKET}&sid=${session.sid}`), ...frames]));
        await raw.readUpgrade(key);
        assert.deepEqual([await raw.next(), await raw.next()], ['text "3probe"', 'text "4hello"']);
        raw.destroy();
    });

    it('is followed by 400 for polling', async () => {
        const [session, wire] = await upgraded();
        wire.send('4hello');
        await wire.next();
        await refused(3, `${POLLING}&sid=${session.sid}`);
        await refused(3, `${POLLING}&sid=${session.sid}`, { method: 'POST', body: '4hello' });
        wire.send('4still here');
        assert.equal(await wire.next(), '4still here');
        wire.close();
    });

    it('is refused a second time', async () => {
        const [session, wire] = await upgraded();
        wire.send('4hello');
        await wire.next();
        const second = session.socket();
        await second.ended();
        wire.send('4still here');
        assert.equal(await wire.next(), '4still here');
        wire.close();
    });

    it('is refused while another is under way', async () => {
        const session = await openSession(server);
        const wire = await session.probe();
        await session.socket().ended();
        wire.send('5', '4hello');
        assert.equal(await wire.next(), '4hello');
        wire.close();
    });

    for (const packet of ['4hello', '3probe', '2', '2other', '1', 'abc']) {
        it(`fails with ${packet} for a probe, and the session stays on polling`, async () => {
            const session = await openSession(server);
            const wire = session.socket();
            await wire.open();
            wire.send(packet);
            await wire.ended();
            await session.post('4hello');
            assert.equal(await session.next(), '4hello');
        });
    }

    it('that is given up leaves the session on polling, and can be tried again', async () => {
        const session = await openSession(server);
        (await session.probe()).close();
        await session.post('4hello');
        const packets = [await session.next()];
        if (packets[0] === '6') packets.push(await session.next());
        assert.equal(packets.at(-1), '4hello');
        let again;
        const isTaken = async () => {
            again = session.socket();
            await again.open();
            again.send('2probe');
            await again.until(() => again.came.length || again.end, 'an answer to a probe');
            return again.came.length > 0;
        };
        assert.ok(await becomesTrue(isTaken));
        assert.equal(await again.next(), '3probe');
        again.send('5', '4over');
        assert.equal(await again.next(), '4over');
        again.close();
    });

    it('is refused when the protocol version is another', async () => {
        const { sid } = await openSession(server);
        const wire = new Wire(`ws://${server.host}/engine.io/?EIO=3&transport=websocket&sid=${sid}`);
        assert.equal((await wire.ended()).status, 400);
    });

    it('ends with its session', async () => {
        const session = await openSession(server);
        const wire = await session.probe();
        await session.post('1');
        await wire.ended();
    });

    it('is followed by pings over WebSocket, and by the end of who does not answer', async () => {
        const [session, wire] = await upgraded({ pongs: false });
        const since = performance.now();
        assert.equal(await wire.next(), '2');
        wire.send('3');
        assert.equal(await wire.next(), '2');
        await wire.ended();
        assert.ok(performance.now() - since >= PING_TIMEOUT_MS - EARLY_MS);
        await session.isGone();
    });

    it('that is not completed in 10 s is closed, and the session stays on polling', async () => {
        const session = await openSession(server);
        const since = performance.now();
        const wire = await session.probe({ pongs: false });
        while (!wire.end) {
            const { status, body } = await session.poll();
            assert.equal(status, 200);
            assert.ok(['2', '6'].includes(body), body);
            if (body === '2') await session.post('3');
            assert.ok(performance.now() - since < 3 * UPGRADE_TIMEOUT_MS, 'it is still open');
        }
        assert.ok(performance.now() - since >= UPGRADE_TIMEOUT_MS - EARLY_MS, `after ${performance.now() - since} ms`);
        await session.post('4hello');
        assert.equal(await session.next(), '4hello');
    });
});

/* --------------------------------------------------------------------------------------------------------------------- CORS */

describe('CORS', () => {
    const origin = 'http://elsewhere.example';

    it('lets any origin read answers and errors', async () => {
        const opened = await ask(at(POLLING), { headers: { origin } });
        assert.equal(opened.headers['access-control-allow-origin'], '*');
        const unknown = await ask(at(`${POLLING}&sid=abc`), { headers: { origin } });
        assert.equal(unknown.headers['access-control-allow-origin'], '*');
        const session = await openSession(server);
        const posted = await session.post('4hello', { headers: { origin } });
        assert.equal(posted.headers['access-control-allow-origin'], '*');
    });

    it('answers a preflight', async () => {
        const asked = { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'x-a,content-type' };
        const { status, headers, body } = await ask(at(POLLING), { method: 'OPTIONS', headers: asked });
        assert.deepEqual([status, body], [204, '']);
        assert.equal(headers['access-control-allow-origin'], '*');
        assert.match(headers['access-control-allow-methods'], /\bGET\b.*\bPOST\b/);
        assert.match(headers['access-control-allow-headers'], /x-a/);
        assert.match(headers['access-control-allow-headers'], /content-type/);
    });

    it('takes a WebSocket of any origin', async () => {
        const wire = await openWire(server, { origin });
        wire.send('4hello');
        assert.equal(await wire.next(), '4hello');
        wire.close();
    });
});
