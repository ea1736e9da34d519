/**
 * npm's `socket.io-client` through nginx and HAProxy, over TLS and without: polls, the upgrade, binary, acknowledgements, and the connection that a proxy loses when it is
 * told to take its configuration again or to end.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { io } from 'socket.io-client';
import { startCutter } from './support/cutter.mjs';
import { startConformance } from './support/engineio.mjs';
import { next } from './support/events.mjs';
import { becomesTrue } from './support/program.mjs';
import { startHaproxyWith, startNginxWith } from './support/proxies.mjs';
import { folderOf, weft } from './support/served.mjs';

const BYTES = Buffer.alloc(300_000, 'weft');
const EVENTS = 200;
const QUICK = { forceNew: true, reconnectionDelay: 20, reconnectionDelayMax: 100 };

/* ---------------------------------------------------------------------------------------------------------------- proxies */

const nginx = (lines) => (port, scheme) => `
    map $http_upgrade $connection_upgrade { default upgrade; '' close; }
    server {
        listen 80;
        client_max_body_size 2m;
        location / { proxy_pass ${scheme}://127.0.0.1:${port}; proxy_set_header Host $http_host; ${lines} }
    }`;

const UPGRADES = 'proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;';

const haproxy = (port, scheme) => `
    defaults
        mode http
        timeout connect 5s
        timeout client 60s
        timeout server 60s
        timeout tunnel 60s
        http-reuse always
        option forwardfor
    frontend front
        bind :80
        default_backend weft
    backend weft
        server weft 127.0.0.1:${port}${scheme === 'https' ? ' ssl verify none' : ''}
`;

/** How it is started, its configuration, and whether a WebSocket passes. */
const PROXIES = {
    'nginx as its documentation says': [startNginxWith, nginx(UPGRADES), true],
    'nginx that buffers nothing': [startNginxWith, nginx(`${UPGRADES} proxy_buffering off; proxy_request_buffering off;`), true],
    'nginx that speaks HTTP/1.0': [startNginxWith, nginx('proxy_http_version 1.0;'), false],
    HAProxy: [startHaproxyWith, haproxy, true],
};

/** A server, a proxy in front of it, and a relay in front of that, as a client needs a port: {server, proxy, relay, url}. */
async function behind(t, [startProxy, configure], suite) {
    const server = await startConformance(t, suite);
    const start = () => startProxy(configure(server.port, 'http'));
    const front = { server, start, proxy: await start() };
    t.after(() => front.proxy.stop());
    front.target = { path: front.proxy.socketPath };
    front.relay = await startCutter(t, front.target);
    front.url = front.relay.url;
    return front;
}

function open(t, url, options) {
    const socket = io(url, { ...QUICK, ...options });
    t.after(() => socket.disconnect());
    return socket;
}

/* -------------------------------------------------------------------------------------------------------------- behaviour */

/** Events of every kind there and back, in order. */
async function talks(socket) {
    const deep = { a: [BYTES.subarray(0, 10), { b: BYTES }], c: 'пойду €\u{1F600}' };
    assert.deepEqual(await socket.timeout(20_000).emitWithAck('echo', deep), deep);
    const told = [];
    await Promise.all(Array.from({ length: EVENTS }, (_, i) => socket.timeout(20_000).emitWithAck('echo', i).then((n) => told.push(n))));
    assert.deepEqual(told, Array.from({ length: EVENTS }, (_, i) => i));
    const asked = next(socket, 'got it');
    socket.once('ack', (acknowledge) => acknowledge(5, { test: true }));
    socket.emit('ack');
    await asked;
}

const carrier = (socket) => socket.io.engine.transport.name;

function passes(proxy) {
    const [, , upgrades] = proxy;
    const test = (name, act, suite = 'socketio-client') => it(name, async (t) => {
        const front = await behind(t, proxy, suite);
        await act(t, front);
        await front.server.stop();
    });

    test('events by polls', async (t, { url }) => {
        const socket = open(t, url, { transports: ['polling'] });
        await next(socket, 'connect');
        await talks(socket);
        assert.equal(carrier(socket), 'polling');
        socket.disconnect();
    });

    test('a poll waits for what comes later than a ping', async (t, { url }) => {
        const socket = open(t, url, { transports: ['polling'] });
        await next(socket, 'connect');
        await next(socket.io, 'ping');
        await next(socket.io, 'ping');
        await talks(socket);
        socket.disconnect();
    });

    if (upgrades) {
        test('events by WebSocket', async (t, { url }) => {
            const socket = open(t, url, { transports: ['websocket'] });
            await next(socket, 'connect');
            await talks(socket);
            socket.disconnect();
        });
        test('events during the upgrade', async (t, { url }) => {
            const sockets = Array.from({ length: 20 }, () => open(t, url));
            await Promise.all(sockets.map(async (socket) => {
                const upgraded = next(socket.io.engine, 'upgrade');
                await talks(socket);
                await upgraded;
                await talks(socket);
                assert.equal(carrier(socket), 'websocket');
                socket.disconnect();
            }));
        });
    } else {
        test('a client stays with polls when it cannot change', async (t, { url }) => {
            const socket = open(t, url);
            const failed = next(socket.io.engine, 'upgradeError');
            await talks(socket);
            await failed;
            assert.equal(carrier(socket), 'polling');
            socket.disconnect();
        });
    }

    for (const transports of upgrades ? [['polling'], ['websocket'], ['polling', 'websocket']] : [['polling']]) {
        test(`comes back to what it missed, by ${transports.join(', then ')}`, recovers(transports), 'socketio-broadcast');
    }
}

/** Numbers are published while the proxy ends and another one takes its place. */
const recovers = (transports) => async (t, front) => {
    const reader = open(t, front.url, { transports });
    const numbers = [];
    reader.on('pushMsg', (number) => numbers.push(number));
    await next(reader, 'connect');
    const { id } = reader;
    const lost = next(reader, 'disconnect');
    const direct = open(t, front.server.url, { transports: ['websocket'], rejectUnauthorized: false });
    await next(direct, 'connect');
    for (let n = 0; n < 5; n++) await direct.timeout(20_000).emitWithAck('sendMsg', n);
    assert.ok(await becomesTrue(() => numbers.length === 5));
    front.relay.down();
    await front.proxy.stop();
    for (let n = 5; n < 10; n++) await direct.timeout(20_000).emitWithAck('sendMsg', n);
    await lost;
    front.proxy = await front.start();
    front.target.path = front.proxy.socketPath;
    front.relay.up();
    assert.ok(await becomesTrue(() => numbers.length >= 10), `${numbers}`);
    assert.deepEqual(numbers, Array.from({ length: 10 }, (_, n) => n));
    assert.deepEqual([reader.recovered, reader.id], [true, id]);
    for (const socket of [reader, direct]) socket.disconnect();
};

for (const [name, proxy] of Object.entries(PROXIES)) describe(name, { concurrency: 3 }, () => passes(proxy));

/* -------------------------------------------------------------------------------------------------------------------- TLS */

async function secured(t) {
    const folder = folderOf(t);
    const [how] = await weft(t, ['cert', '--out', folder]);
    assert.equal(how, 'status 0');
    return startConformance(t, 'socketio-client', { args: ['--tls', folder] });
}

describe('over TLS', { concurrency: 3 }, () => {
    for (const transports of [['polling'], ['websocket'], ['polling', 'websocket']]) {
        it(`events by ${transports.join(', then ')}`, async (t) => {
            const server = await secured(t);
            const socket = open(t, server.url, { transports, rejectUnauthorized: false });
            const upgraded = transports.length > 1 && next(socket.io.engine, 'upgrade');
            await talks(socket);
            await upgraded;
            await talks(socket);
            assert.equal(carrier(socket), transports.at(-1));
            const { secure } = await socket.timeout(20_000).emitWithAck('getHandshake');
            assert.equal(secure, true);
            socket.disconnect();
            await server.stop();
        });
    }

    for (const [name, [startProxy, configure]] of [['nginx', PROXIES['nginx as its documentation says']], ['HAProxy', PROXIES.HAProxy]]) {
        it(`events through ${name}, which speaks TLS to the server`, async (t) => {
            const server = await secured(t);
            const proxy = await startProxy(configure(server.port, 'https'));
            t.after(() => proxy.stop());
            const relay = await startCutter(t, { path: proxy.socketPath });
            const socket = open(t, relay.url);
            const upgraded = next(socket.io.engine, 'upgrade');
            await talks(socket);
            await upgraded;
            await talks(socket);
            socket.disconnect();
            await server.stop();
        });
    }
});
