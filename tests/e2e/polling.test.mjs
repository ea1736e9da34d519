/**
 * Polls and Server-Sent Events as beginners write them, against the programs of examples/ and `weft demo`: pages with fetch, XMLHttpRequest and
 * EventSource from another origin and from files, node's agent, curl. And what a topic's polls promise to caches and to agents.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { writeFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { EventSource } from 'eventsource';
import { launchBrowser, openPage } from './support/browser.mjs';
import { installed } from './support/debian.mjs';
import { startDemo } from './support/demo.mjs';
import { binaryOf, start, within } from './support/program.mjs';
import { environment, folderOf, serve } from './support/served.mjs';
import { ask, publish, topicPath } from './support/topics.mjs';

const NEWS = { code: 200, data: 'hello world', msg: 'success' };
const TWO_SECONDS = 2_000;
const NEVER_LATER_MS = 15_000; /* than the two seconds, on a busy machine */

let browser;
let elsewhere; /* a server of pages that is not ours: {origin, pages: by path} */

before(async () => {
    browser = await launchBrowser();
    elsewhere = { pages: new Map() };
    elsewhere.server = http.createServer(({ url }, response) => {
        response.setHeader('Content-Type', 'text/html; charset=utf-8');
        response.end(elsewhere.pages.get(url));
    });
    await once(elsewhere.server.listen(0, '127.0.0.1'), 'listening');
    elsewhere.origin = `http://127.0.0.1:${elsewhere.server.address().port}`;
});
after(async () => {
    await browser?.close();
    elsewhere?.server.close().closeAllConnections();
});

/* ------------------------------------------------------------------------------------------------------------ the programs */

/** Starts an example; {port, stop()}. */
async function startExample(t, name) {
    const program = start(t, binaryOf('WEFT_EXAMPLES', `example-${name}`), ['http://127.0.0.1:0']);
    const [, port] = await program.printed(/^listening on http:\S+:(\d+)\n/);
    return Object.assign(program, { port: Number(port) });
}

async function startDemoOf(t) {
    const demo = await startDemo();
    t.after(() => demo.kill());
    return demo;
}

/** What serves /poll and /longpoll, and what serves /events: {port, stop()}. */
const POLLING = [['the example', (t) => startExample(t, 'polling')], ['weft demo', startDemoOf]];
const EVENTS = [['the example', (t) => startExample(t, 'sse')], ['weft demo', startDemoOf]];

/* --------------------------------------------------------------------------------------------------------------- the pages */

/** Opens tests/e2e/pages/NAME from a file or from another origin; only the port differs, since the program under test has a free one. */
async function openStock(t, name, port, from) {
    const source = (await readFile(new URL(`pages/${name}`, import.meta.url), 'utf8')).replaceAll('127.0.0.1:3000', `127.0.0.1:${port}`);
    if (from === 'another origin') {
        elsewhere.pages.set(`/${port}/${name}`, source);
        return openPage(t, browser, `${elsewhere.origin}/${port}/${name}`);
    }
    const file = path.join(folderOf(t), name);
    writeFileSync(file, source);
    return openPage(t, browser, pathToFileURL(file).href);
}

const shown = (page) => page.evaluate(() => [...document.querySelectorAll('#output div')].map((line) => line.textContent));

/** Waits until the page shows this line so many times. */
function shows(page, line, count) {
    const times = ([text, least]) => [...document.querySelectorAll('#output div')].filter(({ textContent }) => textContent === text).length >= least;
    return page.waitForFunction(times, [line, count]);
}

/** Leaves the page before the program ends, of which it would complain. */
async function leave(page, program) {
    page.tolerate(/net::ERR_ABORTED/);
    await page.context().close();
    await program.stop();
}

/* ------------------------------------------------------------------------------------------------------------------- polls */

function polling([name, startProgram]) {
    for (const from of ['a file', 'another origin']) {
        it(`${name}: a page from ${from} polls, with fetch and XMLHttpRequest`, async (t) => {
            const program = await startProgram(t);
            const page = await openStock(t, 'polling.html', program.port, from);
            for (const way of ['fetch', 'XMLHttpRequest', 'long']) await shows(page, `${way}: 200 hello world success`, 2);
            await leave(page, program);
        });
    }
    it(`${name}: an agent keeps its connection through short and long polls`, async (t) => {
        const program = await startProgram(t);
        const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
        t.after(() => agent.destroy());
        const ports = new Set();
        for (const target of ['/poll', '/longpoll', '/poll', '/longpoll', '/poll']) {
            const since = Date.now();
            const { status, headers, body, from } = await ask({ port: program.port, agent }, target);
            assert.deepEqual([status, headers['content-type'], JSON.parse(body)], [200, 'application/json', NEWS]);
            const took = Date.now() - since;
            assert.ok(took < (target === '/poll' ? TWO_SECONDS : TWO_SECONDS + NEVER_LATER_MS), `${target} took ${took} ms`);
            ports.add(from);
        }
        assert.equal(ports.size, 1, 'one connection');
        await program.stop();
    });
    it(`${name}: a hundred long polls are answered together, and who left is no harm`, async (t) => {
        const program = await startProgram(t);
        const aborters = Array.from({ length: 20 }, () => new AbortController());
        const gone = aborters.map(({ signal }) => ask({ port: program.port, agent: false }, '/longpoll', { signal }).catch(() => 'gone'));
        const answers = Array.from({ length: 100 }, () => ask({ port: program.port, agent: false }, '/longpoll'));
        setImmediate(() => aborters.forEach((aborter) => aborter.abort()));
        for (const { status, body } of await Promise.all(answers)) assert.deepEqual([status, JSON.parse(body)], [200, NEWS]);
        assert.deepEqual(new Set(await Promise.all(gone)), new Set(['gone']));
        await program.stop();
    });
    it(`${name}: curl, HEAD, and what is not there`, async (t) => {
        const program = await startProgram(t);
        const url = `http://127.0.0.1:${program.port}`;
        const curl = start(t, installed('curl'), ['-q', '-sS', '--noproxy', '*', `${url}/poll`, `${url}/longpoll`], environment());
        assert.equal(await curl.end(), 'status 0');
        assert.equal(curl.stdout, JSON.stringify(NEWS).repeat(2));
        const { status, headers, body } = await ask({ port: program.port }, '/poll', { method: 'HEAD' });
        assert.deepEqual([status, headers['content-length'], body], [200, String(JSON.stringify(NEWS).length), '']);
        assert.equal((await ask({ port: program.port }, '/poll', { method: 'POST', body: 'x' })).status, 405);
        await program.stop();
    });
}

/* -------------------------------------------------------------------------------------------------------------------- events */

function events([name, startProgram]) {
    for (const from of ['a file', 'another origin']) {
        it(`${name}: an EventSource of a page from ${from}`, async (t) => {
            const program = await startProgram(t);
            const page = await openStock(t, 'events.html', program.port, from);
            await shows(page, 'hello world', 2);
            assert.deepEqual((await shown(page)).slice(0, 3), ['open', 'hello world', 'hello world']);
            await leave(page, program);
        });
    }
    it(`${name}: npm's EventSource and curl hear an event a second`, async (t) => {
        const program = await startProgram(t);
        const url = `http://127.0.0.1:${program.port}/events`;
        const source = new EventSource(url);
        t.after(() => source.close());
        const heard = [];
        const three = new Promise((resolve) => (source.onmessage = ({ data }) => heard.push([data, Date.now()]) === 3 && resolve()));
        const curl = start(t, installed('curl'), ['-q', '-sSN', '--noproxy', '*', url], environment());
        await curl.printed(/data: hello world\n\n[^]*data: hello world\n\n/);
        await within(three, () => `events of ${url}`);
        assert.deepEqual(heard.map(([data]) => data), Array(3).fill('hello world'));
        assert.ok(heard[2][1] - heard[0][1] > 1_000, 'they come one by one');
        source.close();
        curl.kill();
        await program.stop();
    });
}

/* --------------------------------------------------------------------------------------------------------- polls of a topic */

function topic() {
    const get = (server, query, options) => ask({ port: server.port }, topicPath('t') + query, options);
    const parsed = async (...args) => JSON.parse((await get(...args)).body);

    it('the cursor is the ETag: 304 until there is more', async (t) => {
        const server = await serve(t);
        const { id } = await publish({ port: server.port }, 't', '1');
        const first = await get(server, '?since=start');
        assert.deepEqual([first.headers.etag, first.headers.vary], [`"${id}"`, 'Accept']);
        const asked = { headers: { 'if-none-match': first.headers.etag } };
        for (const query of [`?since=${id}`, '?since=start', '']) {
            const { status, headers, body } = await get(server, query, asked);
            assert.deepEqual([status, headers.etag, body], [304, first.headers.etag, ''], query);
        }
        await publish({ port: server.port }, 't', '2');
        assert.deepEqual((await parsed(server, `?since=${id}`, asked)).messages.map(({ data }) => data), ['2']);
        await server.stop();
    });
    it('a browser\'s cache asks with it, and a page sees the answer', async (t) => {
        const server = await serve(t, [folderOf(t, { 'index.html': '<!DOCTYPE html><link rel="icon" href="data:,">' })]);
        const page = await openPage(t, browser, `${server.url}/`);
        const statuses = [];
        page.on('response', (response) => response.url().includes('/topics/') && statuses.push(response.status()));
        const poll = () => page.evaluate(() => fetch('/topics/t?since=start').then((answer) => answer.json()).then(({ messages }) => messages.map(({ data }) => data)));
        await publish({ port: server.port }, 't', '1');
        for (let i = 0; i < 2; i++) assert.deepEqual(await poll(), ['1']);
        await publish({ port: server.port }, 't', '2');
        assert.deepEqual(await poll(), ['1', '2']);
        assert.equal(statuses.length, 3);
        await server.stop();
    });
    it('HEAD tells what GET would, and does not wait', async (t) => {
        const server = await serve(t);
        const { id } = await publish({ port: server.port }, 't', '1');
        const { headers } = await get(server, '?since=start');
        const head = await get(server, `?since=start&wait=25`, { method: 'HEAD' });
        assert.deepEqual([head.status, head.headers['content-length'], head.headers.etag, head.body], [200, headers['content-length'], `"${id}"`, '']);
        await server.stop();
    });
    it('a long poll waits as long as it says, or until there is something', async (t) => {
        const server = await serve(t);
        const { cursor } = await parsed(server, '');
        const since = Date.now();
        assert.deepEqual(await parsed(server, `?since=${cursor}&wait=1`), { messages: [], cursor, gap: false });
        assert.ok(Date.now() - since >= 950, 'it waits');
        const waiting = parsed(server, `?since=${cursor}&wait=60`);
        await ask({ port: server.port }, '/topics/other');
        const { id } = await publish({ port: server.port }, 't', 'news');
        assert.deepEqual(await waiting, { messages: [{ id, type: 'text', data: 'news' }], cursor: id, gap: false });
        await server.stop();
    });
    it('polls of an agent are on one connection, though some wait', async (t) => {
        const server = await serve(t);
        const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
        t.after(() => agent.destroy());
        const ports = new Set();
        let { cursor } = await parsed(server, '');
        for (let n = 0; n < 50; n++) {
            const waiting = ask({ port: server.port, agent }, `${topicPath('t')}?since=${cursor}&wait=25`);
            await publish({ port: server.port }, 't', `${n}`);
            const { body, from } = await waiting;
            const answer = JSON.parse(body);
            assert.deepEqual(answer.messages.map(({ data }) => data), [`${n}`]);
            ({ cursor } = answer);
            ports.add(from);
        }
        assert.equal(ports.size, 1);
        await server.stop();
    });
    it('a client that leaves while it waits is no harm, and misses nothing', async (t) => {
        const server = await serve(t);
        const { cursor } = await parsed(server, '');
        const aborter = new AbortController();
        const left = get(server, `?since=${cursor}&wait=60`, { signal: aborter.signal });
        aborter.abort();
        await assert.rejects(left);
        await publish({ port: server.port }, 't', 'meanwhile');
        assert.deepEqual((await parsed(server, `?since=${cursor}&wait=60`)).messages.map(({ data }) => data), ['meanwhile']);
        await server.stop();
    });
}

describe('polls', { concurrency: 3 }, () => POLLING.forEach(polling));
describe('events', { concurrency: 3 }, () => EVENTS.forEach(events));
describe('polls of a topic', { concurrency: 2 }, topic);
