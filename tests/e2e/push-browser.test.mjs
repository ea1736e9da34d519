/** weft.js in Chromium, as a page gets it from `weft serve` itself: topics, presence, and what happens when the server or the page goes. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { launchBrowser, openPage } from './support/browser.mjs';
import { becomesTrue, freePort } from './support/program.mjs';
import { folderOf, serve } from './support/served.mjs';
import { ask, publish } from './support/topics.mjs';

const AWAY = /net::ERR_|WebSocket connection to|Failed to load resource|weft\?session=\S+: status 404/;
const CARRIERS = ['websocket', 'sse', 'poll'];

const HTML = `<!DOCTYPE html><meta charset="utf-8"><title>A page</title><link rel="icon" href="data:,">
<script type="module">
    import { connect } from '/weft.js';
    const events = [];
    const messages = [];
    const presence = [];
    window.join = (options) => {
        const weft = connect('/weft', { timeouts: { backoff: 20, backoffMax: 200 }, ...options });
        for (const type of ['open', 'close', 'carrier', 'gap']) weft.on(type, () => events.push(type));
        return Object.assign(window, { weft, events, messages, presence });
    };
    window.listen = (topic, options) => weft.subscribe(topic, (data, message) => messages.push({ ...message, data: [data].flat(Infinity) }), options).ready.then(() => {});
    window.ready = true;
</script>`;

let browser;

before(async () => (browser = await launchBrowser()));
after(() => browser?.close());

/* ------------------------------------------------------------------------------------------------------------ the players */

/** A page from the server, in which weft.js is connected. */
async function open(t, server, { tolerate, ...options } = {}) {
    const page = await openPage(t, browser, `${server.url}/`);
    if (tolerate) page.tolerate(tolerate);
    await page.waitForFunction(() => window.ready);
    await page.evaluate((given) => void join(given), options);
    await page.waitForFunction(() => weft.state === 'open');
    return page;
}

const site = (t) => folderOf(t, { 'index.html': HTML });
const listen = (page, topic, options) => page.evaluate((args) => window.listen(...args), [topic, options]);

/** The data of the messages that the page has, once they are so many. */
async function hears(page, count) {
    await page.waitForFunction((n) => messages.length >= n, count);
    return page.evaluate(() => messages.map(({ data }) => data[0]));
}

/** Closes the pages, whose hanging requests are not complained of, and then the server. */
async function end(server, ...pages) {
    for (const page of pages) {
        page.tolerate(/net::ERR_ABORTED/);
        await page.context().close();
    }
    await server.stop();
}

/* ------------------------------------------------------------------------------------------------------------------ tests */

function talking(carrier) {
    const options = { carriers: [carrier], tolerate: carrier === 'websocket' ? undefined : /net::ERR_ABORTED/ };
    it('a page that is closed leaves nothing behind, on either side', async (t) => {
        const server = await serve(t, [site(t), '--publish-key', 'key']);
        const subscribers = async () => {
            const { body } = await ask({ port: server.port }, '/topics', { headers: { authorization: 'Bearer key' } });
            return JSON.parse(body).topics.find(({ topic }) => topic === 't')?.subscribers;
        };
        const page = await open(t, server, options);
        await listen(page, 't');
        assert.equal(await subscribers(), 1);
        page.tolerate(carrier === 'websocket' ? /^(?!)/ : /net::ERR_ABORTED/);
        await page.goto('about:blank');
        assert.ok(await becomesTrue(async () => (await subscribers()) === 0, 90_000), 'nobody is subscribed');
        await server.stop();
        server.checkLog();
    });
    it('is the module that the server has, and connects by the carrier', async (t) => {
        const server = await serve(t, [site(t), '--log', 'off']);
        const page = await open(t, server, options);
        assert.equal(await page.evaluate(() => weft.carrier), carrier);
        const { headers, status } = await ask({ port: server.port }, '/weft.js');
        assert.deepEqual([status, headers['content-type'].split(';')[0]], [200, 'text/javascript']);
        assert.deepEqual(page.requested.filter((url) => url.endsWith('.js')), [`${server.url}/weft.js`]);
        await end(server, page);
    });
    it('pages hear each other, and others', async (t) => {
        const server = await serve(t, [site(t), '--log', 'off']);
        const [ada, oleg] = [await open(t, server, options), await open(t, server, options)];
        for (const page of [ada, oleg]) await listen(page, 'chat/ä');
        const { cursor } = await ada.evaluate(() => weft.publish('chat/ä', { text: 'from Ada 🧵' }, { event: 'said' }));
        await oleg.evaluate(() => weft.publish('chat/ä', new Uint8Array([0, 255, 10])));
        const { id } = await publish({ port: server.port }, 'chat/ä', 'from outside');
        for (const page of [ada, oleg]) {
            await hears(page, 3);
            const [first, second, third] = await page.evaluate(() => messages.map((message) => ({ ...message, data: JSON.stringify(message.data[0]) })));
            assert.deepEqual(first, { topic: 'chat/ä', id: cursor, event: 'said', kind: 'json', data: '{"text":"from Ada 🧵"}' });
            assert.deepEqual([second.kind, second.data], ['binary', '{"0":0,"1":255,"2":10}']);
            assert.deepEqual([third.id, third.kind, third.data], [id, 'text', '"from outside"']);
        }
        await end(server, ada, oleg);
    });
    it('tells who is there, who comes and who goes', async (t) => {
        const server = await serve(t, [site(t), '--log', 'off', '--presence', 'room/*']);
        const ada = await open(t, server, { ...options, name: 'Ada' });
        await ada.evaluate(() => listen('room/1', { presence: (change) => presence.push(change) }));
        await ada.waitForFunction(() => presence.length === 1);
        const oleg = await open(t, server, { ...options, name: 'Олег' });
        await listen(oleg, 'room/1');
        await ada.waitForFunction(() => presence.length === 2);
        assert.deepEqual(await oleg.evaluate(() => weft.presence('room/1').then(({ count, members }) => [count, members.sort()])), [2, ['Ada', 'Олег']]);
        const heard = [[1, ['Ada'], [], []], [2, [], ['Олег'], []]];
        oleg.tolerate(/net::ERR_ABORTED/);
        await oleg.context().close();
        if (carrier !== 'poll') { // its session lives on for half a minute
            await ada.waitForFunction(() => presence.length === 3);
            heard.push([1, [], [], ['Олег']]);
        }
        assert.deepEqual(await ada.evaluate(() => presence.map(({ count, members = [], joined = [], left = [] }) => [count, members, joined, left])), heard);
        await end(server, ada);
    });
    it('comes back to a server that was killed and started again, and tells the gap', async (t) => {
        const folder = site(t);
        const args = [folder, '--log', 'off', '--listen', String(await freePort())];
        const first = await serve(t, args);
        const page = await open(t, first, { ...options, tolerate: AWAY });
        await listen(page, 't', { since: 'start' });
        for (const text of ['1', '2']) await publish({ port: first.port }, 't', text);
        assert.deepEqual(await hears(page, 2), ['1', '2']);
        first.kill();
        await first.end();
        if (carrier !== 'poll') await page.waitForFunction(() => weft.state !== 'open'); // polls may be lost: it asks again until somebody answers
        const second = await serve(t, args);
        await publish({ port: second.port }, 't', 'of another count');
        await page.waitForFunction(() => events.includes('gap'));
        await publish({ port: second.port }, 't', 'live again');
        assert.deepEqual(await hears(page, 4), ['1', '2', 'of another count', 'live again']);
        const events = (await page.evaluate(() => window.events)).filter((event) => event !== 'carrier');
        assert.deepEqual(events, ['open', 'close', 'open', 'gap']);
        assert.equal(await page.evaluate(() => weft.carrier), carrier);
        await end(second, page);
    });
}

function whole() {
    it('SIGTERM is a close, and no complaint', async (t) => {
        const server = await serve(t, [site(t)]);
        const page = await open(t, server, { tolerate: AWAY });
        await listen(page, 't');
        await server.stop();
        await page.waitForFunction(() => events.includes('close'));
        assert.notEqual(await page.evaluate(() => weft.state), 'open');
        server.checkLog();
    });
    it('close() is the end, without a word on the console', async (t) => {
        const server = await serve(t, [site(t)]);
        for (const carrier of CARRIERS) {
            const page = await open(t, server, { carriers: [carrier], tolerate: carrier === 'websocket' ? undefined : /weft\S*: net::ERR_ABORTED$/ });
            await listen(page, 't');
            await page.evaluate(() => weft.close());
            assert.deepEqual(await page.evaluate(() => [weft.state, events.at(-1)]), ['closed', 'close']);
        }
        await server.stop();
        server.checkLog();
    });
    it('topics that a page may not read or write are refused by name', async (t) => {
        const server = await serve(t, [site(t), '--subscribe', 'open', '--client-publish', 'open']);
        const page = await open(t, server);
        const refused = (act) => page.evaluate(`${act}.then(() => 'allowed', ({ code }) => code)`);
        assert.equal(await refused(`weft.subscribe('closed', () => {}).ready`), 'forbidden');
        assert.equal(await refused(`weft.publish('closed', 1)`), 'forbidden');
        assert.equal(await refused(`weft.publish('open', 1)`), 'allowed');
        await end(server, page);
    });
    it('a page of another origin comes where it is allowed, by each carrier', async (t) => {
        const elsewhere = await serve(t, [site(t)]);
        const server = await serve(t, ['--origin', elsewhere.url]);
        const strict = await serve(t);
        for (const carrier of CARRIERS) {
            const page = await openPage(t, browser, `${elsewhere.url}/`);
            page.tolerate(/net::ERR_|WebSocket connection to|CORS policy|status 403|status of 403/);
            await page.waitForFunction(() => window.ready);
            const said = await page.evaluate(async ([to, carriers]) => {
                const { connect } = await import('/weft.js');
                const weft = connect(`${to}/weft`, { carriers });
                const heard = new Promise((resolve) => weft.subscribe('t', resolve));
                await weft.publish('t', 'across');
                return heard.finally(() => weft.close());
            }, [server.url, [carrier]]);
            assert.equal(said, 'across');
            const failed = await page.evaluate(async ([to, carriers]) => {
                const { connect } = await import('/weft.js');
                const weft = connect(`${to}/weft`, { carriers });
                return new Promise((resolve) => {
                    weft.on('error', () => resolve('failed'));
                    weft.on('open', () => resolve('open'));
                }).finally(() => weft.close());
            }, [strict.url, [carrier]]);
            assert.equal(failed, 'failed');
            await page.context().close();
        }
        for (const one of [server, strict, elsewhere]) await one.stop();
    });
}

describe('weft.js', { concurrency: 4 }, () => {
    for (const carrier of CARRIERS) describe(`by ${carrier}`, { concurrency: 2 }, () => talking(carrier));
    describe('in pages', { concurrency: 1 }, whole);
});
