/**
 * Connections that break at random bytes, in heads, messages and answers, while numbered messages are published: whoever comes back
 * gets every number once and in order, or is told where the gap ends. `weft serve` with every kind of client, in node and in Chromium.
 */
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, describe, it } from 'node:test';
import { EventSource } from 'eventsource';
import WebSocket from 'ws';
import { connect } from '../../js/weft.js';
import { everyMessageOnce, nothingPublishedTwice } from '../js/exactly-once.mjs';
import { Numbers, eventSource, lines, polls, sessionPolls, weft } from './pages/listeners.js';
import { launchBrowser, openPage } from './support/browser.mjs';
import { below, startCutter } from './support/cutter.mjs';
import { becomesTrue } from './support/program.mjs';
import { serve } from './support/served.mjs';
import { PAGES, fetchWith, publishNumbers } from './support/topics.mjs';

const TOPIC = 'numbers';
const BATCH = 1_000;
const AHEAD = 4_000; /* that are published before the client has them */
const WHOLE = 100_000;
const RUN_MS = 120_000;
const KIB = 1 << 10;
const ALL_KEPT = ['--history', '200000', '--history-bytes', '64M'];
const HUNDRED_KEPT = ['--history', '100'];
const BREAKS = /net::ERR_|Failed to load resource|WebSocket connection to|status 404/;
const WEFT_CARRIERS = ['websocket', 'sse', 'poll'];

let browser;

before(async () => (browser = await launchBrowser()));
after(() => browser?.close());

/* ---------------------------------------------------------------------------------------------------------------- clients
 * Each is made for a test and a relay, and gives look(): {next, gaps, missed, problem}, now. */

const WAYS = { eventSource, lines, polls, sessionPolls, weft };

const urlOf = (cutter, way) => cutter.url + (way === 'weft' ? '/weft' : `/topics/${TOPIC}`);

const inNode = (way, makeOptions = () => ({})) => async (t, cutter) => {
    const numbers = new Numbers();
    const stop = WAYS[way](urlOf(cutter, way), { since: 'start', topic: TOPIC, ...numbers, ...makeOptions(t) });
    t.after(stop);
    return { look: async () => ({ ...numbers }) };
};

const inChromium = (way, options = {}) => async (t, cutter) => {
    const { cutAfter } = cutter;
    cutter.cutEach(() => Infinity);
    const page = await openPage(t, browser, `${cutter.url}/listener.html`);
    page.tolerate(BREAKS);
    await page.waitForFunction(() => window.ready);
    cutter.cutEach(cutAfter);
    await page.evaluate((args) => count(...args), [way, urlOf(cutter, way), { since: 'start', topic: TOPIC, ...options }]);
    return { look: () => page.evaluate(() => ({ ...numbers })) };
};

function keepAlive(t) {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    t.after(() => agent.destroy());
    return { fetch: fetchWith(agent) };
}

const STREAM = { cutAfter: below(300 * KIB) };
const POLLS = { cutAfter: below(400 * KIB) };
/* The server remembers what the client has yet to get, up to 1 MiB: so much may be in an answer, which must pass sometime. */
const SESSION = { cutAfter: () => below(Math.random() < 0.7 ? 300 * KIB : 4_096 * KIB)(), remembers: true };

/** What, its client, how many numbers, and how its connections break. */
const CLIENTS = [
    ['EventSource of npm', inNode('eventSource', () => ({ EventSource })), WHOLE, STREAM],
    ['EventSource of Chromium', inChromium('eventSource'), WHOLE, STREAM],
    ['JSON lines', inNode('lines'), WHOLE, STREAM],
    ['JSON lines in Chromium', inChromium('lines'), WHOLE, STREAM],
    ['long polls', inNode('polls', (t) => ({ wait: 25, ...keepAlive(t) })), WHOLE, POLLS],
    ['long polls in Chromium', inChromium('polls', { wait: 25 }), WHOLE, POLLS],
    ['short polls', inNode('polls', keepAlive), WHOLE, POLLS],
    ['polls of a session', inNode('sessionPolls', keepAlive), WHOLE, SESSION],
    ...WEFT_CARRIERS.flatMap((carrier) => {
        const kind = carrier === 'poll' ? SESSION : STREAM;
        const options = { carriers: [carrier] };
        return [
            [`weft.js by ${carrier}`, inNode('weft', () => ({ connect, WebSocket, ...options })), WHOLE, kind],
            [`weft.js by ${carrier} in Chromium`, inChromium('weft', options), WHOLE, kind],
        ];
    }),
];

/** Waits until the client, whose state look() tells, has this number, or has gone wrong. */
async function reaches(client, n, cutter) {
    let now;
    const done = async () => {
        now = await client.look();
        return now.problem || now.next >= n;
    };
    const reached = await becomesTrue(done, RUN_MS);
    const where = `at ${now.next} of ${n}, ${now.missed} missed in ${now.gaps} gaps, ${cutter.cuts} cuts`;
    assert.equal(now.problem, undefined, where);
    assert.ok(reached, where);
    return now;
}

/* ------------------------------------------------------------------------------------------------------------ all is kept */

function completes([name, makeClient, total, { cutAfter }]) {
    it(`${name}: ${total} messages once and in order`, async (t) => {
        const server = await serve(t, [PAGES, '--log', 'off', ...ALL_KEPT]);
        const cutter = await startCutter(t, server, { cutAfter, hurry: true });
        let published = 0;
        const publish = () => publishNumbers(server, TOPIC, published, (published += BATCH));
        while (published < total / 4) await publish();
        const client = await makeClient(t, cutter);
        while (published < total) {
            await reaches(client, published - AHEAD, cutter);
            await publish();
        }
        const { next, gaps } = await reaches(client, total, cutter);
        assert.deepEqual([next, gaps], [total, 0]);
        t.diagnostic(`${cutter.cuts} cuts`);
        assert.ok(cutter.cuts >= 3, `${cutter.cuts} cuts`);
        await server.stop();
    });
}

/* -------------------------------------------------------------------------------------------------------- not all is kept */

function tellsGaps([name, makeClient, , { cutAfter, remembers }]) {
    const unheard = remembers ? 15_000 : BATCH;
    it(`${name}: is told what is not kept any more`, async (t) => {
        const server = await serve(t, [PAGES, '--log', 'off', ...HUNDRED_KEPT]);
        const cutter = await startCutter(t, server, { cutAfter, hurry: true });
        const client = await makeClient(t, cutter);
        let published = 0;
        const publish = (count) => publishNumbers(server, TOPIC, published, (published += count));
        for (let round = 1; round <= 3; round++) {
            await publish(50);
            const before = await reaches(client, published, cutter);
            cutter.down();
            for (let n = 0; n < unheard; n += BATCH) await publish(BATCH);
            cutter.up();
            const { gaps, missed } = await reaches(client, published, cutter);
            assert.ok(gaps > before.gaps, `round ${round}: ${gaps} gaps`);
            if (!remembers) assert.equal(missed - before.missed, unheard - 100, `round ${round}`);
            else assert.ok(missed > before.missed && missed - before.missed <= unheard - 100, `round ${round}: ${missed} missed`);
        }
        await server.stop();
    });
}

/* ---------------------------------------------------------------------------------------------------------------- weft.js */

/** What tests/js proves with a server in node. */
function promises(carrier) {
    const cutBytes = carrier === 'poll' ? 300 * KIB : 100 * KIB;
    it(`${carrier}: messages of another client arrive once and in order`, async (t) => {
        const server = await serve(t, ['--log', 'off', ...ALL_KEPT]);
        const { cuts, connections } = await everyMessageOnce({ url: `${server.url}/weft`, carrier, cutBytes });
        t.diagnostic(`${cuts} cuts, ${connections} connections`);
        await server.stop();
    });
    it(`${carrier}: what is published is published once`, async (t) => {
        const server = await serve(t, ['--log', 'off', ...ALL_KEPT]);
        const { cuts, answered, unknown } = await nothingPublishedTwice({ url: `${server.url}/weft`, carrier });
        t.diagnostic(`${cuts} cuts, ${answered} answered, ${unknown} unknown`);
        assert.ok(cuts > 3 && answered > 200, `${cuts} cuts, ${answered} answered`);
        await server.stop();
    });
}

describe('every number once and in order', { concurrency: 2 }, () => CLIENTS.forEach(completes));
describe('gaps', { concurrency: 2 }, () => CLIENTS.forEach(tellsGaps));
describe('what weft.js promises', { concurrency: 2 }, () => WEFT_CARRIERS.forEach(promises));
