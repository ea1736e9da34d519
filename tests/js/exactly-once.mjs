/**
 * What weft.js promises when connections break at random bytes, against any server of weft.v1. Servers keep `window` messages of
 * a topic and more, and a poll's answer has well under `cutBytes`.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { connect } from '../../js/weft.js';
import { startCutter } from './support/cutter.mjs';
import { WebSocket } from './support/npm.mjs';
import { within } from './support/wait.mjs';

const QUICK = { backoff: 2, backoffMax: 20 };
const RUN_MS = 200_000;

/** Numbered messages arrive once and in order. Gives {cuts, connections}. */
export async function everyMessageOnce({ url, carrier, messages = 20_000, window = 500, cutBytes = 60_000 }) {
    const topic = `numbers-${randomUUID()}`;
    const cutter = await startCutter(url, { cutAfter: () => Math.floor(Math.random() * cutBytes) });
    const speaker = connect(url, { WebSocket });
    const listener = connect(cutter.url, { WebSocket, carriers: [carrier], timeouts: QUICK });
    let received = 0;
    let published = 0;
    let connections = 0;
    let wake = () => {};
    let fail;
    const failed = new Promise((_, reject) => (fail = reject));
    failed.catch(() => {});

    function take(data, message) {
        if (data.n !== received) fail(new Error(`${data.n} (${message.id}) came, not ${received}`));
        received++;
        wake();
    }

    async function publish() {
        while (published < messages) {
            while (published - received > window - 50) await new Promise((resolve) => (wake = resolve));
            const batch = Array.from({ length: Math.min(50, messages - published) }, (_, i) => ({ n: published + i, text: 'näçë 🧵' }));
            published += batch.length;
            await Promise.all(batch.map((data) => speaker.publish(topic, data)));
        }
    }

    async function hear() {
        while (received < messages) await new Promise((resolve) => (wake = resolve));
    }

    try {
        listener.on('open', () => connections++);
        const subscription = listener.subscribe(topic, take, { gap: () => fail(new Error(`a gap after ${received}`)) });
        const told = () => `${received} of ${messages} messages, ${connections} connections, ${cutter.cuts} cuts`;
        await within(Promise.race([subscription.ready, failed]), 'subscribed');
        await within(Promise.race([publish(), failed]), told, RUN_MS);
        await within(Promise.race([hear(), failed]), told, RUN_MS);
        assert.equal(received, messages);
        return { cuts: cutter.cuts, connections };
    } finally {
        listener.close();
        speaker.close();
        await cutter.stop();
    }
}

/** What was answered is published once, what became `unknown` once or not, all else fails. Gives {cuts, answered, unknown}. */
export async function nothingPublishedTwice({ url, carrier, messages = 2_000, cutBytes = 20_000 }) {
    const topic = `published-${randomUUID()}`;
    const cutter = await startCutter(url, { cutAfter: () => Math.floor(Math.random() * cutBytes) });
    const listener = connect(url, { WebSocket });
    const speaker = connect(cutter.url, { WebSocket, carriers: [carrier], timeouts: QUICK });
    const heard = [];
    const answered = [];
    let unknown = 0;
    let next = 0;

    async function publishOneByOne() {
        while (next < messages) {
            const n = next++;
            try {
                await speaker.publish(topic, n);
                answered.push(n);
            } catch ({ code }) {
                assert.equal(code, 'unknown');
                unknown++;
            }
        }
    }

    try {
        await within(listener.subscribe(topic, (n) => heard.push(n)).ready, 'subscribed');
        const told = () => `${answered.length} answered, ${unknown} unknown, ${cutter.cuts} cuts`;
        await within(Promise.all(Array.from({ length: 20 }, publishOneByOne)), told, RUN_MS);
        const last = new Promise((resolve) => listener.subscribe(topic, (n) => n === 'last' && resolve()));
        await listener.publish(topic, 'last');
        await within(last, 'the last message');
        const counts = new Map();
        for (const n of heard) counts.set(n, (counts.get(n) ?? 0) + 1);
        assert.deepEqual([...counts].filter(([, count]) => count > 1), [], 'published twice');
        assert.deepEqual(answered.filter((n) => !counts.has(n)), [], 'answered, and not published');
        const sure = new Set(answered);
        const order = heard.filter((n) => sure.has(n));
        assert.deepEqual(order, [...order].sort((a, b) => a - b), 'out of order');
        assert.equal(answered.length + unknown, messages);
        return { cuts: cutter.cuts, answered: answered.length, unknown };
    } finally {
        listener.close();
        speaker.close();
        await cutter.stop();
    }
}
