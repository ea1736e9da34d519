/**
 * npm's `socket.io-client` and `engine.io-client`, as they are, in Chromium against `weft-conformance`: in a page of the server's own
 * origin and in one of another.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launchBrowser, openPage } from './support/browser.mjs';
import { startConformance } from './support/engineio.mjs';
import { within } from './support/program.mjs';

const SCRIPTS = [
    'node_modules/socket.io-client/dist/socket.io.min.js', 'node_modules/engine.io-client/dist/engine.io.min.js',
    'pages/socketio.js',
];
const TRANSPORTS = [['polling'], ['websocket'], ['polling', 'websocket']];
const SERVER_IS_AWAY = /net::ERR_|Failed to load resource|WebSocket connection to|status 400/;
const REFUSED = /CORS policy|net::ERR_FAILED|Failed to load resource/;

let browser;
let elsewhere; /* a server of another origin */
let echo;
let server;

before(async () => {
    const answer = (_, response) => response.setHeader('content-type', 'text/html').end('<link rel="icon" href="data:,">');
    elsewhere = http.createServer(answer).listen(0, '127.0.0.1');
    const servers = ['socketio', 'socketio-client'].map((name) => startConformance(null, name));
    [browser, echo, server] = await Promise.all([launchBrowser(), ...servers, once(elsewhere, 'listening')]);
});
after(async () => {
    await browser?.close();
    elsewhere.close();
    await Promise.all([echo?.stop(), server?.stop()]);
});

/** A page with the clients, of whatever a server answers there; run(act, …args) calls act(…args) in it. */
async function open(t, url) {
    const prepare = (fresh) => fresh.route('**/favicon.ico', (route) => route.fulfill({ status: 204 }));
    const page = await openPage(t, browser, url, { prepare });
    for (const path of SCRIPTS) await page.addScriptTag({ path: fileURLToPath(new URL(path, import.meta.url)) });
    page.run = (act, ...args) => within(page.evaluate(`(${act})(...${JSON.stringify(args)})`), () => `in the page: ${act}`);
    return page;
}

const openAt = (t, { url }, path = '/socket.io/') => open(t, `${url}${path}?EIO=4&transport=polling`);

const openElsewhere = (t) => open(t, `http://127.0.0.1:${elsewhere.address().port}/`);

/** A page that is connected by these transports, and on the last of them. */
async function connected(t, transports, at = server) {
    const page = await openAt(t, at);
    await page.run(async (options) => connect('/', options), { transports });
    if (transports.length > 1) await page.run(async () => upgraded(socket.io.engine));
    assert.equal(await page.run(() => socket.io.engine.transport.name), transports.at(-1));
    return page;
}

/* ------------------------------------------------------------------------------------------------------------- same origin */

for (const transports of TRANSPORTS) {
    describe(`by ${transports.join(', then ')}`, () => {
        it('connects and talks', async (t) => {
            const page = await connected(t, transports);
            assert.equal(await page.run(() => socket.emitWithAck('getId')), await page.run(() => socket.id));
            const values = [0, 'пойду €\u{1F600}', null, false, [1, { a: [] }], 'x'.repeat(100_000)];
            assert.deepEqual(await page.run((all) => Promise.all(all.map((value) => socket.emitWithAck('echo', value))), values), values);
            await page.run(async () => {
                socket.emit('hi');
                await next(socket, 'hi');
            });
        });

        it('answers what the server asks', async (t) => {
            const page = await connected(t, transports);
            await page.run(async () => {
                socket.on('ack', (acknowledge) => acknowledge(5, { test: true }));
                socket.emit('ack');
                await next(socket, 'got it');
            });
        });

        for (const [form, make] of [
            ['ArrayBuffer', '(string) => bytes(string).buffer'],
            ['Uint8Array', '(string) => bytes(string)'],
            ['Blob', '(string) => new Blob([string])'],
            ['File', '(string) => new File([string], "name.txt")'],
        ]) {
            it(`sends binary as ${form}`, async (t) => {
                const page = await connected(t, transports);
                const act = `async () => {
                    const make = ${make};
                    const mixed = { hello: 'lol', message: make('howdy'), goodbye: 'gotcha' };
                    for (const [name, value, answer] of [
                        ['buffa', make('howdy'), 'buffack'], ['blob', make('howdy'), 'back'],
                        ['jsonbuff', mixed, 'jsonbuff-ack'], ['jsonblob', mixed, 'jsonblob-ack'],
                    ]) {
                        socket.emit(name, value);
                        await next(socket, answer);
                    }
                    socket.emit('blob1', make('one'));
                    socket.emit('blob2', 'second');
                    socket.emit('blob3', make('three'));
                    await next(socket, 'blob3-ack');
                    const { a, b: [b] } = await socket.emitWithAck('echo', { a: make('first'), b: [make('пойду')] });
                    return [await text(a), await text(b)];
                }`;
                assert.deepEqual(await page.run(act), ['first', 'пойду']);
            });
        }

        it('receives binary as ArrayBuffer', async (t) => {
            const page = await connected(t, transports);
            const come = await page.run(async () => {
                socket.emit('doge');
                const [data] = await next(socket, 'doge');
                return [data instanceof ArrayBuffer, await text(data)];
            });
            assert.deepEqual(come, [true, 'asdfasdf']);
        });

        it('receives a megabyte of binary', async (t) => {
            const page = await connected(t, transports);
            const same = await page.run(async () => {
                const sent = new Uint8Array(700_000).map((_, i) => (i * 31) >> 3);
                const back = new Uint8Array(await socket.emitWithAck('echo', sent));
                return back.length === sent.length && back.every((byte, i) => byte === sent[i]);
            });
            assert.ok(same);
        });

        it('comes back after a cut, and is recovered', async (t) => {
            const page = await connected(t, transports);
            page.tolerate(SERVER_IS_AWAY); /* a poll may be on its way after the packet that closes */
            const [id, again, recovered] = await page.run(async () => {
                socket.emit('hi');
                await next(socket, 'hi');
                const { id } = socket;
                socket.io.engine.close();
                await next(socket, 'connect');
                return [id, socket.id, socket.recovered];
            });
            assert.deepEqual([again, recovered], [id, true]);
        });

        it('comes back when the server has been started again on its port', async (t) => {
            const first = await startConformance(t, 'socketio-client');
            let second;
            t.after(() => second?.kill());
            const page = await connected(t, transports, first);
            page.tolerate(SERVER_IS_AWAY);
            await page.run(() => {
                window.reasons = [];
                socket.on('disconnect', (reason) => reasons.push(reason));
            });
            const gone = page.run(() => reasons.length || next(socket, 'disconnect').then(() => 1));
            await first.stop();
            await gone;
            second = await startConformance(null, 'socketio-client', { port: first.port });
            await page.run(() => socket.connected || next(socket, 'connect').then(() => 1));
            assert.equal(await page.run(() => socket.emitWithAck('echo', 'again')), 'again');
            assert.match((await page.run(() => reasons)).join(), /^(transport (close|error)|io server disconnect)$/);
        });

        it('is refused with the reason', async (t) => {
            const page = await openAt(t, server);
            const message = await page.run(async (options) => refusal('/', options), { transports, query: { fail: 'true' } });
            assert.equal(message, 'Auth failed (main namespace)');
        });
    });
}

it('shares a connection between namespaces', async (t) => {
    const page = await openAt(t, server);
    const come = await page.run(async () => {
        const manager = new io.Manager('/');
        const sockets = ['/', '/foo', '/abc'].map((name) => manager.socket(name));
        const greeted = next(sockets[2], 'handshake');
        await Promise.all(sockets.slice(0, 2).map((socket) => next(socket, 'connect')));
        const [{ headers }] = await greeted;
        const ids = [await sockets[0].emitWithAck('getId'), await sockets[1].emitWithAck('getId')];
        const told = [ids[0] === sockets[0].id, ids[1] === sockets[1].id, headers['user-agent'].includes('Chrome')];
        for (const socket of sockets) socket.disconnect();
        return told;
    });
    assert.deepEqual(come, [true, true, true]);
});

it('the client that the server itself serves works', async (t) => {
    const page = await openAt(t, server);
    const come = await page.run(async () => {
        const { io: theirs } = await import('/socket.io/socket.io.esm.min.js');
        window.socket = theirs({ forceNew: true });
        return socket.emitWithAck('echo', 'by import');
    });
    assert.equal(come, 'by import');
    await page.addScriptTag({ url: '/socket.io/socket.io.js' });
    assert.equal(await page.run(() => (open('/', {}), socket.emitWithAck('echo', 'by script'))), 'by script');
});

/* ----------------------------------------------------------------------------------------------------------- another origin */

describe('from another origin', () => {
    for (const transports of TRANSPORTS) {
        it(`talks where all may, by ${transports.join(', then ')}`, async (t) => {
            const page = await openElsewhere(t);
            const come = await page.run(
                async (url, options) => {
                    const greeted = next(open(url, options), 'auth');
                    const auth = await greeted;
                    socket.emit('message', 1, { a: bytes('binary') });
                    const [one, { a }] = await next(socket, 'message-back');
                    const acknowledged = await socket.emitWithAck('message-with-ack', 'x');
                    socket.disconnect();
                    return [auth, one, await text(a), acknowledged];
                },
                echo.url,
                { transports, auth: { token: 'abc' } },
            );
            assert.deepEqual(come, [[{ token: 'abc' }], 1, 'binary', 'x']);
        });
    }

    it('sends headers of its own where all may', async (t) => {
        const page = await openElsewhere(t);
        const come = await page.run(
            async (url, options) => {
                await connect(url, options);
                socket.emit('message', 'preflighted');
                return (await next(socket, 'message-back'))[0];
            },
            echo.url,
            { transports: ['polling'], extraHeaders: { 'x-custom': 'my token' } },
        );
        assert.equal(come, 'preflighted');
    });

    it('is not let in with credentials where all may', async (t) => {
        const page = await openElsewhere(t);
        page.tolerate(REFUSED);
        const options = { transports: ['polling'], withCredentials: true };
        const message = await page.run(async (url, how) => refusal(url, how), echo.url, options);
        assert.equal(message, 'xhr poll error');
    });

    it('is not let in by polling where CORS is off', async (t) => {
        const page = await openElsewhere(t);
        page.tolerate(REFUSED);
        const message = await page.run(async (url, how) => refusal(url, how), server.url, { transports: ['polling'] });
        assert.equal(message, 'xhr poll error');
    });
});

/* --------------------------------------------------------------------------------------------------------------- Engine.IO */

describe('engine.io-client', () => {
    for (const transports of TRANSPORTS) {
        for (const binaryType of ['arraybuffer', 'blob']) {
            it(`receives binary as ${binaryType} by ${transports.join(', then ')}`, async (t) => {
                const engine = await startConformance(null, 'engineio-client');
                const page = await openAt(t, engine, '/engine.io/');
                t.after(() => engine.stop()); /* behind the page, whose last requests would be refused */
                page.tolerate(/400/); /* a poll that sets out while the client closes finds no session */
                const come = await page.run(
                    async (options, type, last) => {
                        const engineSocket = eio('/', options);
                        engineSocket.binaryType = type;
                        await next(engineSocket, 'open');
                        const [greeting] = await next(engineSocket, 'message');
                        if (engineSocket.transport.name !== last) await upgraded(engineSocket);
                        const ask = (data) => {
                            const answer = next(engineSocket, 'message');
                            engineSocket.send(data);
                            return answer;
                        };
                        const [given] = await ask('give binary');
                        const [utf8] = await ask('give utf8');
                        const [echoed] = await ask(new Blob(['blob']));
                        const numbers = [...new Uint8Array(await new Blob([given]).arrayBuffer())];
                        const [headers] = last === 'polling' ? await ask('sendHeaders') : ['{}'];
                        engineSocket.close();
                        return [greeting, given.constructor.name, numbers, utf8, await text(echoed), JSON.parse(headers).cookie];
                    },
                    { transports },
                    binaryType,
                    transports.at(-1),
                );
                const [cookie] = come.splice(5);
                const kind = binaryType === 'blob' ? 'Blob' : 'ArrayBuffer';
                assert.deepEqual(come, ['hi', kind, [0, 1, 2, 3, 4], 'пойду спать всем спокойной ночи', 'blob']);
                if (transports.at(-1) === 'polling') assert.match(cookie, /^1=1;(.*;)? 2=2$/);
            });
        }
    }
});
