/**
 * Socket.IO on several loops: numbered messages from clients on all of them to clients on all of them, while these change from polling to WebSocket, each request on
 * a connection to whichever loop, and while connections break at random bytes. Everybody gets every number once and in order.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { isReference, startConformance } from './support/engineio.mjs';
import { Spread } from './support/loops.mjs';
import { CUTS, leanClientsUpgrade, stockClientsUpgrade, survivesCuts } from './support/numbered-sockets.mjs';

const STOCK_CLIENTS = 100;
const LEAN_CLIENTS = 1_000;
const CUT_NUMBERS = 500;

/* A session lives on the loop that the end of its id names. */
const loopsOf = (sockets) => new Set(sockets.map(({ io }) => io.engine.id.slice(-2))).size;

function everyNumberOnce(loops) {
    const sockets = 2 * loops; /* that publish */
    let server;
    before(async () => (server = await startConformance(null, 'socketio-broadcast', { args: ['--loops', String(loops)] })));
    after(() => server.stop());

    /* All connections of the moment when the clients are there. */
    async function spreads(act) {
        const spread = new Spread(server);
        await act({ sockets, look: () => spread.look() });
        spread.assertLeast(loops, 'clients');
    }

    it(`${STOCK_CLIENTS} stock clients upgrade and miss nothing`, (t) => spreads((how) => stockClientsUpgrade(t, server, STOCK_CLIENTS, how)));
    it(`up to ${LEAN_CLIENTS} lean clients upgrade and miss nothing`, (t) => spreads((how) => leanClientsUpgrade(t, server, LEAN_CLIENTS, how)));
    for (const [way, options, cutAfter] of CUTS) {
        it(`by ${way}, stock clients whose connections break miss nothing`, (t) => {
            const look = ({ publishers, readers }) => {
                assert.ok(loopsOf(readers) > 1);
                assert.ok(loopsOf([...publishers, ...readers]) > loops / 2); /* not all: a loop may still have those of the test before */
            };
            return survivesCuts(t, server, options, cutAfter, { sockets, readers: 2 * loops, numbers: CUT_NUMBERS, look });
        });
    }
}

for (const loops of [2, 4]) {
    describe(`on ${loops} loops`, { skip: isReference() && 'the reference has one' }, () => everyNumberOnce(loops));
}
