/**
 * nginx and HAProxy between `weft serve` and its clients, as docs/server.md says and as people find them: what is published passes at once by
 * every transport that the proxy lets through, and weft.js finds one of those.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { after, before, describe, it } from 'node:test';
import { EventSource } from 'eventsource';
import WebSocket from 'ws';
import { connect } from '../../js/weft.js';
import * as listeners from './pages/listeners.js';
import { launchBrowser, openPage } from './support/browser.mjs';
import { startCutter } from './support/cutter.mjs';
import { becomesTrue, within } from './support/program.mjs';
import { startHaproxyWith, startNginxWith } from './support/proxies.mjs';
import { serve } from './support/served.mjs';
import { PAGES, ask, fetchWith, publish, topicPath } from './support/topics.mjs';

const TOPIC = 'through';
const KEY = 'to-list-the-topics';
const CARRIERS = ['websocket', 'sse', 'poll'];
const HELLO_MS = 1_500; /* after which weft.js takes it that a carrier is blocked */
const docs = readFileSync(new URL('../../docs/server.md', import.meta.url), 'utf8');
const snippet = (language) => new RegExp(`\`\`\`${language}\n([^]*?)\`\`\``).exec(docs)[1];

let browser;

before(async () => (browser = await launchBrowser()));
after(() => browser?.close());

/* ---------------------------------------------------------------------------------------------------------------- proxies */

const nginx = (lines) => `server { listen 80; location / { proxy_pass http://127.0.0.1:3000; proxy_set_header Host $http_host; ${lines} } }`;

/** How it is started, its configuration, and the carriers that it lets through. */
const PROXIES = {
    'nginx as docs/server.md says': [startNginxWith, snippet('nginx'), CARRIERS],
    'nginx without a word on HTTP/1.1': [startNginxWith, nginx(''), ['sse', 'poll']],
    'nginx that buffers everything': [startNginxWith, nginx('proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;'), ['poll']],
    'HAProxy as docs/server.md says': [startHaproxyWith, snippet('haproxy'), CARRIERS],
    'HAProxy that refuses upgrades': [
        startHaproxyWith,
        snippet('haproxy').replace('bind :80', 'bind :80\n    http-request deny deny_status 403 if { hdr(upgrade) -i websocket }'),
        ['sse', 'poll'],
    ],
};

/** Weft, and a relay to the proxy in front of it, as a browser needs a port: {server, url, port}. */
async function behind(t, [startProxy, configuration]) {
    const server = await serve(t, [PAGES, '--log', 'off', '--drain', '300ms', '--host', 'example.com', '--client-publish', '*', '--publish-key', KEY]);
    const proxy = await startProxy(configuration.replaceAll('127.0.0.1:3000', `127.0.0.1:${server.port}`));
    t.after(() => proxy.stop());
    const { url, port } = await startCutter(t, { path: proxy.socketPath });
    return { server, url, port, topic: url + topicPath(TOPIC) };
}

/* ------------------------------------------------------------------------------------------------------------------ tests */

/** Listens, publishes one message, and the next only when that was heard; from Weft itself, or through the proxy. */
async function oneByOne(t, front, way, options) {
    const heard = [];
    const take = ({ data }) => heard.push(data);
    const failed = (why) => heard.push(why);
    const { server } = front;
    const url = way === 'weft' ? `${front.url}/weft` : front.topic;
    await publish({ port: server.port }, TOPIC, 'before');
    const stop = listeners[way](url, { since: 'start', topic: TOPIC, take, failed, gap: () => heard.push('a gap'), ...options });
    t.after(stop);
    const expected = ['before'];
    for (let n = 0; n <= 5; n++) {
        assert.ok(await becomesTrue(() => heard.length >= expected.length), `${expected.at(-1)} is heard`);
        assert.deepEqual(heard, expected);
        expected.push(`${n}`);
        if (n < 5) await publish({ port: n % 2 ? front.port : server.port }, TOPIC, `${n}`);
    }
    stop();
}

function passes(proxy) {
    const [, , carriers] = proxy;
    const streams = carriers.includes('sse');
    const test = (name, act) => it(name, async (t) => {
        const front = await behind(t, proxy);
        await act(t, front);
        await front.server.stop();
    });
    const pass = (name, way, makeOptions = () => ({})) => test(name, (t, front) => oneByOne(t, front, way, makeOptions(t)));
    if (streams) {
        pass('an event is there before the next is published', 'eventSource', () => ({ EventSource }));
        pass('a line is there before the next is published', 'lines');
    }
    if (carriers.includes('websocket')) pass('a message of a WebSocket, too', 'webSocket', () => ({ WebSocket }));
    pass('long polls of an agent that keeps its connection', 'polls', (t) => {
        const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
        t.after(() => agent.destroy());
        return { fetch: fetchWith(agent), wait: 20 };
    });
    pass('polls of a session', 'sessionPolls');
    for (const carrier of carriers) pass(`weft.js by ${carrier}`, 'weft', () => ({ connect, WebSocket, carriers: [carrier] }));

    test('a long poll hangs as long as it says, again and again', async (t, { port, server }) => {
        await publish({ port: server.port }, TOPIC, 'old');
        const { cursor } = JSON.parse((await ask({ port }, topicPath(TOPIC))).body);
        for (let i = 0; i < 2; i++) {
            const since = Date.now();
            const { status, body } = await ask({ port }, `${topicPath(TOPIC)}?since=${cursor}&wait=2`);
            assert.deepEqual([status, JSON.parse(body)], [200, { messages: [], cursor, gap: false }]);
            assert.ok(Date.now() - since > 1_900);
        }
    });
    test('100 polls at once', async (t, { port, server }) => {
        const { cursor } = JSON.parse((await ask({ port }, topicPath(TOPIC))).body);
        const headers = { authorization: `Bearer ${KEY}` };
        const polls = Array.from({ length: 100 }, () => ask({ port, agent: false }, `${topicPath(TOPIC)}?since=${cursor}&wait=20`));
        const waiting = async () => JSON.parse((await ask({ port: server.port }, '/topics', { headers })).body).topics.find(({ topic }) => topic === TOPIC)?.subscribers === 100;
        assert.ok(await becomesTrue(waiting), 'all wait');
        await publish({ port }, TOPIC, 'for all');
        for (const { body } of await Promise.all(polls)) assert.deepEqual(JSON.parse(body).messages.map(({ data }) => data), ['for all']);
    });
    test(`weft.js finds ${carriers[0]}, in node`, async (t, front) => {
        const weft = connect(`${front.url}/weft`, { WebSocket, timeouts: { hello: HELLO_MS } });
        t.after(() => weft.close());
        await talks(weft, front);
        assert.equal(weft.carrier, carriers[0]);
        weft.close();
    });
    test(`weft.js finds ${carriers[0]}, in Chromium`, async (t, { url }) => {
        const page = await openPage(t, browser, `${url}/listener.html`);
        page.tolerate(carriers.length < 3 ? /net::ERR_ABORTED|WebSocket connection to|ERR_INCOMPLETE_CHUNKED|status 403/ : /net::ERR_ABORTED/);
        await page.waitForFunction(() => window.ready);
        const found = await page.evaluate(async (hello) => {
            const weft = connect('/weft', { timeouts: { hello } });
            const said = [];
            let wake;
            const heard = new Promise((resolve) => (wake = resolve));
            await weft.subscribe('t', (data) => said.push(data) === 3 && wake()).ready;
            for (const n of [1, 2, 3]) await weft.publish('t', n);
            await heard;
            weft.close();
            return [weft.carrier, said];
        }, HELLO_MS);
        assert.deepEqual(found, [carriers[0], [1, 2, 3]]);
        await page.context().close();
    });
}

/** Hears what is published through it and beside it. */
async function talks(weft, { server }) {
    const heard = [];
    await within(weft.subscribe(TOPIC, (data) => heard.push(data)).ready, () => 'subscribed');
    for (let n = 0; n < 3; n++) {
        await within(weft.publish(TOPIC, `by weft.js ${n}`), () => 'published');
        await publish({ port: server.port }, TOPIC, `by HTTP ${n}`);
    }
    assert.ok(await becomesTrue(() => heard.length === 6), heard.join());
    assert.deepEqual(heard, [0, 1, 2].flatMap((n) => [`by weft.js ${n}`, `by HTTP ${n}`]));
}

for (const [name, proxy] of Object.entries(PROXIES)) describe(name, { concurrency: 3 }, () => passes(proxy));
