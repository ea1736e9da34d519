/** permessage-deflate with clients that nobody here wrote: npm's `ws` in every combination of parameters, Chromium, and a crowd that agreed to different things. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import WebSocket from 'ws';
import { launchBrowser, openPage } from './support/browser.mjs';
import { within } from './support/program.mjs';
import { folderOf, serve } from './support/served.mjs';
import { startServer } from './support/server.mjs';

const SIZES = [0, 1, 63, 64, 65, 125, 126, 500, 513, 1024, 4096, 4097, 65535, 65536, 131072];

const NO_CONTEXTS = 'permessage-deflate; server_no_context_takeover; client_no_context_takeover';

/** Bytes that are the same in every run and do not shrink. */
function noise(length, name = '') {
    const pieces = [];
    for (let i = 0; pieces.length * 32 < length; i++) pieces.push(createHash('sha256').update(`${name} ${i}`).digest());
    return Buffer.concat(pieces).subarray(0, length);
}

/** Text of so many bytes in which words come again. */
function words(length) {
    const bytes = noise(length);
    return Array.from(bytes, (byte) => ['weft ', 'warp ', 'шум ', '{"a":1},'][byte & 3]).join('').slice(0, Math.max(length >> 2, Math.min(length, 1)));
}

/** A connected client whose `extension` is what the server answered, and whose wire() tells how many bytes have come. */
async function connect(t, url, deflate, options = {}) {
    const socket = new WebSocket(url, { perMessageDeflate: deflate, maxPayload: 0, ...options });
    const received = [];
    let wake = () => {};
    t.after(() => socket.terminate());
    socket.once('upgrade', (response) => (socket.extension = response.headers['sec-websocket-extensions']));
    socket.on('message', (data, isBinary) => {
        received.push([data, isBinary]);
        wake();
    });
    socket.wire = () => socket._socket.bytesRead;
    socket.next = async () => {
        const one = new Promise((resolve) => {
            wake = () => {
                if (!received.length) return;
                wake = () => {};
                resolve(received.shift());
            };
            wake();
        });
        return within(one, () => `${url}: a message`);
    };
    const open = new Promise((resolve, reject) => socket.once('open', resolve).on('error', reject));
    await within(open, () => `${url}: open`);
    return socket;
}

async function exchange(socket, message, isBinary) {
    socket.send(message, { binary: isBinary, compress: true });
    const [data, cameBinary] = await socket.next();
    assert.equal(cameBinary, isBinary);
    assert.ok(data.equals(Buffer.from(message)), `${data.length} bytes came back, not the ${Buffer.byteLength(message)} that were sent`);
}

async function exchangeAll(socket) {
    for (const size of SIZES) {
        await exchange(socket, words(size), false);
        await exchange(socket, Buffer.alloc(size, 'ab'), true);
        await exchange(socket, noise(size), true);
    }
    for (let i = 0; i < 20; i++) await exchange(socket, JSON.stringify({ i, text: words(300) }), false);
}

/** All combinations of what `ws` can say. */
function* combinations() {
    for (const serverNoContextTakeover of [false, true])
        for (const clientNoContextTakeover of [undefined, true]) /* false: the server may not ask for it, which it may (RFC 7692 §7.1.1.2) */
            for (const serverMaxWindowBits of [undefined, 9, 12, 15])
                for (const clientMaxWindowBits of [undefined, 8, 10, 15])
                    yield { serverNoContextTakeover, clientNoContextTakeover, serverMaxWindowBits, clientMaxWindowBits, threshold: 0 };
}

const shown = (options) => Object.entries(options).filter(([, value]) => value).map(([name, value]) => `${name}=${value}`).join(' ');

for (const [name, keeps] of [['ws', false], ['ws-context', true]]) {
    describe(`npm ws and weft-conformance ${name}`, () => {
        let server;
        before(async () => (server = await startServer(name)));
        after(() => server?.stop());
        for (const options of combinations()) {
            it(shown(options) || 'nothing said', async (t) => {
                const socket = await connect(t, server.url, options);
                const has = (parameter) => socket.extension.split('; ').includes(parameter);
                assert.equal(has('server_no_context_takeover'), !keeps || options.serverNoContextTakeover === true);
                assert.equal(has('client_no_context_takeover'), !keeps || options.clientNoContextTakeover === true);
                assert.equal(has(`server_max_window_bits=${options.serverMaxWindowBits}`), options.serverMaxWindowBits !== undefined);
                await exchangeAll(socket);
                const before = socket.wire();
                await exchange(socket, words(40000), false);
                assert.ok(socket.wire() - before < words(40000).length / 2, 'what came back was compressed');
            });
        }
        it('declines a window of 8 bits for what the server sends, and talks on', async (t) => {
            const socket = await connect(t, server.url, { serverMaxWindowBits: 8 });
            assert.equal(socket.extension, undefined);
            await exchange(socket, words(5000), false);
        });
        it('leaves a client alone that offers nothing', async (t) => {
            const socket = await connect(t, server.url, false);
            assert.equal(socket.extension, undefined);
            const before = socket.wire();
            await exchange(socket, words(40000), false);
            assert.ok(socket.wire() - before > words(40000).length);
        });
    });
}

describe('a crowd that agreed to different things', () => {
    it('gets every message, each in its own way', async (t) => {
        const server = await startServer('broadcast');
        t.after(() => server.stop());
        const offers = [false, true, { clientMaxWindowBits: 9 }, { serverMaxWindowBits: 9 }, { serverMaxWindowBits: 12 }, { serverMaxWindowBits: 15 }, false];
        const crowd = await Promise.all(offers.map((offer) => connect(t, server.url, offer)));
        for (const size of SIZES)
            for (const [message, isBinary] of [[words(size), false], [noise(size), true]])
                for (const speaker of crowd.slice(0, 4)) {
                    speaker.send(message, { binary: isBinary, compress: true });
                    for (const socket of crowd) {
                        if (socket === speaker) continue;
                        const [data, cameBinary] = await socket.next();
                        assert.equal(cameBinary, isBinary);
                        assert.ok(data.equals(Buffer.from(message)));
                    }
                }
    });
});

describe('Chromium', () => {
    it('agrees, sends and is sent compressed messages', async (t) => {
        const server = await startServer('ws');
        t.after(() => server.stop());
        const browser = await launchBrowser();
        t.after(() => browser.close());
        const site = await serve(t, [folderOf(t, { 'index.html': '<!doctype html><title>-</title><link rel=icon href=data:,>' })]);
        const page = await openPage(t, browser, `http://127.0.0.1:${site.port}/`);
        const [extensions, sizes] = await page.evaluate(async (url) => {
            const socket = new WebSocket(url);
            socket.binaryType = 'arraybuffer';
            await new Promise((resolve, reject) => Object.assign(socket, { onopen: resolve, onerror: () => reject(new Error('no connection')) }));
            const sizes = [];
            const ask = (message) => new Promise((resolve) => {
                socket.onmessage = ({ data }) => resolve(data);
                socket.send(message);
            });
            for (const size of [0, 1, 64, 600, 5000, 70000, 1000000]) {
                for (const text of ['weft und warp ✓ '.repeat(size / 16 + 1).slice(0, size), Array.from({ length: size }, (_, i) => String.fromCharCode(33 + (i * i * 31 + i * 7) % 90)).join('')]) {
                    if ((await ask(text)) !== text) throw new Error(`text of ${size} came back as another`);
                    const bytes = new TextEncoder().encode(text);
                    const back = new Uint8Array(await ask(bytes));
                    if (back.length !== bytes.length || back.some((byte, i) => byte !== bytes[i])) throw new Error(`bytes of ${size} came back as others`);
                    sizes.push(size);
                }
            }
            socket.close();
            return [socket.extensions, sizes];
        }, server.url);
        assert.match(extensions, /^permessage-deflate; server_no_context_takeover; client_no_context_takeover/);
        assert.equal(sizes.length, 14);
    });
});

describe('weft serve', () => {
    it('--deflate on compresses topics for those who offer it; by default nobody is asked', async (t) => {
        for (const [args, extension] of [[['--deflate', 'on'], NO_CONTEXTS], [[], undefined]]) {
            const server = await serve(t, args);
            const url = `ws://127.0.0.1:${server.port}/topics/t`;
            const [socket, plain] = [await connect(t, url, true), await connect(t, url, false)];
            assert.equal(socket.extension, extension);
            socket.send(words(40000));
            for (const one of [socket, plain]) assert.equal(String((await one.next())[0]), words(40000));
            assert.equal(socket.wire() < words(40000).length / 2, extension !== undefined);
            await server.stop();
        }
    });
});
