/** Clients of a topic of numbered messages, in node, whose connections break: every way to listen that can come back. */
import assert from 'node:assert/strict';
import http from 'node:http';
import { EventSource } from 'eventsource';
import WebSocket from 'ws';
import { connect } from '../../../js/weft.js';
import { Numbers, eventSource, lines, polls, sessionPolls, weft } from '../pages/listeners.js';
import { below } from './cutter.mjs';
import { becomesTrue } from './program.mjs';
import { fetchWith } from './topics.mjs';

export const TOPIC = 'numbers';
export const KIB = 1 << 10;
export const WHOLE = 100_000;
export const ALL_KEPT = ['--history', '200000', '--history-bytes', '64M'];
export const WEFT_CARRIERS = ['websocket', 'sse', 'poll'];

const RUN_MS = 120_000;
const WAYS = { eventSource, lines, polls, sessionPolls, weft };

export const urlOf = (cutter, way) => cutter.url + (way === 'weft' ? '/weft' : `/topics/${TOPIC}`);

/* Each client is made for a test and a relay, and gives look(): {next, gaps, missed, problem}, now. */
const inNode = (way, makeOptions = () => ({})) => async (t, cutter) => {
    const numbers = new Numbers();
    const stop = WAYS[way](urlOf(cutter, way), { since: 'start', topic: TOPIC, ...numbers, ...makeOptions(t) });
    t.after(stop);
    return { look: async () => ({ ...numbers }) };
};

function keepAlive(t) {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    t.after(() => agent.destroy());
    return { fetch: fetchWith(agent) };
}

export const STREAM = { cutAfter: below(300 * KIB) };
export const POLLS = { cutAfter: below(400 * KIB) };
/* The server remembers what the client has yet to get, up to 1 MiB: so much may be in an answer, which must pass sometime. */
export const SESSION = { cutAfter: () => below(Math.random() < 0.7 ? 300 * KIB : 4_096 * KIB)(), remembers: true };

/** How connections of weft.js break, by what carries it. */
export const breaksOf = (carrier) => (carrier === 'poll' ? SESSION : STREAM);

/** What, its client, and how its connections break. */
export const NODE_CLIENTS = [
    ['EventSource of npm', inNode('eventSource', () => ({ EventSource })), STREAM],
    ['JSON lines', inNode('lines'), STREAM],
    ['long polls', inNode('polls', (t) => ({ wait: 25, ...keepAlive(t) })), POLLS],
    ['short polls', inNode('polls', keepAlive), POLLS],
    ['polls of a session', inNode('sessionPolls', keepAlive), SESSION],
    ...WEFT_CARRIERS.map((carrier) => [
        `weft.js by ${carrier}`, inNode('weft', () => ({ connect, WebSocket, carriers: [carrier] })), breaksOf(carrier),
    ]),
];

/** Waits until the client, whose state look() tells, has this number, or has gone wrong. */
export async function reaches(client, n, cutter) {
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
