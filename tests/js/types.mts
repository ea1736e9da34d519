/* What weft.d.ts must accept, and what it must not. Only type-checked. */
import { connect, type Carrier, type Cursor, type Message, type Subscription, type Weft } from '../../js/weft.js';

interface Price {
    readonly EUR: number;
}

declare const stored: Cursor | undefined;

const weft: Weft = connect('/weft', { carriers: ['websocket', 'poll'], headers: async () => ({ Authorization: 'x' }), timeouts: { hello: 1 } });
connect(new URL('wss://example.test/weft'), { WebSocket, fetch, credentials: 'include', name: 'Ada' });

const prices: Subscription = weft.subscribe<Price>('prices', ({ EUR }, { id, kind }: Message<Price>) => [EUR.toFixed(), id.length, kind], {
    since: stored,
    presence: ({ count, joined = [] }) => count + joined.length,
    gap: ({ cursor }) => cursor.length,
});
weft.subscribe('any', (data) => data.whatever, { since: 'start' });
prices.ready.then(({ cursor }) => cursor?.length);
prices.unsubscribe();

const { cursor } = await weft.publish('prices', { EUR: 3 }, { event: 'price', kind: 'json' });
cursor.length;
(await weft.presence('prices')).members?.length;

const remove: () => void = weft.on('carrier', (carrier: Carrier) => carrier === 'sse');
weft.on('error', ({ message, code, carrier }) => [message.length, code?.length, carrier]);
weft.on('reconnecting', ({ attempt, delay }) => attempt + delay);
weft.on('open', ({ peer }) => peer.length);
weft.on('close', ({ reason }) => reason.length);
remove();

// @ts-expect-error: not an event
weft.on('opened', () => {});
// @ts-expect-error: not a carrier
connect('/weft', { carriers: ['pigeon'] });
// @ts-expect-error: to be read only
weft.state = 'open';
// @ts-expect-error: not a kind
weft.publish('t', 'x', { kind: 'xml' });
// @ts-expect-error: without a topic
weft.presence();

weft.close();
