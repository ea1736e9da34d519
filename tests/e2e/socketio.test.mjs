/** Socket.IO 5 packet by packet, against `weft-conformance socketio`: an echo that greets with the payload of its CONNECT. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ask, openSession, openWire, startConformance } from './support/engineio.mjs';
import { PATH, connected, join, joinByPolling, joinByWire, outcome } from './support/socketio.mjs';

const CONNECT_TIMEOUT_MS = 1000;
const EARLY_MS = 5; /* that clocks may differ by */
const ONE = Buffer.from([1, 2, 3]);
const TWO = Buffer.from([4, 5, 6]);
const first = '{"_placeholder":true,"num":0}';
const second = '{"_placeholder":true,"num":1}';

let server;

before(async () => (server = await startConformance(null, 'socketio')));
after(() => server.stop());

const open = () => openWire(server, { path: PATH });

/** The end of a connection, which is the answer to what is malformed. */
async function closes(wire) {
    await wire.until(() => wire.end, 'an end');
    assert.deepEqual(wire.came, []);
}

/* ------------------------------------------------------------------------------------------------------------------ connect */

describe('connecting', () => {
    it('opens a session of Engine.IO first', async () => {
        const { opened, headers } = await openSession(server, { path: PATH });
        const { sid, ...rest } = opened;
        assert.deepEqual(rest, { upgrades: ['websocket'], pingInterval: 300, pingTimeout: 200, maxPayload: 1_000_000 });
        assert.equal(headers['access-control-allow-origin'], '*');
        const wire = await open();
        assert.deepEqual(wire.opened.upgrades, []);
        wire.close();
    });

    for (const [namespace, auth] of [
        ['/', ''],
        ['/', '{}'],
        ['/', '{"token":"123"}'],
        ['/', '{"a":{"b":[1,null,true,"€"]}}'],
        ['/custom', ''],
        ['/custom', '{"token":"abc"}'],
    ]) {
        it(`to ${namespace} with ${auth || 'no payload'}`, async () => {
            const wire = await open();
            const sid = await join(wire, namespace, auth);
            assert.notEqual(sid, wire.opened.sid);
            wire.close();
        });

        it(`to ${namespace} with ${auth || 'no payload'} over polling`, async () => {
            const session = await openSession(server, { path: PATH });
            assert.notEqual(await join(session, namespace, auth), session.sid);
        });
    }

    it('gives no private id where sessions are not recovered', async () => {
        const wire = await open();
        wire.send('40');
        assert.deepEqual(Object.keys(connected(await wire.next())), ['sid']);
        wire.close();
    });

    it('to a namespace without its comma', async () => {
        const wire = await open();
        wire.send('40/custom');
        connected(await wire.next(), '/custom');
        assert.equal(await wire.next(), '42/custom,["auth",{}]');
        wire.close();
    });

    for (const [packet, namespace] of [
        ['40/random', '/random'],
        ['40/random,', '/random'],
        ['40/random,{"token":"123"}', '/random'],
        ['40/CUSTOM,', '/CUSTOM'],
        ['40/custom/,', '/custom/'],
        ['40/пойду,', '/пойду'],
    ]) {
        it(`is refused by ${packet}`, async () => {
            const wire = await open();
            wire.send(packet);
            assert.equal(await wire.next(), `44${namespace},{"message":"Invalid namespace"}`);
            await join(wire);
            wire.close();
        });
    }

    it('to several namespaces gives each its own id', async () => {
        const wire = await open();
        wire.send('40', '40/custom,{"a":1}');
        const packets = await wire.nextOf(4);
        const main = connected(packets.find((packet) => packet.startsWith('40{')));
        const custom = connected(packets.find((packet) => packet.startsWith('40/custom,')), '/custom');
        assert.notEqual(main.sid, custom.sid);
        assert.ok(packets.includes('42["auth",{}]') && packets.includes('42/custom,["auth",{"a":1}]'));
        wire.close();
    });

    for (const packet of [
        '4', '4abc', '49', '41', '42["message",1]', '431[]', '451-["message",{"_placeholder":true,"num":0}]',
        '44{"message":"no"}', '40[]', '40"text"', '40null', '40{', '40/custom,[1]',
    ]) {
        it(`ends with ${packet} for a first packet`, async () => {
            const wire = await open();
            wire.send(packet);
            await closes(wire);
        });
    }

    it('ends with binary for a first packet', async () => {
        const wire = await open();
        wire.send(ONE);
        await closes(wire);
    });

    it('ends over polling with a packet that is none', async () => {
        const session = await openSession(server, { path: PATH });
        const { answer } = await session.hang();
        assert.equal((await session.post('4abc')).status, 200);
        assert.equal((await answer).body, '1');
        await session.isGone();
    });

    it('ends when no CONNECT comes for a second, not earlier', async () => {
        const since = performance.now();
        const wire = await open();
        await closes(wire);
        assert.ok(performance.now() - since >= CONNECT_TIMEOUT_MS - EARLY_MS, `after ${performance.now() - since} ms`);
    });

    it('ends when only refused CONNECTs come for a second', async () => {
        const since = performance.now();
        const wire = await open();
        wire.send('40/random,');
        assert.equal(await wire.next(), '44/random,{"message":"Invalid namespace"}');
        await closes(wire);
        assert.ok(performance.now() - since >= CONNECT_TIMEOUT_MS - EARLY_MS);
    });

    it('goes on for longer than that once it is connected', async () => {
        const wire = await joinByWire(server, { pongs: false });
        const since = performance.now();
        for (let pings = 0; performance.now() - since < CONNECT_TIMEOUT_MS + 200; pings++) {
            assert.equal(await wire.next(), '2');
            wire.send('3');
        }
        assert.deepEqual(await outcome(wire, []), ['alive']);
        wire.close();
    });

    it('twice to one namespace ends it', async () => {
        const wire = await joinByWire(server);
        wire.send('40');
        await closes(wire);
    });
});

/* --------------------------------------------------------------------------------------------------------------- disconnect */

/** All that was sent before has taken effect: it has refused what came after. */
async function wasHeard(wire) {
    wire.send('40/random,');
    assert.equal(await wire.next(), '44/random,{"message":"Invalid namespace"}');
}

describe('disconnecting', () => {
    it('from the main namespace leaves the connection', async () => {
        const wire = await joinByWire(server, { pongs: false });
        wire.send('41');
        assert.equal(await wire.next(), '2');
        wire.close();
    });

    it('from a namespace leaves the others', async () => {
        const wire = await joinByWire(server);
        await join(wire, '/custom');
        wire.send('41/custom', '42["message","to the main namespace"]');
        assert.equal(await wire.next(), '42["message-back","to the main namespace"]');
        wire.close();
    });

    it('from the main namespace leaves the others', async () => {
        const wire = await joinByWire(server);
        await join(wire, '/custom');
        wire.send('41');
        await wasHeard(wire);
        await join(wire);
        assert.deepEqual(await outcome(wire, []), ['alive']);
        wire.close();
    });

    it('is followed by connecting again, with another id', async () => {
        const wire = await open();
        const before = await join(wire, '/custom');
        wire.send('41/custom,');
        await wasHeard(wire);
        assert.notEqual(await join(wire, '/custom', '{"again":true}'), before);
        wire.close();
    });

    it('ends with an event for the namespace that was left', async () => {
        const wire = await joinByWire(server);
        await join(wire, '/custom');
        wire.send('41/custom,');
        await wasHeard(wire);
        wire.send('42/custom,["message"]');
        await closes(wire);
    });

    it('from a namespace that was not joined ends the connection', async () => {
        const wire = await joinByWire(server);
        wire.send('41/custom,');
        await closes(wire);
    });
});

/* ----------------------------------------------------------------------------------------------------------------- messages */

/** [what is sent, what comes back]. */
const ECHOES = [
    [['42["message"]'], ['42["message-back"]']],
    [['42["message",1,"2",{"3":[true]}]'], ['42["message-back",1,"2",{"3":[true]}]']],
    [['42["message",null,false,0,-1.5,1e-7,[],{},""]'], ['42["message-back",null,false,0,-1.5,1e-7,[],{},""]']],
    [['42["message","пойду €\u{1F600}"]'], ['42["message-back","пойду €\u{1F600}"]']],
    [['42["message","\\n\\"\\\\"]'], ['42["message-back","\\n\\"\\\\"]']],
    [['42["message",{"a":{"b":{"c":[[[1]]]}}}]'], ['42["message-back",{"a":{"b":{"c":[[[1]]]}}}]']],
    [['42456["message-with-ack",1,"2",{"3":[false]}]'], ['43456[1,"2",{"3":[false]}]']],
    [['420["message-with-ack"]'], ['430[]']],
    [['429007199254740991["message-with-ack",1]'], ['439007199254740991[1]']],
    [[`452-["message",${first},${second}]`, ONE, TWO], [`452-["message-back",${first},${second}]`, ONE, TWO]],
    [[`451-["message",{"a":[1,${first}]},"text"]`, ONE], [`451-["message-back",{"a":[1,${first}]},"text"]`, ONE]],
    [[`452-789["message-with-ack",${first},${second}]`, ONE, TWO], [`462-789[${first},${second}]`, ONE, TWO]],
    [[`451-["message",${first}]`, Buffer.alloc(0)], [`451-["message-back",${first}]`, Buffer.alloc(0)]],
];

const named = (packets) => packets.filter((packet) => typeof packet === 'string').join();

describe('events and acknowledgements', () => {
    for (const [sent, answer] of ECHOES) {
        it(`${named(sent)} over WebSocket`, async () => {
            const wire = await joinByWire(server);
            wire.send(...sent);
            assert.deepEqual(await wire.nextOf(answer.length), answer);
            assert.deepEqual(await outcome(wire, []), ['alive']);
            wire.close();
        });

        const asText = (packet) => (typeof packet === 'string' ? packet : `b${packet.toString('base64')}`);

        it(`${named(sent)} over polling`, async () => {
            const session = await joinByPolling(server);
            await session.post(sent.map(asText).join('\x1e'));
            assert.deepEqual(await session.take(answer.length), answer.map(asText));
        });
    }

    it('with ten attachments, as many as may be', async () => {
        const wire = await joinByWire(server);
        const attachments = Array.from({ length: 10 }, (_, i) => Buffer.from([i]));
        const places = attachments.map((_, num) => JSON.stringify({ _placeholder: true, num }));
        wire.send(`4510-["message",${places}]`, ...attachments);
        assert.deepEqual(await wire.nextOf(11), [`4510-["message-back",${places}]`, ...attachments]);
        wire.close();
    });

    it('with large attachments', async () => {
        const wire = await joinByWire(server);
        const bytes = Buffer.alloc(900_000, 'weft');
        wire.send(`451-["message",${first}]`, bytes);
        assert.equal(await wire.next(), `451-["message-back",${first}]`);
        assert.ok(bytes.equals(await wire.next()));
        wire.close();
    });

    it('in order, a thousand of them with and without binary', async () => {
        const wire = await joinByWire(server);
        const packets = (back) =>
            Array.from({ length: 1000 }, (_, i) => (i % 5 ? [`42["message${back}",${i}]`] : [`451-["message${back}",${i},${first}]`, Buffer.from([i % 251])])).flat();
        wire.send(...packets(''));
        const expected = packets('-back');
        assert.deepEqual(await wire.nextOf(expected.length), expected);
        wire.close();
    });

    it('without anybody who listens are no error', async () => {
        const wire = await joinByWire(server);
        assert.deepEqual(await outcome(wire, [
            '42["nobody"]', '427["nobody",1]', '42[1]', '42[-1.5,"a"]', '42["toString"]', '42["__proto__"]', '42[""]',
        ]), ['alive']);
        wire.close();
    });

    it('acknowledgements that nobody waits for are no error', async () => {
        const wire = await joinByWire(server);
        assert.deepEqual(await outcome(wire, ['431[]', '4399999["a"]', '430[1,2]']), ['alive']);
        wire.close();
    });

    it('of a namespace that is joined with the main one stay apart', async () => {
        const wire = await joinByWire(server);
        await join(wire, '/custom');
        assert.deepEqual(await outcome(wire, ['42/custom,["message","nobody listens there"]']), ['alive']);
        wire.close();
    });

    it('with attachments for a namespace', async () => {
        const wire = await joinByWire(server);
        await join(wire, '/custom');
        assert.deepEqual(await outcome(wire, [`451-/custom,["message",${first}]`, ONE]), ['alive']);
        wire.close();
    });

    it('come over WebSocket when it follows polling', async () => {
        const session = await joinByPolling(server);
        const wire = await session.probe();
        wire.send('5', '42["message","upgraded"]', `451-["message",${first}]`, ONE);
        assert.deepEqual(await wire.nextOf(3), ['42["message-back","upgraded"]', `451-["message-back",${first}]`, ONE]);
        wire.close();
    });

    it('with attachments that change from polling to WebSocket on the way', async () => {
        const session = await joinByPolling(server);
        await session.post(`452-["message",${first},${second}]\x1ebAQID`);
        const wire = await session.probe();
        wire.send('5', TWO);
        assert.deepEqual(await wire.nextOf(3), [`452-["message-back",${first},${second}]`, ONE, TWO]);
        wire.close();
    });
});

/* -------------------------------------------------------------------------------------------------------- malformed packets */

const RESERVED = ['connect', 'connect_error', 'disconnect', 'disconnecting', 'newListener', 'removeListener'];

/** Each ends the connection that sends it. */
const MALFORMED = {
    'no packet': ['4'],
    'no type': ['4abc'],
    'an unknown type': ['47["message"]'],
    'a type of two digits': ['422["message'],
    'an event that is an object': ['42{}'],
    'an event that is a text': ['42"message"'],
    'an event that is a number': ['42/,1.5'],
    'an empty event': ['42[]'],
    'an event named null': ['42[null]'],
    'an event named true': ['42[true]'],
    'an event named by an object': ['42[{"message":1}]'],
    'an event named by an array': ['42[["message"]]'],
    'JSON that does not end': ['42["message"'],
    'JSON that goes on': ['42["message"]]'],
    'JSON with text behind it': ['42["message"]x'],
    'JSON with single quotes': ["42['message']"],
    'JSON with a comma too many': ['42["message",]'],
    'JSON with a number that begins with 0': ['42["message",01]'],
    'JSON with a bare tab in a text': ['42["message","\t"]'],
    'JSON with a bad escape': ['42["message","\\x"]'],
    'JSON with NaN': ['42["message",NaN]'],
    'an id that is none': ['42abc["message-with-ack",1]'],
    'an id below 0': ['42-1["message-with-ack",1]'],
    'an id with a fraction': ['421.5["message-with-ack",1]'],
    'an acknowledgement that is an object': ['431{}'],
    'an acknowledgement that is a text': ['431"a"'],
    'DISCONNECT with data': ['41{}'],
    'CONNECT_ERROR, which is for servers': ['44{"message":"no"}'],
    'a namespace that was not joined': ['42/custom,["message"]'],
    'no count of attachments': ['45-["message"]'],
    'a count of attachments without its dash': ['451["message"]'],
    'a count of attachments that is none': ['45a-["message"]'],
    'a count of attachments below 0': ['45-1-["message"]'],
    'a count of attachments with a fraction': ['451.5-["message"]'],
    'no attachments where there should be': ['450-["message"]'],
    'more attachments than may be': ['4511-["message"]'],
    'very many attachments': ['4599999999999999999999-["message"]'],
    'an acknowledgement without its count': ['46[1]'],
    'text while an attachment is awaited': [`451-["message",${first}]`, '42["message",1]'],
    'text while the second attachment is awaited': [`452-["message",${first},${second}]`, ONE, '42["message",1]'],
    'DISCONNECT while an attachment is awaited': [`451-["message",${first}]`, '41'],
    'an attachment that no packet awaits': [ONE],
    'an attachment too many': [`451-["message",${first}]`, ONE, TWO],
    'a placeholder beyond the attachments': [`451-["message",${second}]`, ONE],
    'a placeholder below 0': ['451-["message",{"_placeholder":true,"num":-1}]', ONE],
    'a placeholder with a text for its number': ['451-["message",{"_placeholder":true,"num":"0"}]', ONE],
    'a placeholder without a number': ['451-["message",{"_placeholder":true}]', ONE],
    'a binary event that is malformed': ['451-{"message":1}', ONE],
    ...Object.fromEntries(RESERVED.map((name) => [`the reserved event ${name}`, [`42["${name}"]`]])),
    ...Object.fromEntries(RESERVED.map((name) => [`the reserved event ${name} with binary`, [`451-["${name}",${first}]`, ONE]])),
};

describe('a connection ends with', () => {
    for (const [what, packets] of Object.entries(MALFORMED)) {
        it(what, async () => {
            const wire = await joinByWire(server);
            const told = await outcome(wire, packets);
            assert.match(told.at(-1), /^end /, told.join());
            assert.deepEqual(told.slice(0, -1).filter((packet) => !packet.includes('message-back') && !packet.startsWith('binary')), []);
        });
    }

    it('a malformed packet over polling, through the poll that hangs', async () => {
        const session = await joinByPolling(server);
        const { answer } = await session.hang();
        assert.equal((await session.post('42{}')).status, 200);
        assert.equal((await answer).body, '1');
        await session.isGone();
    });

    it('nothing else: others go on', async () => {
        const bystander = await joinByWire(server);
        for (const packets of Object.values(MALFORMED).slice(0, 10)) await outcome(await joinByWire(server), packets);
        assert.deepEqual(await outcome(bystander, []), ['alive']);
        bystander.close();
    });
});

/* ------------------------------------------------------------------------------------------------------------- client files */

describe('the files of the client', () => {
    for (const name of [
        'socket.io.js', 'socket.io.min.js', 'socket.io.esm.min.js', 'socket.io.msgpack.min.js', 'socket.io.min.js.map',
    ]) {
        it(`${name}, once until it changes`, async () => {
            const { status, headers, body } = await ask(`${server.url}/socket.io/${name}`);
            assert.equal(status, 200);
            assert.match(headers['content-type'], name.endsWith('.map') ? /^application\/json/ : /^application\/javascript/);
            assert.equal(headers['cache-control'], 'public, max-age=0');
            assert.ok(headers.etag && body.length > 1000);
            const again = await ask(`${server.url}/socket.io/${name}`, { headers: { 'if-none-match': headers.etag } });
            assert.deepEqual([again.status, again.body], [304, '']);
        });
    }
});
