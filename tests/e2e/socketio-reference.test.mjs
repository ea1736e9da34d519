/**
 * The same requests, packets and mistakes to npm's `socket.io` and `engine.io` and to `weft-conformance`: what comes back is the same,
 * but for the table of differences that are meant.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { REFERENCE, Session, Wire, ask, askRoughly, isReference, openSession, openWire, payload, startConformance } from './support/engineio.mjs';
import { becomesTrue } from './support/program.mjs';
import { ONE, SENT, place } from './support/socketio-packets.mjs';
import { PATH, outcome, understood } from './support/socketio.mjs';

const POLLING = 'EIO=4&transport=polling';
const WEBSOCKET = 'EIO=4&transport=websocket';
const FIELDS = [
    'content-type', 'cache-control', 'set-cookie', 'access-control-allow-origin', 'access-control-allow-credentials',
];

/* -------------------------------------------------------------------------------------- what is not the same, and why it is so */

/** By the name of its case: what ours does, and the reason. */
const MEANT = {
    'the request EIO=4&transport=polling&j=0': { ours: /^200 text\/plain.* 0{/, why: 'JSONP is for browsers that are gone' },
    'PUT in a session': { ours: /^true {"code":2,.* 200 /, why: 'the reference answers 500 to what is the mistake of the client' },
    'DELETE in a session': { ours: /^true {"code":2,.* 200 /, why: 'the reference answers 500 to what is the mistake of the client' },
    'a WebSocket for transport=websocket': { ours: /^400 /, why: 'the reference upgrades, and then writes HTTP over WebSocket' },
    'a WebSocket for EIO=3&transport=websocket': { ours: /^400 /, why: 'the reference upgrades, and then writes HTTP over WebSocket' },
    'a WebSocket for EIO=4&transport=polling': { ours: /^400 /, why: 'the reference upgrades, and then closes' },
    [JSON.stringify('42\ufeff["message"]')]: { ours: /^end 1005$/, why: 'a byte order mark is no acknowledgement id' },
    '"4399999999999999999999[]"': { ours: /^end 1005$/, why: 'no server gives an id that a double does not hold' },
    'a body of bytes that are not UTF-8': { ours: /^400 /, why: 'the reference changes them and goes on' },
    '42{} over polling': { ours: /200 1$/, why: 'the reference puts a noop before the close' },
    'who comes back while he is still here': {
        ours: /^its own id true, its private id true/,
        why: 'a client may notice first that its connection is gone, and the reference forgets it then',
    },
    'an event nested 5000 deep': { ours: /^(42.* alive|end 1005)$/, why: 'the depth of JSON has a limit; the reference crashes' },
    'an event nested 100000 deep': { ours: /^end 1005$/, why: 'the depth of JSON has a limit; the reference crashes' },
};

/* ----------------------------------------------------------------------------------------------------------- the two of each */

const NAMES = ['engineio', 'engineio-client', 'socketio', 'socketio-client'];
let ours;
let theirs;

before(async () => {
    const start = async (command) => {
        const servers = await Promise.all(NAMES.map((name) => startConformance(null, name, { command })));
        return Object.fromEntries(NAMES.map((name, i) => [name, servers[i]]));
    };
    [ours, theirs] = await Promise.all([start(undefined), start(REFERENCE)]);
});
after(() => Promise.all([ours, theirs].flatMap((servers) => Object.values(servers ?? {}).map((server) => server.stop()))));

/** A case: tell(server) gives a list of lines, which are the same for both. */
function same(name, server, tell) {
    it(name, async () => {
        const got = await tell(ours[server]);
        const meant = isReference() ? undefined : MEANT[name];
        if (meant) return assert.match(got.join(' '), meant.ours, meant.why);
        assert.deepEqual(got, await tell(theirs[server]));
    });
}

/** A case for our server alone, as the reference would not survive it. */
function oursOnly(name, server, tell) {
    it(name, { skip: isReference() && MEANT[name].why }, async () => assert.match((await tell(ours[server])).join(' '), MEANT[name].ours));
}

const anonymous = (text) => text.replace(/(\\?"(?:sid|pid)\\?":)\\?"[\w-]+\\?"/g, '$1"…"').replace(/Expires=[^"]*/, 'Expires=…');

/** An answer in a line. */
function told({ status, headers, body }) {
    const fields = FIELDS.map((name) => headers?.[name]).filter(Boolean);
    return anonymous([status, ...fields.map((value) => (Array.isArray(value) ? value.join(' ') : value)), body].join(' ')).trim();
}

/** A malformed request may be answered or hung up on, which is a matter of luck with the reference too. */
const whatever = (answer) => answer.then(() => 'answered or broken');

/* ----------------------------------------------------------------------------------------------------------------- requests */

const REQUESTS = [
    [POLLING],
    ['transport=polling&EIO=4'],
    [`${POLLING}&t=abc&b64=1`],
    [`${POLLING}&j=0`],
    [`${POLLING}&sid=`],
    [`${POLLING}&sid=abc`],
    [`${POLLING}&sid=__proto__`],
    [`${POLLING}&sid=hasOwnProperty`],
    [`${POLLING}&sid=%00`],
    [`${POLLING}&sid=a%20b+c%26`],
    ['EIO=%34&transport=pollin%67'],
    ['%45IO=4&transport=polling'],
    ['EIO=4&transport=polling#fragment'],
    ['EIO=4;transport=polling'],
    ['EIO=04&transport=polling'],
    ['EIO=4.0&transport=polling'],
    ['EIO=3&transport=polling'],
    ['EIO=5&transport=polling'],
    ['EIO&transport=polling'],
    ['transport=polling'],
    ['EIO=4'],
    ['EIO=4&transport'],
    ['EIO=4&transport=POLLING'],
    ['EIO=4&transport=polling%00'],
    ['EIO=4&transport=webtransport'],
    ['EIO=4&transport=constructor'],
    [''],
    ['&&&'],
    ['%'],
    ['EIO=4&transport=%ff'],
    [WEBSOCKET],
    [`${WEBSOCKET}&sid=abc`],
    ['EIO=3&transport=websocket'],
    [POLLING, { method: 'HEAD' }],
    [POLLING, { method: 'POST', body: '4hello' }],
    [`${POLLING}&sid=abc`, { method: 'POST', body: '4hello' }],
    [POLLING, { method: 'PUT', body: '4hello' }],
    [POLLING, { method: 'DELETE' }],
    [POLLING, { method: 'PATCH', body: '4hello' }],
    ['', { method: 'POST', body: '4hello' }],
    [POLLING, { headers: { origin: 'http://elsewhere.example' } }],
    [POLLING, { headers: { origin: 'null' } }],
    [POLLING, { headers: { cookie: 'io=abc' } }],
    [POLLING, { headers: { 'user-agent': 'Mozilla/4.0 (compatible; MSIE 8.0; Trident/4.0)' } }],
    [POLLING, { headers: { 'accept-encoding': 'gzip' } }],
];

describe('requests', () => {
    for (const [query, options] of REQUESTS) {
        const how = options ? ` with ${JSON.stringify(options)}` : '';
        same(`the request ${query}${how}`, 'engineio', async (server) => [told(await ask(`${server.url}/engine.io/?${query}`, options))]);
    }

    for (const query of [
        POLLING, `${POLLING}&deny`, `${WEBSOCKET}&deny=1`, 'EIO=4&transport=abc&deny=1', `${POLLING}&sid=abc&deny=1`,
    ]) {
        same(`the request ${query} where some are denied`, 'engineio-client', async (server) => [told(await ask(`${server.url}/engine.io/?${query}`))]);
    }

    same('the preflight of CORS', 'engineio', async (server) => {
        const headers = { origin: 'http://elsewhere.example', 'access-control-request-method': 'POST', 'access-control-request-headers': 'x-a' };
        const answer = await ask(`${server.url}/engine.io/?${POLLING}`, { method: 'OPTIONS', headers });
        return [told(answer), answer.headers['access-control-allow-headers']];
    });

    same('the preflight of CORS for a session', 'engineio', async (server) => {
        const session = await openSession(server);
        return [told(await ask(session.url(), { method: 'OPTIONS', headers: { origin: 'http://elsewhere.example' } }))];
    });

    for (const method of ['PUT', 'DELETE', 'HEAD']) {
        same(`${method} in a session`, 'engineio', async (server) => {
            const session = await openSession(server);
            const { status, body } = await askRoughly(session.url(), { method });
            return [status >= 400, body, told(await session.post('4hello'))];
        });
    }
});

/* ------------------------------------------------------------------------------------------------- packets of Engine.IO, single */

const PACKETS = [
    '0', '0{}', '1', '1x', '2', '2probe', '3', '3probe', '4', '4hello', '5', '5x', '6', '6x', '7', '8', '9', 'a', 'b',
    'bAQID', 'bAQIDBA', 'bAQIDBA=', 'b====', 'b!!!!', 'bAQ ID', 'b-_8=', 'B', ' ', '\0', '', '4\0', '44', '€',
];

/** Whether a session still answers, and with what. */
async function rest(session) {
    const posted = await session.post('4there?');
    return posted.status === 200 ? [told(posted), told(await session.poll())] : [told(posted)];
}

describe('packets of Engine.IO', () => {
    for (const packet of PACKETS) {
        same(`${JSON.stringify(packet)} over polling`, 'engineio', async (server) => {
            const session = await openSession(server);
            return [await whatever(askRoughly(session.url(), { method: 'POST', body: packet })), ...(await rest(session))];
        });

        if (packet === '1' || packet === '1x') continue; /* which the reference does not act on until the next ping */
        same(`${JSON.stringify(packet)} over WebSocket`, 'engineio', async (server) => {
            const wire = await openWire(server);
            wire.send(packet, '4there?');
            const lines = [];
            for (; !lines.includes('4there?'); lines.push(String(wire.came.shift()))) {
                await wire.until(() => wire.came.length || wire.end, 'an answer');
                if (!wire.came.length) return [...lines, `end ${wire.end.code}`];
            }
            wire.close();
            return lines;
        });
    }

    for (const packets of [
        ['4a', '4b'], ['4a', '', '4b'], ['4a', '9', '4b'], ['', '4a'], ['4a', ''], ['6', '4a'],
        ['bAQ==', '4a', 'bAg=='], ['1', '4a'], ['4a', '1', '4b'],
    ]) {
        same(`the payload ${JSON.stringify(packets)}`, 'engineio', async (server) => {
            const session = await openSession(server);
            return [await whatever(askRoughly(session.url(), { method: 'POST', body: payload(...packets) })), ...(await rest(session))];
        });
    }

    same('a body of bytes that are not UTF-8', 'engineio', async (server) => {
        const session = await openSession(server);
        return [told(await session.post(Buffer.from([0x34, 0x61, 0xff, 0x62]))), ...(await rest(session))];
    });

    for (const type of [
        'application/octet-stream', 'text/plain', 'text/plain;charset=UTF-8', 'application/json',
        'application/x-www-form-urlencoded',
    ]) {
        same(`a body of the type ${type}`, 'engineio', async (server) => {
            const session = await openSession(server);
            return [told(await session.post('4a', { headers: { 'content-type': type } })), ...(await rest(session))];
        });
    }

    for (const size of [99, 100, 101, 5000]) {
        same(`a body of ${size} bytes where 100 are the limit`, 'engineio-client', async (server) => {
            const session = await openSession(server);
            await session.poll();
            return [told(await session.post(`4${'x'.repeat(size - 1)}`)), ...(await rest(session))];
        });

        same(`a frame of ${size} bytes where 100 are the limit`, 'engineio-client', async (server) => {
            const wire = await openWire(server);
            await wire.next();
            wire.send(`4${'x'.repeat(size - 1)}`);
            await wire.until(() => wire.came.length || wire.end, 'an answer');
            wire.close();
            return [...wire.came, JSON.stringify(wire.end ?? 'alive')];
        });
    }
});

/* ---------------------------------------------------------------------------------------------------------------- out of order */

const endOf = async (wire) => {
    await wire.until(() => wire.end, 'an end');
    return [...wire.came.splice(0).map(String), `end ${wire.end.code ?? `${wire.end.status ?? wire.end.error} ${wire.end.body ?? ''}`.trim()}`];
};

const upgradeTo = async (session, ...packets) => {
    const wire = session.socket();
    await wire.open();
    wire.send(...packets);
    return wire;
};

const ORDER = {
    'two polls at once': async (session) => {
        const { answer } = await session.hang();
        return [told(await session.poll()), told(await answer), told(await session.poll())];
    },
    'a post after the close': async (session) => [told(await session.post('1')), told(await session.post('4a')), told(await session.poll())],
    'a close while a poll hangs': async (session) => {
        const { answer } = await session.hang();
        return [told(await session.post('1')), told(await answer), told(await session.poll())];
    },
    'a session id in the hands of another': async (session) => {
        const thief = new Session(session.server, '/engine.io/', '');
        thief.sid = session.sid;
        return [told(await thief.post('4mine')), told(await session.poll())];
    },
    'a poll after the upgrade': async (session) => {
        const wire = await upgradeTo(session, '2probe', '5', '4a');
        const packets = await wire.nextOf(2);
        const lines = [...packets, told(await session.poll()), told(await session.post('4b'))];
        wire.send('4c');
        lines.push(await wire.next());
        wire.close();
        return lines;
    },
    'a second WebSocket after the upgrade': async (session) => {
        const wire = await upgradeTo(session, '2probe', '5', '4a');
        await wire.nextOf(2);
        const lines = await endOf(session.socket());
        wire.close();
        return lines;
    },
    'a second WebSocket during the upgrade': async (session) => {
        const wire = await upgradeTo(session, '2probe');
        const lines = [await wire.next(), ...(await endOf(session.socket()))];
        wire.send('5', '4a');
        lines.push(await wire.next());
        wire.close();
        return lines;
    },
    'a probe twice': async (session) => {
        const wire = await upgradeTo(session, '2probe', '2probe', '5', '4a');
        const lines = await wire.nextOf(3);
        wire.close();
        return lines;
    },
    'an upgrade without a probe': async (session) => {
        const wire = await upgradeTo(session, '5', '4a');
        const lines = await wire.nextOf(1);
        wire.close();
        return [...lines, told(await session.poll())];
    },
    'an upgrade twice': async (session) => {
        const wire = await upgradeTo(session, '2probe', '5', '5', '4a');
        const lines = await wire.nextOf(2);
        wire.close();
        return lines;
    },
    'a message before the probe': async (session) => [...(await endOf(await upgradeTo(session, '4a'))), ...(await rest(session))],
    'a message between probe and upgrade': async (session) => [...(await endOf(await upgradeTo(session, '2probe', '4a'))), ...(await rest(session))],
    'a ping that is no probe': async (session) => [...(await endOf(await upgradeTo(session, '2'))), ...(await rest(session))],
    'binary for a probe': async (session) => [...(await endOf(await upgradeTo(session, ONE))), ...(await rest(session))],
    'what is no packet for a probe': async (session) => [...(await endOf(await upgradeTo(session, 'x'))), ...(await rest(session))],
    'a close for a probe': async (session) => [...(await endOf(await upgradeTo(session, '1'))), ...(await rest(session))],
    'a poll between probe and upgrade': async (session) => {
        const wire = await upgradeTo(session, '2probe');
        const lines = [await wire.next(), told(await session.poll())];
        wire.send('5', '4a');
        lines.push(await wire.next());
        wire.close();
        return lines;
    },
    'messages on both ways during the upgrade': async (session) => {
        const wire = await upgradeTo(session, '2probe');
        const lines = [await wire.next()];
        await session.post(payload('4a', 'bAQ=='));
        wire.send('5', '4b');
        lines.push(...(await wire.nextOf(3)).map(String));
        wire.close();
        return lines;
    },
    'the transport of another session': async ({ server }) => {
        const wire = await openWire(server);
        const lines = [told(await ask(`${server.url}/engine.io/?${POLLING}&sid=${wire.opened.sid}`))];
        wire.close();
        return lines;
    },
    'the session of a WebSocket that has ended': async ({ server }) => {
        const wire = await openWire(server);
        wire.socket.close();
        await wire.until(() => wire.end, 'an end');
        return [told(await ask(`${server.url}/engine.io/?${POLLING}&sid=${wire.opened.sid}`))];
    },
    'polling with transport=websocket': async (session) => [told(await ask(session.url('websocket'))), ...(await rest(session))],
};

/** No client is shown the body that refuses an upgrade: ours is the JSON of polling, theirs the sentence in it. */
const inWords = (line) => line.replace(/^end (?=\d{3} )/, '').replace(/{"code":\d,"message":"(.*)"}/, '$1');

describe('out of order', () => {
    for (const [name, act] of Object.entries(ORDER)) same(name, 'engineio', async (server) => act(await openSession(server)));

    for (const query of [
        'transport=websocket', 'EIO=3&transport=websocket', 'EIO=4', 'EIO=4&transport=abc', `${WEBSOCKET}&sid=abc`,
        `${POLLING}`, `${POLLING}&sid=abc`,
    ]) {
        same(`a WebSocket for ${query}`, 'engineio', async (server) => {
            const wire = new Wire(`ws://${server.host}/engine.io/?${query}`);
            return (await endOf(wire)).map(inWords);
        });
    }

    same('a WebSocket that is denied', 'engineio-client', async (server) => {
        const wire = new Wire(`ws://${server.host}/engine.io/?${WEBSOCKET}&deny=1`);
        return (await endOf(wire)).map(inWords);
    });
});

/* ------------------------------------------------------------------------------------------------------ packets of Socket.IO */

const named = (packets) => packets.map((packet) => (typeof packet === 'string' ? packet.slice(0, 60) : `<${packet.toString('hex')}>`)).join(' ');

/** What a connection to the main namespace makes of packets; `alive` is told apart where that is a matter of luck. */
async function answersTo(server, packets) {
    const wire = await openWire(server, { path: PATH });
    wire.send('40');
    await wire.nextOf(2);
    const lines = understood((await outcome(wire, packets)).map(anonymous));
    wire.close();
    return lines;
}

const nested = (depth, open, close) => [`42["message",${open.repeat(depth)}${close.repeat(depth)}]`];

describe('packets of Socket.IO', () => {
    for (const packets of SENT) same(JSON.stringify(named(packets)), 'socketio', (server) => answersTo(server, packets));

    for (const packet of [
        '40', '40{"a":1}', '40/custom,{"a":1}', '40/nope,', '42["message"]', '41', '431[]', '44{}', '4', '4x', '40[]',
        `451-["message",${place(0)}]`,
    ]) {
        same(`${packet} first`, 'socketio', async (server) => {
            const wire = await openWire(server, { path: PATH });
            wire.send(packet);
            await wire.until(() => wire.came.length || wire.end, 'an answer');
            const lines = wire.came.length ? [anonymous(await wire.next())] : [`end ${wire.end.code}`];
            wire.close();
            return lines;
        });
    }

    for (const packet of ['41', '411', '41/,']) {
        same(`${packet} and nothing more`, 'socketio', async (server) => {
            const wire = await openWire(server, { path: PATH });
            wire.send('40');
            await wire.nextOf(2);
            wire.send(packet, '40/random,');
            const lines = await wire.nextOf(1);
            wire.close();
            return lines;
        });
    }

    for (const [first, second] of [
        ['40/custom,', '40/custom,'], ['40/custom,', '41/custom,'], ['40/custom,{"a":1}', '42/custom,["message",1]'],
    ]) {
        same(`${first} and then ${second}`, 'socketio', async (server) => {
            const wire = await openWire(server, { path: PATH });
            wire.send('40', first);
            const lines = (await wire.nextOf(4)).map(anonymous).sort();
            lines.push(...(await outcome(wire, [second])));
            wire.close();
            return lines;
        });
    }

    for (const packets of [
        ['42["message",1]'], ['42{}'], [`451-["message",${place(0)}]`, 'bAQID'],
        ['421["message-with-ack",1]', '42["message",2]'],
    ]) {
        same(`${packets} over polling`, 'socketio', async (server) => {
            const session = await openSession(server, { path: PATH });
            await session.post('40');
            await session.take(2);
            const lines = [told(await session.post(payload(...packets)))];
            const { status, body } = await session.poll();
            return [...lines, `${status} ${body}`];
        });
    }

    for (const depth of [10, 50]) {
        same(`arrays nested ${depth} deep`, 'socketio', (server) => answersTo(server, nested(depth, '[', ']')));
        same(`objects nested ${depth} deep`, 'socketio', (server) => answersTo(server, [`42["message",${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}]`]));
    }

    for (const depth of [5000, 100_000]) {
        oursOnly(`an event nested ${depth} deep`, 'socketio', (server) => answersTo(server, nested(depth, '[', ']')));
    }
});

/* ----------------------------------------------------------------------------------------------------------------- recovery */

/** A session over polling in the namespace, with what its CONNECT brought and the events that may come before it. */
async function enter(server, auth = '') {
    const session = await openSession(server, { path: PATH });
    await session.post(`40${auth}`);
    const missed = [];
    for (;;) {
        const packet = await session.next();
        if (packet.startsWith('40')) return { session, packet, missed, ...JSON.parse(packet.slice(2)) };
        missed.push(packet);
    }
}

const offsetIn = (packet) => JSON.parse(packet.slice(2)).at(-1);

/** An event without its offset. */
const bare = (packet) => JSON.stringify(JSON.parse(packet.slice(2)).slice(0, -1));

/** Leaves with events on the way, and comes back with what auth() makes of the ids. */
async function comeBack(server, auth, leave = (session) => session.post('1')) {
    const first = await enter(server);
    await first.session.post('42["hi"]');
    const offset = offsetIn(await first.session.next());
    await first.session.post('42["getUtf8"]');
    await leave(first.session);
    const second = await enter(server, JSON.stringify(auth({ ...first, offset })));
    await second.session.post('427["echo",1]');
    const { missed } = second;
    while (!missed.at(-1)?.startsWith('437')) missed.push(await second.session.next());
    const ids = `its own id ${second.sid === first.sid}, its private id ${second.pid === first.pid}`;
    return [ids, ...missed.slice(0, -1).map(bare), missed.at(-1)];
}

describe('recovery', () => {
    same('the payload of CONNECT', 'socketio-client', async (server) => [anonymous((await enter(server)).packet)]);

    same('an event has an offset, one with an acknowledgement has none', 'socketio-client', async (server) => {
        const { session } = await enter(server);
        await session.post(payload('42["hi"]', '42["false"]', '42["ack"]', '427["echo",{"a":1}]'));
        const [hi, no, ...others] = await session.take(4);
        return [typeof offsetIn(hi), bare(hi), bare(no), ...others];
    });

    for (const [what, auth] of [
        ['both ids', ({ pid, offset }) => ({ pid, offset })],
        ['both ids and more', ({ pid, offset }) => ({ pid, offset, token: 'a' })],
        ['an offset of another', ({ pid }) => ({ pid, offset: 'none' })],
        ['another private id', ({ offset }) => ({ pid: 'none', offset })],
        ['numbers', () => ({ pid: 1, offset: 2 })],
        ['nothing', () => ({})],
    ]) {
        same(`who comes back with ${what}`, 'socketio-client', (server) => comeBack(server, auth));
    }

    for (const [how, leave] of [
        ['with DISCONNECT', async (session) => [await session.post('41'), await session.post('1')]],
        ['by what is malformed', (session) => session.post('42{}')],
    ]) {
        same(`who left ${how} and comes back`, 'socketio-client', (server) => comeBack(server, ({ pid, offset }) => ({ pid, offset }), leave));
    }

    same('who comes back while he is still here', 'socketio-client', (server) => comeBack(server, ({ pid, offset }) => ({ pid, offset }), () => {}));

    same('who comes back twice', 'socketio-client', async (server) => {
        const first = await enter(server);
        await first.session.post('42["hi"]');
        const offset = offsetIn(await first.session.next());
        await first.session.post('1');
        const auth = JSON.stringify({ pid: first.pid, offset });
        const second = await enter(server, auth);
        const third = await enter(server, auth);
        return [second.sid === first.sid, third.sid === first.sid];
    });

    same('who was cut off over WebSocket', 'socketio-client', async (server) => {
        const wire = await openWire(server, { path: PATH });
        wire.send('40');
        const packet = await wire.next();
        wire.send('42["hi"]');
        const hi = await wire.next();
        const first = JSON.parse(packet.slice(2));
        wire.close();
        const auth = JSON.stringify({ pid: first.pid, offset: offsetIn(hi) });
        const isBack = async () => (await enter(server, auth)).sid === first.sid;
        return [await becomesTrue(isBack)];
    });
});
