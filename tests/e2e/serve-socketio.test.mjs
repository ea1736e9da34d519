/** `weft serve --socketio` with npm's socket.io-client: which namespaces are open, whom events reach, and topics that are bridged to namespaces. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import path from 'node:path';
import { describe, it } from 'node:test';
import { io } from 'socket.io-client';
import { collect, next } from './support/events.mjs';
import { within } from './support/program.mjs';
import { folderOf, serve, weft } from './support/served.mjs';

/* ------------------------------------------------------------------------------------------------------------- the players */

/** A client of a namespace that has not connected yet. */
function client(t, server, nsp = '/', options = {}) {
    const socket = io(server.url + nsp, { forceNew: true, reconnection: false, ...options });
    t.after(() => socket.disconnect());
    return socket;
}

async function join(t, server, nsp, options) {
    const socket = client(t, server, nsp, options);
    await next(socket, 'connect');
    return socket;
}

/** Why a client may not join. */
async function refusal(t, server, nsp, options) {
    const [error] = await next(client(t, server, nsp, options), 'connect_error');
    return error.message;
}

async function ask(server, target, { method = 'GET', headers = {}, body } = {}) {
    const request = http.request(server.url + target, { method, headers, agent: false }).end(body);
    const [response] = await within(once(request, 'response'), () => `${method} ${target}`);
    return { status: response.statusCode, headers: response.headers, body: Buffer.concat(await response.toArray()).toString() };
}

async function post(server, topic, body, headers = {}) {
    assert.equal((await ask(server, `/topics/${topic}`, { method: 'POST', body, headers })).status, 201);
}

const AS_JSON = { 'content-type': 'application/json' };

/** What a topic keeps, as [type, data, event?] each. */
async function kept(server, topic) {
    const { body } = await ask(server, `/topics/${topic}?since=start`);
    return JSON.parse(body).messages.map(({ type, data, event }) => (event ? [type, data, event] : [type, data]));
}

/** Everything that a client is emitted, as [name, ...arguments]. */
function overhear(socket) {
    const all = [];
    let wake = () => {};
    socket.onAny((...event) => {
        all.push(event);
        wake();
    });
    const take = async (count) => {
        await within(new Promise((resolve) => {
            wake = () => all.length >= count && resolve();
            wake();
        }), () => `${count} events, of which ${all.length} came: ${JSON.stringify(all)}`);
        return all.splice(0, count);
    };
    return { take };
}

/** An emit that the server has dealt with when this resolves: everything that was emitted before it, too. */
const settled = (socket) => socket.timeout(10_000).emitWithAck('settled');

/* ------------------------------------------------------------------------------------------------------------- what is open */

function opening() {
    it('is off unless it is asked for', async (t) => {
        const server = await serve(t);
        assert.equal((await ask(server, '/socket.io/?EIO=4&transport=polling')).status, 404);
        assert.equal((await ask(server, '/socket.io/socket.io.js')).status, 404);
        await server.stop();
    });
    const paths = { '--socketio': '/socket.io/', '--socketio=on': '/socket.io/', '--socketio=/live/': '/live/' };
    for (const [argument, where] of Object.entries(paths)) {
        it(`${argument} is at ${where}, and says so`, async (t) => {
            const server = await serve(t, [argument]);
            await server.printed(new RegExp(`^  socket\\.io: ${where}; namespaces: /; clients emit to nobody$`, 'm'));
            await join(t, server, '/', { path: where });
            assert.equal((await ask(server, `${where}socket.io.js`)).status, 200);
            await server.stop();
            server.checkLog();
        });
    }
    it('--socketio takes no other argument for its value', async (t) => {
        const server = await serve(t, ['--socketio', folderOf(t, { 'index.html': 'the page' })]);
        assert.equal((await ask(server, '/')).body, 'the page');
        await join(t, server);
        await server.stop();
    });
    it('by a variable, and by a file', async (t) => {
        const config = path.join(folderOf(t, { 'weft.yaml': 'listen: 0\nsocketio: on\nsocketio-namespace: [/a, "/b-*"]\nsocketio-relay: namespace\n' }), 'weft.yaml');
        const servers = [
            await serve(t, [], { variables: { WEFT_SOCKETIO: 'on', WEFT_SOCKETIO_NAMESPACE: '/a /b-*', WEFT_SOCKETIO_RELAY: 'namespace' } }),
            await serve(t, ['--config', config]),
        ];
        for (const server of servers) {
            await server.printed(/namespaces: \/a \/b-\*; clients emit to their namespace$/m);
            await join(t, server, '/a');
            await join(t, server, '/b-1');
            await server.stop();
        }
    });
    it('namespaces that nobody named are closed, "/" too', async (t) => {
        const server = await serve(t, ['--socketio', '--socketio-namespace', '/news', '--socketio-namespace', '/game-*', '--socketio-bridge', '/b=b']);
        for (const open of ['/news', '/game-', '/game-7', '/b']) await join(t, server, open);
        for (const closed of ['/', '/new', '/news2', '/gam']) assert.equal(await refusal(t, server, closed), 'Invalid namespace', closed);
        await server.stop();
    });
    it('/* opens all of them', async (t) => {
        const server = await serve(t, ['--socketio', '--socketio-namespace', '/*']);
        for (const open of ['/', '/anything']) await join(t, server, open);
        await server.stop();
    });
    it('pages of other origins that are named may come', async (t) => {
        const server = await serve(t, ['--socketio', '--origin', 'https://good.example']);
        const allowed = async (origin) => {
            const { headers } = await ask(server, '/socket.io/?EIO=4&transport=polling', { headers: { origin } });
            return headers['access-control-allow-origin'];
        };
        assert.equal(await allowed('https://good.example'), 'https://good.example');
        assert.equal(await allowed('https://bad.example'), undefined);
        await server.stop();
    });
    it('max-message is the largest event', async (t) => {
        const server = await serve(t, ['--socketio', '--socketio-relay', 'namespace', '--max-message', '2000']);
        for (const transport of ['polling', 'websocket']) {
            const socket = await join(t, server, '/', { transports: [transport] });
            await socket.timeout(10_000).emitWithAck('fits', 'x'.repeat(1000));
            socket.emit('does not', 'x'.repeat(3000));
            assert.match((await next(socket, 'disconnect'))[0], /^transport (close|error)$/);
        }
        await server.stop();
    });
    const wrong = {
        '--socketio=socket.io': /--socketio "socket\.io" is not on, off, or a path such as \/socket\.io\/$/,
        '--socketio=/:x/': /--socketio "\/:x\/" is not on/,
        '--socketio-namespace=news': /--socketio-namespace "news" is not a pattern of namespaces/,
        '--socketio-relay=everybody': /--socketio-relay "everybody" is not nothing, namespace or room$/,
        '--socketio-bridge=/news': /--socketio-bridge "\/news" is not NAMESPACE=TOPIC/,
        '--socketio-bridge=/a-*=a': /--socketio-bridge "\/a-\*=a" is not NAMESPACE=TOPIC/,
        '--socketio-bridge=a=b': /--socketio-bridge "a=b" is not NAMESPACE=TOPIC/,
        '--socketio-recovery=long': /--socketio-recovery "long" is not a time/,
    };
    for (const [argument, sentence] of Object.entries(wrong)) {
        it(`${argument} is told as wrong`, async (t) => {
            const [how, , stderr] = await weft(t, ['check-config', argument]);
            assert.equal(how, 'status 2');
            assert.match(stderr.trim(), sentence);
        });
    }
}

/* ------------------------------------------------------------------------------------------------------------------- relays */

function relaying() {
    it('nothing: no event is passed on or acknowledged', async (t) => {
        const server = await serve(t, ['--socketio', '--socketio-bridge', '/=all']);
        const [one, other] = [await join(t, server), await join(t, server)];
        const heard = overhear(other);
        one.emit('said', 1);
        await assert.rejects(one.timeout(300).emitWithAck('said', 2), /timed out/);
        await post(server, 'all', 'after');
        assert.deepEqual(await heard.take(1), [['message', 'after']]);
        assert.deepEqual(await kept(server, 'all'), [['text', 'after']]);
        await server.stop();
    });
    it('namespace: everybody in it, its sender too, and nobody elsewhere', async (t) => {
        const server = await serve(t, ['--socketio', '--socketio-relay', 'namespace', '--socketio-namespace', '/', '--socketio-namespace', '/x-*']);
        const sockets = [await join(t, server, '/x-1'), await join(t, server, '/x-1', { transports: ['polling'] })];
        const [main, other] = [await join(t, server), await join(t, server, '/x-2')];
        const heard = sockets.map(overhear);
        const elsewhere = [main, other].map(overhear);
        sockets[0].emit('drawn', { x: 1 }, [2], 'three');
        sockets[1].emit('photo', Buffer.from([1, 2, 3]), 'and', Buffer.from([0]));
        for (const one of heard) {
            assert.deepEqual(await one.take(1), [['drawn', { x: 1 }, [2], 'three']]);
            assert.deepEqual(await one.take(1), [['photo', Buffer.from([1, 2, 3]), 'and', Buffer.from([0])]]);
        }
        assert.equal(await sockets[0].timeout(10_000).emitWithAck('acknowledged'), undefined);
        for (const [i, socket] of [main, other].entries()) {
            await settled(socket);
            assert.deepEqual(await elsewhere[i].take(1), [['settled']]);
        }
        await server.stop();
    });
    it('room: everybody who named the same, and who names none is turned away', async (t) => {
        const server = await serve(t, ['--socketio', '--socketio-relay', 'room']);
        const inRoom = (room) => join(t, server, '/', { auth: { room } });
        const [a, b, c] = [await inRoom('kitchen'), await inRoom('kitchen'), await inRoom('küche "2"')];
        const [hearsA, hearsB, hearsC] = [a, b, c].map(overhear);
        a.emit('cooked', 'soup');
        for (const one of [hearsA, hearsB]) assert.deepEqual(await one.take(1), [['cooked', 'soup']]);
        await settled(c);
        assert.deepEqual(await hearsC.take(1), [['settled']]);
        for (const auth of [{}, { room: '' }, { room: 5 }, { room: 'r'.repeat(256) }]) {
            assert.equal(await refusal(t, server, '/', { auth }), "a room is needed, as in io({ auth: { room: 'kitchen' } })");
        }
        await server.stop();
        server.checkLog();
    });
}

/* ------------------------------------------------------------------------------------------------------------------ bridges */

function bridging() {
    it('what is published to a topic reaches its namespace: text, JSON, events, bytes', async (t) => {
        const server = await serve(t, ['--socketio', '--socketio-bridge', '/=news']);
        const heard = await Promise.all(['polling', 'websocket'].map(async (transport) => overhear(await join(t, server, '/', { transports: [transport] }))));
        await post(server, 'news', 'héllo');
        await post(server, 'news', '{"EUR":3}', AS_JSON);
        await post(server, 'news', '[1,"two"]', { ...AS_JSON, 'weft-event': 'price' });
        await post(server, 'news', '[1,"two"]', AS_JSON);
        await post(server, 'news', '"one"', { ...AS_JSON, 'weft-event': 'price' });
        await post(server, 'news', Buffer.from([0, 255]), { 'content-type': 'application/octet-stream', 'weft-event': 'photo' });
        const events = [
            ['message', 'héllo'], ['message', { EUR: 3 }], ['price', 1, 'two'], ['message', [1, 'two']], ['price', 'one'],
            ['photo', Buffer.from([0, 255])],
        ];
        for (const one of heard) assert.deepEqual(await one.take(events.length), events);
        await server.stop();
    });
    it('weft publish --event is that event', async (t) => {
        const server = await serve(t, ['--socketio', '--socketio-bridge', '/=news']);
        const heard = overhear(await join(t, server));
        const publish = async (...args) => {
            const [how, , stderr] = await weft(t, ['publish', '--server', server.url, ...args]);
            assert.deepEqual([how, stderr], ['status 0', '']);
        };
        await publish('news', 'fire', '--event', 'alarm');
        await publish('--event', 'price', '--json', 'news', '["EUR",3]');
        await publish('news', 'plain');
        assert.deepEqual(await heard.take(3), [['alarm', 'fire'], ['price', 'EUR', 3], ['message', 'plain']]);
        await server.stop();
    });
    it('with relay namespace, what clients emit reaches the topic and each client once', async (t) => {
        const server = await serve(t, ['--socketio', '--socketio-relay', 'namespace', '--socketio-bridge', '/=news']);
        const sockets = [await join(t, server), await join(t, server)];
        const heard = sockets.map(overhear);
        sockets[0].emit('price', 'EUR', 3);
        await settled(sockets[0]);
        for (const one of heard) assert.deepEqual(await one.take(2), [['price', 'EUR', 3], ['settled']]);
        assert.deepEqual(await kept(server, 'news'), [['json', ['EUR', 3], 'price'], ['json', [], 'settled']]);
        await server.stop();
    });
    it('a * is the same text in both names', async (t) => {
        const server = await serve(t, ['--socketio', '--socketio-relay', 'namespace', '--socketio-bridge', '/game-*=games/*/events']);
        const [one, two] = [await join(t, server, '/game-1'), await join(t, server, '/game-2')];
        const [hears1, hears2] = [one, two].map(overhear);
        await post(server, 'games/1/events', 'for one');
        await post(server, 'games/2/events', 'for two');
        assert.deepEqual(await hears1.take(1), [['message', 'for one']]);
        assert.deepEqual(await hears2.take(1), [['message', 'for two']]);
        one.emit('moved', 4);
        assert.deepEqual(await hears1.take(1), [['moved', 4]]);
        one.emit('drew', Buffer.from([1]));
        assert.deepEqual(await hears1.take(1), [['drew', Buffer.from([1])]]);
        assert.deepEqual((await kept(server, 'games/1/events')).slice(0, 2), [['text', 'for one'], ['json', [4], 'moved']]);
        await settled(two);
        assert.deepEqual(await hears2.take(1), [['settled']]);
        await server.stop();
    });
    it('what stands around the * counts', async (t) => {
        const server = await serve(t, ['--socketio', '--socketio-bridge', '/game-*-eu=eu/*', '--socketio-bridge', '/game-*-us=us/*', '--socketio-bridge', '/*=any/*']);
        const names = ['/game-1-eu', '/game-1-us', '/game--us', '/game-us'];
        const heard = await Promise.all(names.map(async (name) => overhear(await join(t, server, name))));
        const topics = ['eu/1', 'us/1', 'us/', 'any/game-us', 'eu/1-us', 'us/us'];
        for (const topic of topics) await post(server, topic, topic);
        for (const name of names) await post(server, `any${name}`, 'last');
        assert.deepEqual(await heard[0].take(2), [['message', 'eu/1'], ['message', 'last']]);
        assert.deepEqual(await heard[1].take(2), [['message', 'us/1'], ['message', 'last']]);
        assert.deepEqual(await heard[2].take(2), [['message', 'us/'], ['message', 'last']]);
        assert.deepEqual(await heard[3].take(2), [['message', 'any/game-us'], ['message', 'last']]);
        await server.stop();
    });
}

/* ----------------------------------------------------------------------------------------------------------------- recovery */

/** Cuts the connection as a network does; the client comes back by itself. */
function cut(socket) {
    socket.io.engine.close();
}

function recovering() {
    it('a client that is back in time is the same, and gets what it missed', async (t) => {
        const server = await serve(t, ['--socketio', '--socketio-recovery', '2m', '--socketio-bridge', '/=news']);
        const socket = await join(t, server, '/', { reconnectionDelay: 50, reconnection: true, transports: ['websocket'] });
        const heard = collect(socket, 'message');
        const { id } = socket;
        await post(server, 'news', 'before');
        assert.deepEqual(await heard.take(1), ['before']);
        const back = next(socket, 'connect');
        cut(socket);
        await post(server, 'news', 'meanwhile');
        await back;
        assert.deepEqual([socket.recovered, socket.id], [true, id]);
        assert.deepEqual(await heard.take(1), ['meanwhile']);
        await server.stop();
    });
    it('in its room again', async (t) => {
        const server = await serve(t, ['--socketio', '--socketio-recovery', '2m', '--socketio-relay', 'room']);
        const socket = await join(t, server, '/', { auth: { room: 'r' }, reconnectionDelay: 50, reconnection: true });
        const other = await join(t, server, '/', { auth: { room: 'r' } });
        const heard = collect(socket, 'said');
        other.emit('said', 1);
        assert.deepEqual(await heard.take(1), [1]);
        const back = next(socket, 'connect');
        cut(socket);
        await other.timeout(10_000).emitWithAck('said', 2);
        await back;
        other.emit('said', 3);
        assert.deepEqual(await heard.take(2), [2, 3]);
        socket.emit('said', 4);
        assert.deepEqual(await heard.take(1), [4]);
        await server.stop();
    });
    it('unless told to, it is a new one, and its events are as they were emitted', async (t) => {
        const server = await serve(t, ['--socketio', '--socketio-bridge', '/=news']);
        const socket = await join(t, server, '/', { reconnectionDelay: 50, reconnection: true });
        const { id } = socket;
        const back = next(socket, 'connect');
        cut(socket);
        await back;
        assert.ok(!socket.recovered);
        assert.notEqual(socket.id, id);
        const heard = overhear(socket);
        await post(server, 'news', '[]', { ...AS_JSON, 'weft-event': 'empty' });
        assert.deepEqual(await heard.take(1), [['empty']]);
        await server.stop();
    });
}

describe('what is open', opening);
describe('relays', relaying);
describe('bridges', bridging);
describe('recovery', recovering);
