/** Socket.IO 5 spoken by hand: packets in the messages of Engine.IO, which lead with a 4. */
import assert from 'node:assert/strict';
import { openSession, openWire } from './engineio.mjs';

export const PATH = '/socket.io/';

/** What comes before the data of a packet of the namespace. */
export const head = (type, namespace) => `4${type}${namespace === '/' ? '' : `${namespace},`}`;

/** The id of the socket, out of the packet that answers a CONNECT. */
export function connected(packet, namespace = '/') {
    const expected = head(0, namespace);
    assert.ok(packet.startsWith(expected), packet);
    const { sid, ...rest } = JSON.parse(packet.slice(expected.length));
    assert.ok(typeof sid === 'string' && sid.length >= 20, packet);
    return { sid, ...rest };
}

/** Connects an open wire or session to a namespace that greets with the event auth. */
export async function join(carrier, namespace = '/', auth = '') {
    const packet = head(0, namespace) + auth;
    await (carrier.post ? carrier.post(packet) : carrier.send(packet));
    const { sid } = connected(await carrier.next(), namespace);
    assert.equal(await carrier.next(), `${head(2, namespace)}["auth",${auth || '{}'}]`);
    return sid;
}

/** A WebSocket that is connected to the main namespace. */
export async function joinByWire(server, options) {
    const wire = await openWire(server, { path: PATH, ...options });
    await join(wire);
    return wire;
}

/** A session over polling that is connected to the main namespace. */
export async function joinByPolling(server) {
    const session = await openSession(server, { path: PATH });
    await join(session);
    return session;
}

/** Sends packets on a wire and tells all that comes back, up to `alive` where the connection took them or how it ended. */
export async function outcome(wire, packets) {
    const told = [];
    wire.send(...packets, '42["message","are you there?"]');
    for (;;) {
        await wire.until(() => wire.came.length || wire.end, `an answer to ${packets}`);
        if (!wire.came.length) return [...told, `end ${wire.end.code ?? wire.end.error}`];
        const packet = wire.came.shift();
        if (packet === '42["message-back","are you there?"]') return [...told, 'alive'];
        told.push(typeof packet === 'string' ? packet : `binary ${packet.toString('hex')}`);
    }
}

/* ------------------------------------------------------------------------------------------- what a client makes of packets */

const PACKET = /^4([0-6])(?:(\d+)-)?(\/[^,]*(?:,|$))?(\d*)(.*)$/s;

const PLAIN = { 5: '2', 6: '3' }; /* what a packet is once its attachments are in their places */

const isPlaceholder = (value) => value !== null && typeof value === 'object' && value._placeholder === true;

/** With each attachment in its place, in hex. */
const filled = (data, attachments) => JSON.stringify(data, (_, value) => (isPlaceholder(value) ? `<${attachments[value.num]}>` : value));

/** Packets as outcome() tells them, as a client in JavaScript understands them: numbers and escapes may be spelt in many ways. */
export function understood(packets) {
    const rest = [...packets];
    const meanings = [];
    while (rest.length) {
        const packet = rest.shift();
        const [, type, count, namespace = '', id, json] = PACKET.exec(packet) ?? [];
        const attachments = rest.splice(0, Number(count ?? 0)).map((binary) => binary.replace('binary ', ''));
        meanings.push(json ? `4${PLAIN[type] ?? type}${namespace}${id}${filled(JSON.parse(json), attachments)}` : packet);
    }
    return meanings;
}
