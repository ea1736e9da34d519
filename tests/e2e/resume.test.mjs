/**
 * Connections that break at random bytes, in heads, messages and answers, while numbered messages are published: whoever comes back
 * gets every number once and in order, or is told where the gap ends. `weft serve` with every kind of client, in node and in Chromium.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { everyMessageOnce, nothingPublishedTwice } from '../js/exactly-once.mjs';
import { launchBrowser, openPage } from './support/browser.mjs';
import { startCutter } from './support/cutter.mjs';
import { ALL_KEPT, KIB, NODE_CLIENTS, POLLS, STREAM, TOPIC, WEFT_CARRIERS, WHOLE, breaksOf, reaches, urlOf } from './support/numbered.mjs';
import { serve } from './support/served.mjs';
import { PAGES, publishNumbers } from './support/topics.mjs';

const BATCH = 1_000;
const AHEAD = 4_000; /* that are published before the client has them */
const HUNDRED_KEPT = ['--history', '100'];
const BREAKS = /net::ERR_|Failed to load resource|WebSocket connection to|status 404/;

let browser;

before(async () => (browser = await launchBrowser()));
after(() => browser?.close());

/* ---------------------------------------------------------------------------------------------------------------- clients */

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

const CLIENTS = [
    ...NODE_CLIENTS,
    ['EventSource of Chromium', inChromium('eventSource'), STREAM],
    ['JSON lines in Chromium', inChromium('lines'), STREAM],
    ['long polls in Chromium', inChromium('polls', { wait: 25 }), POLLS],
    ...WEFT_CARRIERS.map((carrier) => [
        `weft.js by ${carrier} in Chromium`, inChromium('weft', { carriers: [carrier] }), breaksOf(carrier),
    ]),
];

/* ------------------------------------------------------------------------------------------------------------ all is kept */

function completes([name, makeClient, { cutAfter }], total = WHOLE) {
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

function tellsGaps([name, makeClient, { cutAfter, remembers }]) {
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

describe('every number once and in order', { concurrency: 2 }, () => CLIENTS.forEach((client) => completes(client)));
describe('gaps', { concurrency: 2 }, () => CLIENTS.forEach(tellsGaps));
describe('what weft.js promises', { concurrency: 2 }, () => WEFT_CARRIERS.forEach(promises));
