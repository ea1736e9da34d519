/** weft.js loses and doubles nothing while its connections break: each carrier, against the reference server. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { everyMessageOnce, nothingPublishedTwice } from './exactly-once.mjs';
import { startReference } from './support/reference.mjs';

async function withServer(t, knobs) {
    const server = await startReference(knobs);
    t.after(() => server.stop());
    return server;
}

describe('connections that break at random bytes', () => {
    for (const carrier of ['websocket', 'sse', 'poll']) {
        it(`${carrier}: 20,000 messages arrive once and in order`, async (t) => {
            const { url } = await withServer(t, { history: 600 });
            const { cuts, connections } = await everyMessageOnce({ url, carrier });
            t.diagnostic(`${cuts} cuts, ${connections} connections`);
            assert.ok(cuts > 20, `${cuts} cuts`);
        });
        it(`${carrier}: what is published is published once`, async (t) => {
            const { url } = await withServer(t);
            const { cuts, answered, unknown } = await nothingPublishedTwice({ url, carrier });
            t.diagnostic(`${cuts} cuts, ${answered} answered, ${unknown} unknown`);
            assert.ok(cuts > 5 && answered > 200, `${cuts} cuts, ${answered} answered`);
        });
    }
    it('poll: answers get lost and sessions end', async (t) => {
        const server = await withServer(t, { history: 600, losePollAnswers: 0.4 });
        const dropping = setInterval(() => server.sessions.forEach((session) => Math.random() < 0.3 && session.end()), 50);
        t.after(() => clearInterval(dropping));
        const { connections } = await everyMessageOnce({ url: server.url, carrier: 'poll', messages: 5_000, cutBytes: 1e9 });
        t.diagnostic(`${server.lost} answers lost, ${connections} connections`);
        assert.ok(server.lost > 5, `${server.lost} answers lost`);
    });
});
