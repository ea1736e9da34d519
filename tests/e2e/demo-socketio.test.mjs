/**
 * The programs over Socket.IO, of `weft demo` and of examples/: with npm's socket.io-client in node, with pages that were written for Node servers, opened from files in
 * Chromium, and with the demo's own pages on desktops and phones.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { after, before, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { io } from 'socket.io-client';
import { launchBrowser, openPage } from './support/browser.mjs';
import { startDemo } from './support/demo.mjs';
import { collect, next } from './support/events.mjs';
import { binaryOf, start, within } from './support/program.mjs';
import { folderOf } from './support/served.mjs';

const DESKTOP = { viewport: { width: 1100, height: 760 } };
const PHONE = { viewport: { width: 375, height: 667 }, isMobile: true, hasTouch: true };
const SMALL_PHONE = { viewport: { width: 320, height: 568 }, isMobile: true, hasTouch: true };
const STEPS = Array.from({ length: 11 }, (_, i) => `%${i * 10}`);
const TRANSPORTS = { 'as it comes': undefined, 'polling alone': ['polling'], 'WebSocket alone': ['websocket'] };
const SERVER_IS_AWAY = /ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|WebSocket connection to|net::ERR_/;

let browser;
let demo;

before(async () => {
    [browser, demo] = await Promise.all([launchBrowser(), startDemo()]);
});

/** The ports of the demo. */
const demoPorts = () => [demo.port, demo.channelPort];

/** Starts an example for the tests around; resolves to its ports, in a function as that of the demo. */
function startExample(name) {
    let port;
    const program = {};
    before(async () => {
        Object.assign(program, { test: { after: (end) => (program.end = end) } });
        const started = start(program.test, binaryOf('WEFT_EXAMPLES', `example-${name}`), ['http://127.0.0.1:0']);
        port = Number((await started.printed(/^listening on .*:(\d+)\n/))[1]);
        program.started = started;
    });
    after(async () => {
        await program.started?.stop();
        program.end?.();
    });
    return () => [port, port];
}
after(async () => {
    await browser?.close();
    await demo?.stop();
});

/* ------------------------------------------------------------------------------------------------------------- the players */

/** A connected client of that port. */
async function join(t, port, options = {}) {
    const socket = io(`http://127.0.0.1:${port}`, { forceNew: true, reconnection: false, ...options });
    t.after(() => socket.disconnect());
    await next(socket, 'connect');
    return socket;
}

/** Everybody gets the event with this one argument, and nothing before it. */
async function allGet(collections, argument) {
    for (const [i, collection] of collections.entries()) assert.deepEqual(await collection.take(1), [argument], `client ${i}`);
}

/* ------------------------------------------------------------------------------------------------------------ the programs */

function sendMsg(ports) {
    for (const [how, transports] of Object.entries(TRANSPORTS)) {
        it(`what one client sends everybody gets, its sender too, from both ports (${how})`, async (t) => {
            const sockets = await Promise.all([...ports(), ports()[0]].map((port) => join(t, port, { transports })));
            const pushed = sockets.map((socket) => collect(socket, 'pushMsg'));
            for (const [i, argument] of ['hello', '你好 🧵', { deep: [1, null, { a: 'b' }] }, 3.5, Buffer.from([0, 1, 255])].entries()) {
                sockets[i % sockets.length].emit('sendMsg', argument);
                await allGet(pushed, argument);
            }
        });
    }
}

function query(ports) {
    it('eleven steps, one a second, to the client that asked alone, on both ports', async (t) => {
        const [asks, elsewhere, other] = await Promise.all([...ports(), ports()[0]].map((port) => join(t, port)));
        const silent = collect(other, 'process');
        const runs = [asks, elsewhere].map(async (socket) => {
            const steps = collect(socket, 'process');
            const begun = performance.now();
            socket.emit('query');
            assert.deepEqual(await steps.take(1), ['%0']);
            assert.deepEqual([...(await steps.take(5)), ...(await steps.take(5))], STEPS.slice(1));
            const took = performance.now() - begun;
            assert.ok(took > 9_900 && took < 15_000, `${took} ms`);
        });
        await Promise.all(runs);
        assert.deepEqual(silent.all, []);
    });
    it('a client may ask twice, and leave meanwhile', async (t) => {
        const socket = await join(t, ports()[0]);
        const steps = collect(socket, 'process');
        socket.emit('query');
        socket.emit('query');
        assert.deepEqual(await steps.take(2), ['%0', '%0']);
        socket.disconnect();
        const another = await join(t, ports()[0]);
        another.emit('query');
        assert.deepEqual(await next(another, 'process'), ['%0']);
    });
}

function chatRoom(ports) {
    it('who comes, what is said, and who leaves', async (t) => {
        const [ada, ming] = await Promise.all(ports().map((port) => join(t, port)));
        const heard = [ada, ming].map((socket) => collect(socket, 'message'));
        ada.emit('message', { type: 'LOGIN', name: 'Ada' });
        await allGet(heard, { type: 'LOGIN', message: 'Ada加入了聊天' });
        ming.emit('message', { type: 'LOGIN', name: '小明 "the \\ one"' });
        await allGet(heard, { type: 'LOGIN', message: '小明 "the \\ one"加入了聊天' });
        ada.emit('message', { type: 'CHAT', message: 'hello\n"all"' });
        await allGet(heard, { type: 'CHAT', message: 'hello\n"all"', sender: 'Ada' });
        ming.send({ type: 'CHAT', message: { any: ['thing'] } });
        await allGet(heard, { type: 'CHAT', message: { any: ['thing'] }, sender: '小明 "the \\ one"' });
        ming.disconnect();
        await allGet([heard[0]], { type: 'LOGOUT', message: '小明 "the \\ one"离开了聊天' });
    });
    it('who never said a name leaves without a word', async (t) => {
        const [ada, nobody] = await Promise.all(ports().map((port) => join(t, port)));
        const heard = collect(ada, 'message');
        nobody.emit('message', { type: 'CHAT', message: 'boo' });
        await allGet([heard], { type: 'CHAT', message: 'boo', sender: null });
        nobody.disconnect();
        ada.emit('message', { type: 'CHAT', message: 'still here' });
        await allGet([heard], { type: 'CHAT', message: 'still here', sender: null });
    });
    it('what is no message of the room changes nothing', async (t) => {
        const ada = await join(t, ports()[0]);
        const heard = collect(ada, 'message');
        for (const argument of [undefined, null, 5, 'LOGIN', [], {}, { type: 'LOGIN' }, { type: 'LOGIN', name: 5 }, { type: 'CHAT' },
            { type: 'LOGIN', name: 'n'.repeat(5000) }, { type: 'OTHER', message: 'x' }]) ada.emit('message', argument);
        ada.emit('another', { type: 'CHAT', message: 'x' });
        ada.emit('message', { type: 'CHAT', message: 'last' });
        await allGet([heard], { type: 'CHAT', message: 'last', sender: null });
    });
}

function history() {
    it('who comes later gets what was said last, each with its time', async (t) => {
        const begun = Date.now();
        const ada = await join(t, demo.port);
        ada.emit('message', { type: 'LOGIN', name: 'Ada' });
        for (let i = 0; i < 60; i++) ada.emit('message', { type: 'CHAT', message: i });
        ada.emit('message', { type: 'CHAT', message: 'x'.repeat(20_000) });
        await next(ada, 'message', ({ message }) => message);
        const late = await join(t, demo.port);
        const come = next(late, 'history');
        late.emit('message', { type: 'LOGIN', name: 'Late' });
        const [history] = await come;
        assert.equal(history.length, 50);
        assert.deepEqual(history.map(({ message }) => message.message), Array.from({ length: 50 }, (_, i) => i + 10), 'nothing huge');
        assert.ok(history.every(({ at }) => at >= begun - 1000 && at <= Date.now() + 1000));
    });
}

/* -------------------------------------------------------------------------------------------------------- the client's file */

async function ask(port, path, { method = 'GET', headers = {} } = {}) {
    const request = http.request({ host: '127.0.0.1', port, path, method, headers, agent: false }).end();
    const [response] = await within(once(request, 'response'), () => `${method} ${path}`);
    return { status: response.statusCode, headers: response.headers, body: Buffer.concat(await response.toArray()) };
}

const PACKAGE = new URL('../../js/node_modules/socket.io-client/', import.meta.url);
const inPackage = (name) => readFileSync(new URL(name, PACKAGE));

function files() {
    const { version } = JSON.parse(inPackage('package.json'));
    const scripts = ['socket.io.js', 'socket.io.min.js', 'socket.io.esm.min.js', 'socket.io.msgpack.min.js'];
    for (const name of scripts.flatMap((script) => [script, `${script}.map`])) {
        it(`${name} is the package's, byte for byte`, async () => {
            const { status, headers, body } = await ask(demo.port, `/socket.io/${name}`);
            assert.equal(status, 200);
            assert.deepEqual(body, inPackage(`dist/${name}`));
            assert.equal(headers.etag, `"${version}"`);
            assert.equal(headers['cache-control'], 'public, max-age=0');
            const type = name.endsWith('.map') ? 'json' : 'javascript';
            assert.equal(headers['content-type'], `application/${type}; charset=utf-8`);
        });
    }
    it('is at /socket.io.js too, on both ports, for GET and HEAD', async () => {
        for (const port of demoPorts()) {
            assert.deepEqual((await ask(port, '/socket.io.js')).body, inPackage('dist/socket.io.js'));
            const { status, headers, body } = await ask(port, '/socket.io.js', { method: 'HEAD' });
            assert.deepEqual([status, headers['content-length'], body.length], [200, String(inPackage('dist/socket.io.js').length), 0]);
        }
    });
    it('304 for who has it', async () => {
        for (const known of [`"${version}"`, `W/"${version}"`]) {
            const { status, body } = await ask(demo.port, '/socket.io/socket.io.js', { headers: { 'if-none-match': known } });
            assert.deepEqual([status, body.length], [304, 0]);
        }
        assert.equal((await ask(demo.port, '/socket.io/socket.io.js', { headers: { 'if-none-match': '"1.0.0"' } })).status, 200);
    });
    it('in gzip for who takes it', async () => {
        const { headers, body } = await ask(demo.port, '/socket.io/socket.io.min.js', { headers: { 'accept-encoding': 'gzip, deflate, br' } });
        assert.equal(headers['content-encoding'], 'gzip');
        assert.match(headers.vary, /Accept-Encoding/);
        assert.deepEqual(gunzipSync(body), inPackage('dist/socket.io.min.js'));
    });
}

/* ----------------------------------------------------------------------------------------- pages written for the Node servers */

/** A page as people wrote them, saved to a file and opened from there. */
async function openSaved(t, port, script) {
    const html = `<!DOCTYPE html><meta charset="utf-8"><link rel="icon" href="data:,"><ul id="list"></ul>
<script src="http://127.0.0.1:${port}/socket.io.js"></script>
<script>
    const socket = io('http://127.0.0.1:${port}');
    const show = (text) => { list.appendChild(document.createElement('li')).textContent = text; };
    ${script}
</script>`;
    const folder = folderOf(t, { 'page.html': html });
    return openPage(t, browser, pathToFileURL(`${folder}/page.html`).href);
}

const lists = (page, words) => page.locator('li', { hasText: words }).first().waitFor();

function savedPages() {
    for (const [i, which] of ['the first port', 'the second port'].entries()) {
        it(`broadcast, from ${which}`, async (t) => {
            const port = demoPorts()[i];
            const page = await openSaved(t, port, "socket.on('pushMsg', show); socket.on('connect', () => socket.emit('sendMsg', 'from a page'));");
            await lists(page, 'from a page');
            (await join(t, port)).emit('sendMsg', 'from node');
            await lists(page, 'from node');
        });
        it(`progress, from ${which}`, async (t) => {
            const page = await openSaved(t, demoPorts()[i], "socket.on('process', show); socket.emit('query');");
            await lists(page, '%0');
            await lists(page, '%10');
        });
        it(`chat room, from ${which}`, async (t) => {
            const page = await openSaved(t, demoPorts()[i], `
    socket.on('message', ({ type, message, sender }) => show(type === 'CHAT' ? sender + ': ' + message : message));
    socket.emit('message', { type: 'LOGIN', name: '小红' });
    socket.emit('message', { type: 'CHAT', message: 'hi' });`);
            await lists(page, '小红加入了聊天');
            await lists(page, '小红: hi');
        });
    }
}

/* -------------------------------------------------------------------------------------------------------- the demo's pages */

const becomes = (page, state) => page.locator(`#state[data-state=${state}]`).waitFor();

async function openRoom(t, name, options = DESKTOP, at = demo) {
    const page = await openPage(t, browser, `${at.page}chatroom`, options);
    await becomes(page, 'connected');
    await page.getByLabel('Your name').fill(name);
    await page.getByRole('button', { name: 'Join' }).click();
    await sees(page, `${name}加入了聊天`);
    return page;
}

async function say(page, text) {
    await page.getByLabel('Message', { exact: true }).fill(text);
    await page.keyboard.press('Enter');
}

const sees = (page, text) => page.locator('#log .text', { hasText: text }).last().waitFor();

/** Who said it, as the page shows it. */
async function authorOf(page, text) {
    return page.locator('.message', { hasText: text }).last().locator('.author').innerText();
}

async function assertFits(page, selectors) {
    const { width, height } = page.viewportSize();
    const wide = await page.evaluate(() => [document.documentElement, document.querySelector('main')]
        .filter((element) => element.scrollWidth > element.clientWidth).map((element) => element.tagName));
    assert.deepEqual(wide, [], 'nothing can be scrolled sideways');
    for (const selector of ['#state', 'nav', ...selectors]) {
        const box = await page.locator(selector).last().boundingBox();
        assert.ok(box.x >= 0 && box.x + box.width <= width, `${selector} fits in the width: ${JSON.stringify(box)}`);
        assert.ok(box.y >= 0 && box.y + box.height <= height, `${selector} fits in the height: ${JSON.stringify(box)}`);
    }
}

function ownPages() {
    for (const [device, options] of Object.entries({ desktop: DESKTOP, phone: PHONE, 'small phone': SMALL_PHONE })) {
        it(`chat room on a ${device}: names, words, joins, leaves, and what was said before`, async (t) => {
            const ada = await openRoom(t, 'Ada', options);
            await say(ada, `hello from a ${device}`);
            await sees(ada, `hello from a ${device}`);
            assert.equal(await authorOf(ada, `hello from a ${device}`), 'You');
            const ming = await openRoom(t, '小明', options);
            await sees(ming, `hello from a ${device}`);
            assert.equal(await authorOf(ming, `hello from a ${device}`), 'Ada');
            await say(ming, 'w'.repeat(300));
            await sees(ada, 'w'.repeat(300));
            await assertFits(ada, ['#text', '#send', '.message']);
            await ming.close();
            await sees(ada, '小明离开了聊天');
        });
        it(`progress and broadcast on a ${device}`, async (t) => {
            const [progress, broadcast] = await Promise.all(['progress', 'sendmsg'].map((name) => openPage(t, browser, demo.page + name, options)));
            await progress.getByRole('button', { name: 'Start' }).click();
            await progress.locator('.percent', { hasText: '10 %' }).waitFor();
            await assertFits(progress, ['.run', '#start']);
            await broadcast.getByLabel('Message', { exact: true }).fill(`to all from a ${device}`);
            await broadcast.keyboard.press('Enter');
            await sees(broadcast, `to all from a ${device}`);
            await assertFits(broadcast, ['#text', '#send', '.message']);
        });
    }
    it('the start page leads to each, and each to the others', async (t) => {
        const page = await openPage(t, browser, demo.page, DESKTOP);
        page.tolerate(/ERR_ABORTED/); /* whoever leaves a page leaves its poll */
        for (const [link, title] of [['Chat', /chat room/], ['Progress', /progress/], ['Broadcast', /broadcast/], ['Announcements', /announcements/]]) {
            await page.locator('nav').getByRole('link', { name: link }).click();
            await page.waitForFunction((pattern) => new RegExp(pattern).test(document.title), title.source);
            await becomes(page, 'connected');
        }
    });
    it('markup in names and messages is shown, not obeyed', async (t) => {
        const ada = await openRoom(t, '<b>Ada</b>');
        await say(ada, '<img src=x onerror=alert(1)>');
        await sees(ada, '<img src=x onerror=alert(1)>');
        assert.equal(await ada.locator('#log img, #log b').count(), 0);
    });
    it('after a restart of the server the room is joined again', async (t) => {
        const first = await startDemo();
        const ada = await openRoom(t, 'Ada', DESKTOP, first);
        ada.tolerate(SERVER_IS_AWAY);
        await first.stop();
        await becomes(ada, 'connecting');
        const second = await startDemo({ port: first.port, channelPort: first.channelPort });
        t.after(() => second.stop());
        await becomes(ada, 'connected');
        await ada.locator('#log .text', { hasText: 'Ada加入了聊天' }).waitFor();
        await say(ada, 'still me');
        await sees(ada, 'still me');
    });
    it('without the client its pages say so', async (t) => {
        const prepare = (page) => {
            page.tolerate(/socket\.io\.js|404/);
            return page.route('**/socket.io.js', (route) => route.fulfill({ status: 404, body: '' }));
        };
        for (const name of ['chatroom', 'progress', 'sendmsg']) {
            const page = await openPage(t, browser, demo.page + name, { ...DESKTOP, prepare });
            await becomes(page, 'broken');
            await page.getByText('built without npm’s socket.io-client').waitFor();
        }
    });
}

describe('weft demo', () => {
    describe('sendMsg', () => sendMsg(demoPorts));
    describe('query', () => query(demoPorts));
    describe('chat room', () => chatRoom(demoPorts));
    describe('what was said in the chat room', history);
    describe('client file', files);
    describe('pages written for Node servers', savedPages);
    describe('its own pages', ownPages);
});
for (const [name, program] of Object.entries({ sendmsg: sendMsg, progress: query, chatroom: chatRoom })) {
    describe(`example ${name}`, () => {
        const ports = startExample(name);
        program(ports);
        it('a page from anywhere may come', async () => {
            const response = await fetch(`http://127.0.0.1:${ports()[0]}/socket.io/?EIO=4&transport=polling`, { headers: { origin: 'http://elsewhere.example' } });
            assert.deepEqual([response.status, response.headers.get('access-control-allow-origin')], [200, '*']);
        });
        it('has the client file', async () => assert.equal((await fetch(`http://127.0.0.1:${ports()[0]}/socket.io/socket.io.js`)).status, 200));
    });
}
