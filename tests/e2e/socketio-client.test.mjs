/** npm's `socket.io-client`, as it is, against `weft-conformance socketio-client`, which recovers sessions and takes 10 ms to let one in. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Manager, io } from 'socket.io-client';
import { isReference, startConformance } from './support/engineio.mjs';
import { collect, next } from './support/events.mjs';
import { becomesTrue, freePort } from './support/program.mjs';

const BYTES = Buffer.from('asdfasdf');
const TEXTS = ['てすと', 'Я Б Г Д Ж Й', 'Ä ä Ü ü ß', 'utf8 — string', 'utf8 — string'];
const QUICK = { reconnectionDelay: 10, reconnectionDelayMax: 50 };
const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const TRANSPORTS = [['polling'], ['websocket'], ['polling', 'websocket']];

let server;

before(async () => (server = await startConformance(null, 'socketio-client')));
after(() => server.stop());

/** A client of its own connection; `namespace` may have a query. */
function client(t, namespace = '/', options = {}) {
    const socket = io(server.url + namespace, { forceNew: true, ...QUICK, ...options });
    t.after(() => socket.disconnect());
    return socket;
}

function managed(t, options = {}, at = server) {
    const manager = new Manager(at.url, { ...QUICK, ...options });
    t.after(() => manager._close());
    return manager;
}

async function connectedClient(t, namespace, options) {
    const socket = client(t, namespace, options);
    await next(socket, 'connect');
    return socket;
}

/** What an event brought, but for the offset that recovery puts behind it. */
async function event(socket, name) {
    const args = await next(socket, name);
    const offset = args.pop();
    assert.ok(typeof offset === 'string' && offset.length > 0, `${name} came with the offset ${offset}`);
    return args;
}

/** Resolves when the server has answered what was sent before. */
const settled = (socket) => socket.emitWithAck('echo', 'settled');

/* ------------------------------------------------------------------------------------------------------------------- events */

function talks(transports) {
    describe(`events by ${transports.join(', then ')}`, () => {
        const open = (t) => client(t, '/', { transports });

        it('there and back', async (t) => {
            const socket = open(t);
            socket.emit('hi');
            assert.deepEqual(await event(socket, 'hi'), []);
            assert.equal(socket.connected, true);
        });

        it('with any JSON', async (t) => {
            const socket = open(t);
            const deep = { a: [1, { b: [[], {}, null, 'пойду €\u{1F600}', '\0\n"\\'] }], '': 0, 'key "quoted"': true };
            for (const value of [
                0, -0.5, 1e21, 'text', '', null, true, false, [], {}, deep, 'x'.repeat(100_000), [deep, deep],
            ]) {
                assert.deepEqual(await socket.emitWithAck('echo', value), value);
            }
        });

        it('with an acknowledgement that the server asks for', async (t) => {
            const socket = open(t);
            const got = next(socket, 'got it');
            socket.on('ack', (acknowledge) => acknowledge(5, { test: true }));
            socket.emit('ack');
            await got;
        });

        it('with false', async (t) => {
            const socket = open(t);
            socket.emit('false');
            assert.deepEqual(await event(socket, 'false'), [false]);
        });

        it('with characters of many bytes', async (t) => {
            const socket = open(t);
            const texts = collect(socket, 'takeUtf8');
            socket.emit('getUtf8');
            assert.deepEqual(await texts.take(5), TEXTS);
        });

        it('with dates, which are texts', async (t) => {
            const socket = open(t);
            assert.match(await socket.emitWithAck('getAckDate', { test: true }), ISO);
            socket.emit('getDate');
            assert.match((await next(socket, 'takeDate'))[0], ISO);
            socket.emit('getDateObj');
            assert.match((await next(socket, 'takeDateObj'))[0].date, ISO);
        });

        it('in order, before and after it is connected', async (t) => {
            const socket = open(t);
            const echoes = Array.from({ length: 100 }, (_, i) => socket.emitWithAck('echo', i));
            await next(socket, 'connect');
            for (let i = 100; i < 200; i++) echoes.push(socket.emitWithAck('echo', i));
            const order = [];
            echoes.forEach((echo) => echo.then((value) => order.push(value)));
            await Promise.all(echoes);
            assert.deepEqual(order, Array.from({ length: 200 }, (_, i) => i));
        });

        it('that nobody listens to', async (t) => {
            const socket = open(t);
            socket.emit('unknown', 1, { a: 2 }, Buffer.from([3]));
            await settled(socket);
        });

        describe('with binary', () => {
            const FORMS = {
                Buffer: BYTES,
                ArrayBuffer: Uint8Array.from(BYTES).buffer,
                Uint8Array: Uint8Array.from(BYTES),
                Int16Array: new Int16Array(Uint8Array.from(BYTES).buffer),
                Float64Array: new Float64Array(Uint8Array.from(BYTES).buffer),
                DataView: new DataView(Uint8Array.from(BYTES).buffer),
            };

            for (const [form, bytes] of Object.entries(FORMS)) {
                it(`as ${form} there and back`, async (t) => {
                    const socket = open(t);
                    assert.deepEqual(await socket.emitWithAck('echo', bytes), BYTES);
                    const nested = { a: [bytes, { b: bytes }], c: 'text', d: [[bytes]] };
                    const expected = { a: [BYTES, { b: BYTES }], c: 'text', d: [[BYTES]] };
                    assert.deepEqual(await socket.emitWithAck('echo', nested), expected);
                });

                it(`as ${form} to events that want it`, async (t) => {
                    const socket = open(t);
                    for (const [name, answer] of [['buffa', 'buffack'], ['blob', 'back']]) {
                        const answered = event(socket, answer);
                        socket.emit(name, bytes);
                        assert.deepEqual(await answered, []);
                    }
                    for (const name of ['jsonbuff', 'jsonblob']) {
                        const answered = next(socket, `${name}-ack`);
                        socket.emit(name, { hello: 'lol', message: bytes, goodbye: 'gotcha' });
                        await answered;
                    }
                });
            }

            it('of the server', async (t) => {
                const socket = open(t);
                socket.emit('doge');
                assert.deepEqual(await event(socket, 'doge'), [BYTES]);
                socket.emit('getbin');
                assert.deepEqual(await event(socket, 'takebin'), [BYTES]);
            });

            it('of the server as an ArrayBuffer', async (t) => {
                const socket = await connectedClient(t, '/', { transports: transports.slice(-1) });
                socket.io.engine.binaryType = 'arraybuffer';
                socket.emit('doge');
                const [bytes] = await next(socket, 'doge');
                assert.ok(bytes instanceof ArrayBuffer);
                assert.deepEqual(Buffer.from(bytes), BYTES);
            });

            it('in order', async (t) => {
                const socket = open(t);
                const second = next(socket, 'abuff2-ack');
                socket.emit('abuff1', BYTES);
                socket.emit('abuff2', 'please arrive second');
                await second;
                const third = next(socket, 'blob3-ack');
                socket.emit('blob1', BYTES);
                socket.emit('blob2', 'second');
                socket.emit('blob3', BYTES);
                await third;
            });

            it('empty and large', async (t) => {
                const socket = open(t);
                for (const bytes of [Buffer.alloc(0), Buffer.alloc(300_000, 'weft')]) {
                    assert.ok(bytes.equals(await socket.emitWithAck('echo', bytes)));
                }
            });

            it('in ten places', async (t) => {
                const socket = open(t);
                const parts = Array.from({ length: 10 }, (_, i) => Buffer.from([i]));
                assert.deepEqual(await socket.emitWithAck('echo', parts), parts);
            });
        });
    });
}

TRANSPORTS.forEach(talks);

/* --------------------------------------------------------------------------------------------------------- acknowledgements */

describe('acknowledgements', () => {
    it('in time', async (t) => {
        const socket = client(t);
        assert.equal(await socket.timeout(20_000).emitWithAck('echo', 42), 42);
        const told = await new Promise((resolve) => socket.timeout(20_000).emit('echo', 43, (...args) => resolve(args)));
        assert.deepEqual(told, [null, 43]);
    });

    it('that do not come are errors', async (t) => {
        const socket = await connectedClient(t);
        await assert.rejects(socket.timeout(50).emitWithAck('unknown'), /operation has timed out/);
        const [error] = await new Promise((resolve) => socket.timeout(50).emit('unknown', (...args) => resolve(args)));
        assert.ok(error instanceof Error);
        await settled(socket);
    });

    it('that come too late are errors, and are not heard of again', async (t) => {
        const socket = client(t);
        const told = [];
        socket.timeout(0).emit('echo', 42, (...args) => told.push(args));
        await settled(socket);
        assert.equal(told.length, 1);
        assert.ok(told[0][0] instanceof Error);
    });

    it('have a time of their own by default', async (t) => {
        const socket = client(t, '/', { ackTimeout: 50 });
        const [error] = await new Promise((resolve) => socket.emit('unknown', (...args) => resolve(args)));
        assert.ok(error instanceof Error);
    });

    it('are errors when the client disconnects', async (t) => {
        const socket = await connectedClient(t);
        const waiting = socket.timeout(20_000).emitWithAck('unknown');
        const alsoWaiting = socket.emitWithAck('unknown');
        socket.disconnect();
        await assert.rejects(waiting, /socket has been disconnected/);
        await assert.rejects(alsoWaiting, /socket has been disconnected/);
    });

    it('come for what was sent while there was no connection', async (t) => {
        const socket = await connectedClient(t);
        socket.disconnect();
        const echo = socket.emitWithAck('echo', 'buffered');
        socket.connect();
        assert.equal(await echo, 'buffered');
    });
});

describe('retries', () => {
    it('keep the order of packets', async (t) => {
        const socket = client(t, '/', { retries: 1, ackTimeout: 20_000 });
        const sent = collect(socket.io.engine, 'packetCreate');
        const echo = (value) => new Promise((resolve, reject) => socket.emit('echo', value, (error, answer) => (error ? reject(error) : resolve(answer))));
        assert.deepEqual(await Promise.all([1, 2, 3].map(echo)), [1, 2, 3]);
        const packets = sent.all.map(({ data }) => data).filter((data) => data && data !== 'probe');
        assert.deepEqual(packets, ['0', '20["echo",1]', '21["echo",2]', '22["echo",3]']);
    });

    it('are as many as was said', async (t) => {
        const socket = client(t, '/', { retries: 3, ackTimeout: 200 });
        const asked = collect(socket, 'ack');
        const error = await new Promise((resolve) => socket.emit('ack', resolve));
        assert.ok(error instanceof Error);
        await asked.take(4);
    });

    it('wait for the connection', async (t) => {
        const socket = client(t, '/', { retries: 3, ackTimeout: 1000, autoConnect: false });
        const told = new Promise((resolve) => socket.emit('echo', 1, (...args) => resolve(args)));
        socket.connect();
        assert.deepEqual(await told, [null, 1]);
    });
});

describe('volatile events', () => {
    it('are lost without a connection', async (t) => {
        const socket = client(t, '/', { autoConnect: false });
        let heard = false;
        socket.volatile.emit('getId', () => (heard = true));
        socket.connect();
        assert.equal(await socket.emitWithAck('getId'), socket.id);
        assert.equal(heard, false);
    });

    it('arrive with one that is ready', async (t) => {
        const socket = await connectedClient(t, '/', { transports: ['websocket'] });
        let id;
        const isHeard = async () => {
            socket.volatile.emit('getId', (value) => (id = value));
            await settled(socket);
            return id !== undefined;
        };
        assert.ok(await becomesTrue(isHeard));
        assert.equal(id, socket.id);
    });
});

/* --------------------------------------------------------------------------------------------------- namespaces, handshakes */

describe('namespaces', () => {
    it('share one connection', async (t) => {
        const manager = managed(t);
        const sockets = ['/', '/foo', '/asd', '/valid', '/timeout_socket'].map((name) => manager.socket(name));
        await Promise.all(sockets.map((socket) => next(socket, 'connect')));
        assert.equal(new Set(sockets.map(({ id }) => id)).size, 5);
        assert.equal(await sockets[0].emitWithAck('getId'), sockets[0].id);
        assert.equal(await sockets[1].emitWithAck('getId'), sockets[1].id);
        assert.notEqual(sockets[0].id, manager.engine.id);
    });

    it('are joined later', async (t) => {
        const manager = managed(t);
        await next(manager.socket('/'), 'connect');
        const foo = manager.socket('/foo');
        await next(foo, 'connect');
        assert.equal(await foo.emitWithAck('getId'), foo.id);
    });

    it('are joined after the last one was left', async (t) => {
        const manager = managed(t);
        const socket = manager.socket('/');
        await next(socket, 'connect');
        const left = next(socket, 'disconnect');
        socket.disconnect();
        assert.deepEqual((await left)[0], 'io client disconnect');
        await next(manager.socket('/foo'), 'connect');
    });

    it('are joined while another is left', async (t) => {
        const manager = managed(t);
        const foo = manager.socket('/foo');
        await next(foo, 'connect');
        const asd = manager.socket('/asd');
        foo.disconnect();
        await next(asd, 'connect');
    });

    it('leave the others when one is left', async (t) => {
        const manager = managed(t);
        const [main, foo] = [manager.socket('/'), manager.socket('/foo')];
        await Promise.all([next(main, 'connect'), next(foo, 'connect')]);
        foo.disconnect();
        await settled(main);
        assert.equal(main.connected, true);
        foo.connect();
        await next(foo, 'connect');
        assert.equal(await foo.emitWithAck('getId'), foo.id);
    });

    it('are opened again from the same manager', async (t) => {
        const manager = managed(t);
        const socket = manager.socket('/');
        await next(socket, 'connect');
        socket.disconnect();
        assert.equal(manager.socket('/'), socket);
        await next(socket, 'connect');
    });

    it('are connected once, however often they are asked for', async (t) => {
        const manager = managed(t, { transports: ['websocket'] });
        const sent = collect(manager.engine, 'packetCreate');
        const sockets = [manager.socket('/'), manager.socket('/'), manager.socket('/foo')];
        assert.equal(sockets[0], sockets[1]);
        await next(sockets[2], 'connect');
        await settled(sockets[0]);
        const connects = sent.all.map(({ data }) => data).filter((data) => data?.startsWith('0'));
        assert.deepEqual(connects, ['0', '0/foo,']);
    });

    it('that do not exist are refused', async (t) => {
        const [error] = await next(client(t, '/nowhere'), 'connect_error');
        assert.equal(error.message, 'Invalid namespace');
    });

    it('that refuse all say why', async (t) => {
        const socket = client(t, '/no');
        const [error] = await next(socket, 'connect_error');
        assert.ok(error instanceof Error);
        assert.equal(error.message, 'Auth failed (custom namespace)');
        assert.equal(error.data, undefined);
        assert.equal(socket.active, false);
    });

    it('that refuse are not tried again after the connection has broken', async (t) => {
        const manager = managed(t);
        const no = manager.socket('/no');
        const main = manager.socket('/');
        const refusals = collect(no, 'connect_error');
        await refusals.take(1);
        if (!main.connected) await next(main, 'connect');
        manager.engine.close();
        await next(main, 'connect');
        await settled(main);
        assert.equal(refusals.all.length, 1);
    });
});

describe('the handshake', () => {
    const handshakeOf = async (t, namespace, options) => {
        const socket = client(t, namespace, options);
        return namespace.startsWith('/abc') ? (await next(socket, 'handshake'))[0] : socket.emitWithAck('getHandshake');
    };

    for (const namespace of ['/', '/abc']) {
        it(`of ${namespace} tells of the request`, async (t) => {
            const handshake = await handshakeOf(t, namespace, { transports: ['polling'], extraHeaders: { 'X-Custom': 'my token' } });
            const keys = ['address', 'auth', 'headers', 'issued', 'query', 'secure', 'time', 'url', 'xdomain'];
            assert.deepEqual(Object.keys(handshake).sort(), keys);
            assert.equal(handshake.headers['x-custom'], 'my token');
            assert.equal(handshake.headers.host, server.host);
            assert.deepEqual([handshake.query.EIO, handshake.query.transport], ['4', 'polling']);
            assert.match(handshake.url, /^\/socket\.io\/\?EIO=4&transport=polling/);
            assert.match(handshake.address, /^(::ffff:)?127\.0\.0\.1$/);
            assert.deepEqual([handshake.secure, handshake.xdomain, handshake.auth], [false, false, {}]);
            assert.ok(Math.abs(Date.now() - handshake.issued) < 60_000);
            assert.ok(Math.abs(Date.parse(handshake.time) - handshake.issued) < 2000);
        });

        it(`of ${namespace} has the query of the options`, async (t) => {
            const { query } = await handshakeOf(t, namespace, { query: { a: 'b', '&a': '&=?a', empty: '', 'ключ': 'значение €' } });
            assert.deepEqual([query.a, query['&a'], query.empty, query['ключ']], ['b', '&=?a', '', 'значение €']);
        });

        it(`of ${namespace} has the query of the address`, async (t) => {
            const { query } = await handshakeOf(t, `${namespace}?b=c&d=e`);
            assert.deepEqual([query.b, query.d], ['c', 'e']);
        });

        it(`of ${namespace} has what the client authorises itself with`, async (t) => {
            const { auth, query } = await handshakeOf(t, namespace, { auth: { a: 'b', c: { d: ['e'] } } });
            assert.deepEqual(auth, { a: 'b', c: { d: ['e'] } });
            assert.equal(query.a, undefined);
        });

        it(`of ${namespace} has what a function of the client says`, async (t) => {
            const { auth } = await handshakeOf(t, namespace, { auth: (tell) => setImmediate(() => tell({ e: 'f' })) });
            assert.deepEqual(auth, { e: 'f' });
        });
    }

    it('is refused by a middleware', async (t) => {
        for (const transports of TRANSPORTS) {
            const [error] = await next(client(t, '/', { transports, query: { fail: 'true' } }), 'connect_error');
            assert.equal(error.message, 'Auth failed (main namespace)');
        }
    });

    it('is refused for the main namespace alone', async (t) => {
        const manager = managed(t, { query: { fail: 'true' } });
        const refused = next(manager.socket('/'), 'connect_error');
        await next(manager.socket('/foo'), 'connect');
        await refused;
    });
});

/* ----------------------------------------------------------------------------------------------------- reconnecting, leaving */

describe('the connection', () => {
    it('upgrades', async (t) => {
        const socket = await connectedClient(t);
        if (socket.io.engine.transport.name === 'polling') await next(socket.io.engine, 'upgrade');
        assert.equal(socket.io.engine.transport.name, 'websocket');
        await settled(socket);
    });

    it('has an id until it ends', async (t) => {
        const socket = await connectedClient(t);
        assert.equal(await socket.emitWithAck('getId'), socket.id);
        socket.disconnect();
        assert.equal(socket.id, undefined);
    });

    for (const transports of TRANSPORTS) {
        it(`comes back after it was cut, by ${transports.join(', then ')}`, async (t) => {
            const socket = await connectedClient(t, '/', { transports });
            const reasons = collect(socket, 'disconnect');
            const again = next(socket.io, 'reconnect');
            socket.io.engine.close();
            await again;
            if (!socket.connected) await next(socket, 'connect');
            assert.deepEqual(await reasons.take(1), ['forced close']);
            await settled(socket);
        });

        it(`comes back by hand, by ${transports.join(', then ')}`, async (t) => {
            const socket = await connectedClient(t, '/', { transports });
            const before = socket.id;
            const left = next(socket, 'disconnect');
            socket.disconnect();
            assert.equal((await left)[0], 'io client disconnect');
            socket.connect();
            await next(socket, 'connect');
            assert.notEqual(socket.id, before);
            assert.equal(socket.recovered, false);
            await settled(socket);
        });

        it(`outlives a heartbeat, by ${transports.join(', then ')}`, async (t) => {
            const socket = await connectedClient(t, '/', { transports });
            await collect(socket.io.engine, 'ping').take(1);
            await settled(socket);
        });
    }

    it('is told apart when it is left and joined at once', async (t) => {
        const socket = await connectedClient(t, '/', { transports: ['websocket'] });
        const reasons = collect(socket, 'disconnect');
        socket.disconnect().connect();
        await next(socket, 'connect');
        await settled(socket);
        assert.deepEqual(reasons.all, ['io client disconnect']);
    });

    it('is closed on what the client cannot read, and comes back', async (t) => {
        const manager = managed(t);
        const socket = manager.socket('/');
        await next(socket, 'connect');
        const { engine } = manager;
        const again = next(manager, 'reconnect');
        engine.emit('data', 'bad');
        await again;
        assert.notEqual(manager.engine, engine);
        assert.equal(engine.readyState, 'closed');
    });

    for (const transport of ['polling', 'websocket']) {
        it(`fails by ${transport} when it takes too long`, async (t) => {
            const socket = client(t, '/', { transports: [transport], timeout: 0, reconnection: false });
            assert.equal((await next(socket, 'connect_error'))[0].message, 'timeout');
        });
    }

    it('gives up after as many attempts as was said', async (t) => {
        const manager = managed(t, { timeout: 0, reconnectionAttempts: 2 });
        const attempts = collect(manager, 'reconnect_attempt');
        manager.socket('/timeout_socket');
        await next(manager, 'reconnect_failed');
        assert.deepEqual(attempts.all, [1, 2]);
    });

    it('comes to a server that was not there', async (t) => {
        const port = await freePort();
        const manager = managed(t, {}, { url: `http://127.0.0.1:${port}` });
        const socket = manager.socket('/');
        await next(socket, 'connect_error');
        await startConformance(t, 'socketio-client', { port });
        await next(socket, 'connect');
        await settled(socket);
    });

    for (const transports of TRANSPORTS) {
        it(`comes back to a server that was started again, by ${transports.join(', then ')}`, async (t) => {
            const first = await startConformance(t, 'socketio-client');
            const manager = managed(t, { transports }, first);
            const socket = manager.socket('/');
            await next(socket, 'connect');
            await settled(socket);
            const lost = next(socket, 'disconnect');
            await first.stop();
            assert.match((await lost)[0], /^(transport (close|error)|io server disconnect)$/);
            await startConformance(t, 'socketio-client', { port: first.port });
            await next(socket, 'connect');
            assert.equal(socket.recovered, false);
            await settled(socket);
        });
    }

    it('is one of a hundred', async (t) => {
        const sockets = await Promise.all(Array.from({ length: 100 }, () => connectedClient(t)));
        const ids = await Promise.all(sockets.map((socket) => socket.emitWithAck('getId')));
        assert.deepEqual(ids, sockets.map(({ id }) => id));
        assert.equal(new Set(ids).size, 100);
    });
});

/* ----------------------------------------------------------------------------------------------------------------- recovery */

describe('recovery', () => {
    /** Has had an event, so that the client knows an offset. */
    async function offset(socket) {
        const answered = next(socket, 'hi');
        socket.emit('hi');
        await answered;
    }

    async function cut(socket) {
        const back = next(socket, 'connect');
        socket.io.engine.close();
        await back;
    }

    for (const transports of TRANSPORTS) {
        describe(`by ${transports.join(', then ')}`, () => {
            it('gives a socket its id back', async (t) => {
                const socket = await connectedClient(t, '/', { transports });
                assert.equal(socket.recovered, false);
                await offset(socket);
                const { id } = socket;
                await cut(socket);
                assert.deepEqual([socket.id, socket.recovered], [id, true]);
                assert.equal(await socket.emitWithAck('getId'), id);
            });

            it('works again and again', async (t) => {
                const socket = await connectedClient(t, '/', { transports });
                await offset(socket);
                const { id } = socket;
                for (let round = 0; round < 5; round++) {
                    await cut(socket);
                    assert.deepEqual([socket.id, socket.recovered], [id, true], `round ${round}`);
                    if (round % 2) await offset(socket);
                }
            });

            it('brings the events that the cut took', async (t) => {
                const socket = await connectedClient(t, '/', { transports });
                const texts = collect(socket, 'takeUtf8');
                await offset(socket);
                socket.emit('getUtf8');
                await texts.take(5);
                const back = next(socket, 'connect');
                socket.io.engine.once('packet', () => socket.io.engine.close());
                socket.emit('getUtf8');
                await back;
                assert.equal(socket.recovered, true);
                assert.deepEqual(await texts.take(5), TEXTS);
                await settled(socket);
                assert.equal(texts.all.length, 10);
            });
        });
    }

    it('is for each namespace', async (t) => {
        const manager = managed(t);
        const [main, abc] = [manager.socket('/'), manager.socket('/abc')];
        await Promise.all([next(abc, 'handshake'), next(main, 'connect')]);
        await offset(main);
        const ids = [main.id, abc.id];
        const back = Promise.all([next(main, 'connect'), next(abc, 'connect')]);
        manager.engine.close();
        await back;
        assert.deepEqual([main.id, abc.id, main.recovered, abc.recovered], [...ids, true, true]);
    });

    it('is not for who left', async (t) => {
        const socket = await connectedClient(t);
        await offset(socket);
        const { id } = socket;
        socket.disconnect().connect();
        await next(socket, 'connect');
        assert.notEqual(socket.id, id);
        assert.equal(socket.recovered, false);
    });

    it('is not for who brings what nobody gave him', async (t) => {
        for (const auth of [
            { pid: 'x', offset: 'y' }, { pid: 'x' }, { pid: 1, offset: {} }, { offset: 'y' },
            { pid: '__proto__', offset: '' },
        ]) {
            const socket = await connectedClient(t, '/', { auth });
            assert.equal(socket.recovered, false);
            assert.deepEqual((await socket.emitWithAck('getHandshake')).auth, auth);
        }
    });

    it('of a socket that had no event yet', { skip: isReference() && 'the reference has no offset to begin from' }, async (t) => {
        const socket = await connectedClient(t);
        const { id } = socket;
        await cut(socket);
        assert.deepEqual([socket.id, socket.recovered], [id, true]);
    });

    it('does not ask the middleware again', async (t) => {
        const socket = await connectedClient(t);
        await offset(socket);
        socket.io.opts.query = { fail: 'true' };
        await cut(socket);
        assert.equal(socket.recovered, true);
    });
});
