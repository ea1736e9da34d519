/**
 * A server on several loops: 100,000 numbered messages from publishers on all of them, to clients on all of them, whose connections break at random bytes and
 * come back to whichever loop. Everybody gets every number once and in order.
 */
import assert from 'node:assert/strict';
import http from 'node:http';
import { describe, it } from 'node:test';
import { startCutter } from './cutter.mjs';
import { Spread } from './loops.mjs';
import { ALL_KEPT, NODE_CLIENTS, TOPIC, WHOLE, reaches } from './numbered.mjs';
import { serve } from './served.mjs';
import { ask, publishLines } from './topics.mjs';

const BATCH = 1_000;
const AHEAD = 4_000; /* that are published before the slowest client has them */

/** Publishers with a connection each, which take turns: each waits until the one before knows the places of what it said. */
async function openPublishers(t, server, count) {
    const agents = Array.from({ length: count }, () => new http.Agent({ keepAlive: true, maxSockets: 1 }));
    t.after(() => agents.forEach((agent) => agent.destroy()));
    const firsts = await Promise.all(agents.map((agent) => ask({ port: server.port, agent }, '/')));
    const spread = new Spread(server, () => firsts.map(({ from }) => from));
    spread.look();
    let published = 0;
    const publish = async () => {
        const agent = agents[(published / BATCH) % count];
        await publishLines({ port: server.port, agent }, TOPIC, published, (published += BATCH));
    };
    return { publish, spread, get count() { return published; } };
}

function spreads([name, makeClient, { cutAfter }], loops) {
    it(`${name}: ${WHOLE} messages once and in order`, async (t) => {
        const server = await serve(t, ['--log', 'off', '--loops', String(loops), '--idle-timeout', '1h', ...ALL_KEPT]);
        const publisher = await openPublishers(t, server, loops + 2);
        const cutter = await startCutter(t, server, { cutAfter, hurry: true });
        const spread = new Spread(server, () => cutter.ports);
        while (publisher.count < WHOLE / 4) await publisher.publish();
        const clients = await Promise.all(Array.from({ length: loops + 2 }, () => makeClient(t, cutter)));
        const allReach = (number) => Promise.all(clients.map((client) => reaches(client, number, cutter)));
        while (publisher.count < WHOLE) {
            await allReach(publisher.count - AHEAD);
            spread.look();
            await publisher.publish();
            spread.look();
        }
        for (const { next, gaps } of await allReach(WHOLE)) assert.deepEqual([next, gaps], [WHOLE, 0]);
        t.diagnostic(`${clients.length} clients, ${cutter.cuts} cuts`);
        assert.ok(cutter.cuts >= 3 * clients.length, `${cutter.cuts} cuts`);
        publisher.spread.assertLeast(loops, 'publishers');
        spread.assertLeast(loops, 'clients');
        await server.stop();
    });
}

export function everyNumberOnce(loops) {
    describe(`every number once and in order, on ${loops} loops`, { concurrency: 2 }, () => NODE_CLIENTS.forEach((client) => spreads(client, loops)));
}
