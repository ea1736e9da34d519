/**
 * Numbered messages to all, against `weft-conformance socketio-broadcast`, while clients change from polling to WebSocket and while
 * their connections break at random bytes: everybody gets every number once and in order.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startCutter } from './support/cutter.mjs';
import { isReference, startConformance } from './support/engineio.mjs';
import { next } from './support/events.mjs';
import { CUTS, haveAll, isWhole, leanClientsUpgrade, openPublisher, openReader, stockClientsUpgrade, survivesCuts } from './support/numbered-sockets.mjs';
import { becomesTrue } from './support/program.mjs';

const STOCK_CLIENTS = 200;
const LEAN_CLIENTS = 5_000;

let server;

before(async () => (server = await startConformance(null, 'socketio-broadcast')));
after(() => server.stop());

/* ------------------------------------------------------------------------------------------------------------------ upgrades */

describe('while they change from polling to WebSocket', () => {
    it(`${STOCK_CLIENTS} stock clients miss nothing`, (t) => stockClientsUpgrade(t, server, STOCK_CLIENTS));
    it(`up to ${LEAN_CLIENTS} lean clients miss nothing`, (t) => leanClientsUpgrade(t, server, LEAN_CLIENTS));
});

/* ---------------------------------------------------------------------------------------------------------------------- cuts */

/* A client that is cut between the two keeps what it missed twice. */
const REFERENCE_REPEATS = 'the reference sends what a client missed ahead of CONNECT';

describe('while their connections break', { concurrency: 1 }, () => {
    for (const [way, options, cutAfter] of CUTS) {
        const skip = isReference() && way.endsWith('WebSocket') && REFERENCE_REPEATS;
        it(`by ${way}, stock clients miss nothing`, { skip }, (t) => survivesCuts(t, server, options, cutAfter));
    }

    it('for as long as they are away, stock clients miss nothing', async (t) => {
        const cutter = await startCutter(t, server);
        const publisher = await openPublisher(t, server);
        const readers = CUTS.map(([, options]) => openReader(t, cutter.url, options));
        await Promise.all(readers.map(({ socket }) => next(socket, 'connect')));
        await publisher.publish();
        assert.ok(await becomesTrue(() => readers.every(({ numbers }) => numbers.length)));
        for (let round = 0; round < 3; round++) {
            const gone = Promise.all(readers.map(({ socket }) => next(socket, 'disconnect')));
            cutter.down();
            await gone;
            for (let i = 0; i < 200; i++) await publisher.publish();
            const back = Promise.all(readers.map(({ socket }) => next(socket, 'connect')));
            cutter.up();
            await back;
            assert.deepEqual(readers.map(({ socket }) => socket.recovered), [true, true, true], `round ${round}`);
            await haveAll(readers, publisher.count);
        }
        for (const reader of readers) isWhole(reader, publisher.count, 0);
    });
});
