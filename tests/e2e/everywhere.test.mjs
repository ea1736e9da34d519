/**
 * One topic, heard in every way at once: what curl posts appears in WebSockets, EventSources, streams of lines, polls and weft.js, in node and in
 * Chromium, at once, in one order and under the same ids, each as docs/topics.md says for it.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { EventSource } from 'eventsource';
import WebSocket from 'ws';
import { connect } from '../../js/weft.js';
import * as listeners from './pages/listeners.js';
import { launchBrowser, openPage } from './support/browser.mjs';
import { installed } from './support/debian.mjs';
import { becomesTrue, start } from './support/program.mjs';
import { environment, folderOf, serve } from './support/served.mjs';
import { PAGES, ask, fetchWith, publish, topicPath } from './support/topics.mjs';

const TOPIC = 'näws/of the day';
const KEY = 'to-list-the-topics';
const AT_ONCE_MS = 5_000; /* what waits for more bytes, a comment or a poll's end comes later */
const EVENTS = ['price', 'photo', 'binary'];
const KIB = 1 << 10;

let browser;

before(async () => (browser = await launchBrowser()));
after(() => browser?.close());

/* --------------------------------------------------------------------------------------------------------------- messages */

const ALL_BYTES = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
const PLAIN = 'Content-Type: text/plain; charset=utf-8';
const JSON_TYPE = 'Content-Type: application/json';
const BYTES = 'Content-Type: application/octet-stream';

/** What is posted, with which fields, and what kind of message that is. */
const MESSAGES = [
    { posted: 'hello', fields: [], type: 'text' },
    { posted: 'one\ntwo\n\nfour\n', fields: [PLAIN], type: 'text' },
    { posted: 'CRLF\r\nCR\rboth at the end\r\r\n', fields: [PLAIN], type: 'text' },
    { posted: '', fields: [PLAIN], type: 'text' },
    { posted: ' : a colon, "quotes", \\, <b>, \t, \0, \x1b and \x7f', fields: [PLAIN], type: 'text' },
    { posted: '你好, wörld 🧵 \u2028\u2029', fields: [PLAIN], type: 'text' },
    { posted: 'é🧵0123456789'.repeat(100 * KIB / 16), fields: [PLAIN], type: 'text' },
    { posted: '{"EUR":3.50,"names":["é","\\ud83e\\uddf5",null,true],"deep":{"a":[[]]}}', fields: [JSON_TYPE], type: 'json' },
    { posted: '{\r\n    "over": "lines",\n    "n": 1e3\n}\n', fields: [JSON_TYPE], type: 'json' },
    { posted: '"a string"', fields: [JSON_TYPE], type: 'json' },
    { posted: JSON.stringify(Array.from({ length: 18_000 }, (_, i) => i)), fields: [JSON_TYPE], type: 'json' },
    { posted: '{"EUR":4}', fields: [JSON_TYPE, 'Weft-Event: price'], type: 'json', event: 'price' },
    { posted: 'text with a name', fields: [PLAIN, 'Weft-Event: price'], type: 'text', event: 'price' },
    { posted: ALL_BYTES, fields: [BYTES], type: 'binary' },
    { posted: Buffer.alloc(0), fields: [BYTES], type: 'binary' },
    { posted: randomBytes(100 * KIB), fields: ['Content-Type: image/png', 'Weft-Event: photo'], type: 'binary', event: 'photo' },
    { posted: 'the last', fields: [], type: 'text' },
];

const base64 = (bytes) => Buffer.from(bytes).toString('base64');
const words = (data) => (data instanceof Uint8Array ? `bytes ${data.join()}` : data);
const value = { text: (text) => text, json: JSON.parse, binary: base64 };

/** A message as each way of listening tells it. */
const FORMS = {
    object: ({ id, event, type, posted }) => [id, event, type, value[type](posted)],
    weft: ({ id, event, type, posted }) => [id, event, type, type === 'binary' ? words(Buffer.from(posted)) : value[type](posted)],
    event: ({ id, event, type, posted }) => [
        id, event ?? (type === 'binary' ? 'binary' : undefined), undefined, type === 'text' ? posted.replace(/\r\n?/g, '\n') : value[type](posted),
    ],
    frame: ({ type, posted }) => (type === 'binary' ? [undefined, undefined, type, words(Buffer.from(posted))] : [undefined, undefined, undefined, value[type](posted)]),
};

/** What was heard, in the same form; JSON that came as text is taken for what it means. */
function heardAs(form, { id, event, type, data }, posted) {
    const isText = posted.type === 'json' && (form === FORMS.event || form === FORMS.frame);
    return [id, event, type, isText ? JSON.parse(data) : words(data)];
}

/* ------------------------------------------------------------------------------------------------------------- listeners */

/** A way of listening: its name, a function that gives all that it has heard, the form of that, and whether the server counts it. */
const listener = (name, list, form, counts = true) => ({ name, list, form, counts });

const address = (server) => server.url + topicPath(TOPIC);

function inNode(t, server, way, options = {}) {
    const list = [];
    const take = (message) => list.push({ ...message, at: Date.now() });
    const gap = (cursor) => list.push({ gap: cursor ?? true });
    const failed = (why) => list.push({ failed: why });
    const url = way === 'weft' ? `${server.url}/weft` : address(server);
    const stop = listeners[way](url, { take, gap, failed, topic: TOPIC, events: EVENTS, ...options });
    t.after(stop);
    return Object.assign(async () => list, { stop });
}

async function inChromium(page, way, options = {}) {
    const name = `${way} ${options.carriers ?? ''}`;
    const url = way === 'weft' ? '/weft' : topicPath(TOPIC);
    await page.evaluate((args) => void keep(...args), [name, way, url, { topic: TOPIC, events: EVENTS, ...options }]);
    return () => page.evaluate((of) => heard[of], name);
}

function inCurl(t, server) {
    const program = start(t, installed('curl'), ['-q', '-sS', '-N', '--noproxy', '*', '-H', 'Accept: application/x-ndjson', address(server)], environment());
    const list = [];
    program.wakes.add(() => {
        const lines = program.stdout.split('\n').slice(0, -1).filter(Boolean);
        for (const line of lines.slice(list.length)) list.push({ ...JSON.parse(line), at: Date.now() });
    });
    return Object.assign(async () => list, { stop: () => program.kill() });
}

/** Polls through an agent that keeps its connection, of which there may be one. */
function keptAlive(t) {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const fetch = fetchWith(agent);
    t.after(() => agent.destroy());
    t.after(() => assert.equal(fetch.ports.size, 1, 'one connection'));
    return fetch;
}

async function openListener(t, server) {
    const page = await openPage(t, browser, `${server.url}/listener.html`);
    page.tolerate(/net::ERR_ABORTED/); // what hangs when it is closed
    await page.waitForFunction(() => window.ready);
    return page;
}

async function listenEverywhere(t, server) {
    const node = (way, options) => inNode(t, server, way, options);
    const carriers = [['websocket'], ['sse'], ['poll']];
    const all = [
        listener('WebSocket of npm', node('webSocket', { WebSocket }), FORMS.frame),
        listener('EventSource of npm', node('eventSource', { EventSource }), FORMS.event),
        listener('lines of fetch', node('lines'), FORMS.object),
        listener('lines of curl -N', inCurl(t, server), FORMS.object),
        listener('a hanging poll', node('polls', { fetch: keptAlive(t), wait: 25, since: 'start' }), FORMS.object),
        listener('short polls', node('polls', { fetch: keptAlive(t), since: 'start' }), FORMS.object, false),
        listener('polls of a session', node('sessionPolls'), FORMS.object),
        ...carriers.map((one) => listener(`weft.js by ${one}`, node('weft', { connect, WebSocket, carriers: one }), FORMS.weft)),
    ];
    const page = await openListener(t, server); // last, so that what ends with the test before it ends even when the page complains
    for (const [name, way, form] of [['WebSocket', 'webSocket', FORMS.frame], ['EventSource', 'eventSource', FORMS.event], ['lines', 'lines', FORMS.object]]) {
        all.push(listener(`${name} of Chromium`, await inChromium(page, way), form));
    }
    for (const one of carriers) all.push(listener(`weft.js by ${one} in Chromium`, await inChromium(page, 'weft', { carriers: one }), FORMS.weft));
    await subscribed(server, all.filter(({ counts }) => counts).length);
    return { all, page };
}

/** Nobody listens any more, and the server ends. */
async function end(page, all, server) {
    for (const { list } of all) list.stop?.();
    await page.context().close();
    await server.stop();
}

/** Waits until so many are subscribed. */
async function subscribed(server, count) {
    let subscribers;
    const all = async () => {
        const { body } = await ask({ port: server.port }, '/topics', { headers: { authorization: `Bearer ${KEY}` } });
        subscribers = JSON.parse(body).topics.find(({ topic }) => topic === TOPIC)?.subscribers;
        return subscribers === count;
    };
    assert.ok(await becomesTrue(all), `${subscribers} of ${count} are subscribed`);
}

/* ------------------------------------------------------------------------------------------------------- posting, hearing */

/** Posts with curl; gives the answer. */
async function curl(t, folder, server, { posted, fields }) {
    const file = path.join(folder, 'posted');
    writeFileSync(file, posted);
    const body = fields.length ? ['--data-binary', `@${file}`] : ['-d', posted];
    const program = start(t, installed('curl'), ['-q', '-sS', '--noproxy', '*', ...body, ...fields.flatMap((field) => ['-H', field]), address(server)], environment());
    assert.equal(await program.end(), 'status 0', program.sentence('failed'));
    return JSON.parse(program.stdout);
}

/** Waits until each has heard so many messages; gives their lists, in order. */
async function allHear(all, count) {
    return Promise.all(all.map(async ({ name, list }) => {
        let heard;
        await becomesTrue(async () => (heard = await list()).length >= count);
        assert.equal(heard.length, count, `${name}: the last is ${JSON.stringify(heard.at(-1)).slice(0, 300)}`);
        return heard;
    }));
}

function checkAtOnce(t, all, lists, since) {
    const times = lists.map((list, i) => [list.at(-1).at - since, all[i].name]).sort(([a], [b]) => a - b);
    const [latest, name] = times.at(-1);
    t.diagnostic(`from curl's start to all: ${latest} ms; the last was ${name}`);
    assert.ok(latest < AT_ONCE_MS, `${name} heard it ${latest} ms later`);
}

describe('everywhere', () => {
    it('a message of curl is there at once, for all that listen', async (t) => {
        const server = await serve(t, [PAGES, '--log', 'off', '--publish-key', KEY]);
        const { all, page } = await listenEverywhere(t, server);
        const before = JSON.parse((await ask({ port: server.port }, topicPath(TOPIC))).body);
        assert.deepEqual([before.messages, before.gap], [[], false]);
        const since = Date.now();
        const { id, subscribers } = await curl(t, folderOf(t), server, MESSAGES[0]);
        assert.equal(subscribers, all.filter(({ counts }) => counts).length);
        const { body } = await ask({ port: server.port }, `${topicPath(TOPIC)}?since=${before.cursor}`);
        assert.deepEqual(JSON.parse(body), { messages: [{ id, type: 'text', data: 'hello' }], cursor: id, gap: false });
        checkAtOnce(t, all, await allHear(all, 1), since);
        await end(page, all, server);
    });

    it('every kind of message arrives as docs/topics.md says, in one order, with one id', async (t) => {
        const server = await serve(t, [PAGES, '--log', 'off', '--publish-key', KEY, '--history-bytes', '16M']);
        const folder = folderOf(t);
        const { all, page } = await listenEverywhere(t, server);
        const sent = [];
        for (const message of MESSAGES) sent.push({ ...message, id: (await curl(t, folder, server, message)).id });
        const lists = await allHear(all, sent.length);
        for (const [i, { name, form }] of all.entries()) {
            for (const [n, message] of sent.entries()) {
                assert.deepEqual(heardAs(form, lists[i][n], message), form(message), `${name}, message ${n}`);
            }
        }
        await end(page, all, server);
    });

    it('what many publish at once is in one order for all', async (t) => {
        const server = await serve(t, [PAGES, '--log', 'off', '--publish-key', KEY, '--history', '1000']);
        const { all, page } = await listenEverywhere(t, server);
        const agent = new http.Agent({ keepAlive: true, maxSockets: 10 });
        t.after(() => agent.destroy());
        const published = await Promise.all(Array.from({ length: 300 }, (_, i) => publish({ port: server.port, agent }, TOPIC, `${i}`).then(({ id }) => [id, `${i}`])));
        const order = (id) => Number(/\d+$/.exec(id)[0]);
        const expected = published.sort(([a], [b]) => order(a) - order(b));
        const lists = await allHear(all, expected.length);
        for (const [i, { name, form }] of all.entries()) {
            const heard = lists[i].map(({ id, data }, n) => [form === FORMS.frame ? expected[n][0] : id, data]);
            assert.deepEqual(heard, expected, name);
        }
        await end(page, all, server);
    });
});
