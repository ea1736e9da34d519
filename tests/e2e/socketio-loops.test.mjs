/**
 * Socket.IO on several loops: numbered messages from clients on all of them to clients on all of them, while these change from polling to WebSocket, each request on
 * a connection to whichever loop, and while connections break at random bytes. Everybody gets every number once and in order.
 */
import { after, before, describe, it } from 'node:test';
import { isReference, startConformance } from './support/engineio.mjs';
import { Spread } from './support/loops.mjs';
import { CUTS, leanClientsUpgrade, stockClientsUpgrade, survivesCuts } from './support/numbered-sockets.mjs';

const STOCK_CLIENTS = 100;
const LEAN_CLIENTS = 1_000;
const CUT_NUMBERS = 500;

function everyNumberOnce(loops) {
    const sockets = 2 * loops; /* that publish */
    let server;
    before(async () => (server = await startConformance(null, 'socketio-broadcast', { args: ['--loops', String(loops)] })));
    after(() => server.stop());

    /* All connections of a moment, while the clients are there. */
    async function spreads(act) {
        const spread = new Spread(server);
        const clock = setInterval(() => spread.look(), 250);
        await act().finally(() => clearInterval(clock));
        spread.assertLeast(loops, 'clients');
    }

    it(`${STOCK_CLIENTS} stock clients upgrade and miss nothing`, (t) => spreads(() => stockClientsUpgrade(t, server, STOCK_CLIENTS, sockets)));
    it(`up to ${LEAN_CLIENTS} lean clients upgrade and miss nothing`, (t) => spreads(() => leanClientsUpgrade(t, server, LEAN_CLIENTS, sockets)));
    for (const [way, options, cutAfter] of CUTS) {
        it(`by ${way}, stock clients whose connections break miss nothing`, async (t) => {
            let spread;
            const look = (cutter) => {
                spread ??= new Spread(server, () => cutter.ports);
                spread.look();
            };
            await survivesCuts(t, server, options, cutAfter, { sockets, readers: 2 * loops, numbers: CUT_NUMBERS, look });
            spread.assertLeast(loops === 2 ? 2 : 3, 'clients'); /* sessions live where their first request came */
        });
    }
}

for (const loops of [2, 4]) {
    describe(`on ${loops} loops`, { skip: isReference() && 'the reference has one' }, () => everyNumberOnce(loops));
}
