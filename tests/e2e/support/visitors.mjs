/** Clients over TLS that come, do a little and go, in every way of going; each that is new looks which certificate it is shown. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import https from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import tls from 'node:tls';
import WebSocket from 'ws';
import { within } from './program.mjs';

export const LOBBY = 'lobby';
const ANY_MS = 5;
const UNVERIFIED = { rejectUnauthorized: false }; /* renewals.check() is stricter */
const PATH = `/topics/${LOBBY}`;

const anyTime = () => sleep(Math.random() * ANY_MS);

/** A request on a connection of its own, or of the agent; resolves to [request, response] with the head. */
export async function ask({ port, renewals }, target, { agent = false, method = 'GET', headers = {}, body } = {}) {
    const since = renewals.served;
    const request = https.request({ host: '127.0.0.1', port, path: target, method, headers, agent, ...UNVERIFIED }).end(body);
    const [response] = await within(once(request, 'response'), () => `${method} ${target}`);
    request.on('error', () => {});
    response.on('error', () => {});
    if (!agent) renewals.check(response.socket, since);
    return [request, response];
}

export async function textOf(response) {
    const parts = await within(response.toArray(), () => 'the rest of an answer');
    return Buffer.concat(parts).toString();
}

/** A WebSocket that is open; hear(data) gets every message. */
export async function openSocket({ port, renewals }, target = PATH, { protocols = [], hear = () => {} } = {}) {
    const since = renewals.served;
    const socket = new WebSocket(`wss://127.0.0.1:${port}${target}`, protocols, UNVERIFIED);
    socket.on('message', hear);
    socket.once('upgrade', ({ socket: carrier }) => (socket.carrier = carrier));
    await within(once(socket, 'open'), () => `wss ${target}`);
    socket.on('error', () => {});
    renewals.check(socket.carrier, since);
    return socket;
}

async function closed(socket, code) {
    const gone = once(socket, 'close');
    socket.close(code);
    const [answer] = await within(gone, () => 'a close');
    assert.equal(answer, code);
}

/** A connection of TLS alone, with a session to resume or without. */
async function shake(to, session) {
    const { port, renewals } = to;
    const since = renewals.served;
    const socket = tls.connect({ host: '127.0.0.1', port, session, ...UNVERIFIED });
    socket.on('session', (fresh) => (to.session = fresh));
    await within(once(socket, 'secureConnect'), () => 'a handshake');
    socket.on('error', () => {});
    if (!socket.isSessionReused()) renewals.check(socket, since);
    return socket;
}

/* ---------------------------------------------------------------------------------------------------------------- visits */

let spoken = 0;

const VISITS = {
    async 'wss that speaks and closes'(to) {
        const socket = await openSocket(to);
        const text = `visitor ${spoken++}`;
        const heard = new Promise((resolve) => socket.on('message', (data) => String(data) === text && resolve()));
        socket.send(text);
        await within(heard, () => `${text}: what it said`);
        await closed(socket, 1000);
    },

    async 'wss that drops'(to) {
        const socket = await openSocket(to, `${PATH}?since=start`);
        await anyTime();
        socket.terminate();
    },

    async 'weft.v1 that closes'(to) {
        const socket = await openSocket(to, '/weft', { protocols: ['weft.v1'] });
        socket.send(JSON.stringify({ type: 'sub', topic: LOBBY }));
        await within(once(socket, 'message'), () => 'an answer of weft.v1');
        await closed(socket, 1001);
    },

    async 'SSE that drops'(to) {
        const [request, response] = await ask(to, PATH, { headers: { accept: 'text/event-stream' } });
        assert.equal(response.statusCode, 200);
        await within(once(response, 'data'), () => 'a byte of SSE');
        request.destroy();
    },

    async 'SSE that drops in the middle of history'(to) {
        const [request] = await ask(to, `${PATH}?since=start`, { headers: { accept: 'text/event-stream' } });
        request.destroy();
    },

    async 'a long poll that drops'({ port }) {
        const request = https.get({ host: '127.0.0.1', port, path: `${PATH}?wait=5`, agent: false, ...UNVERIFIED });
        request.on('error', () => {});
        await within(once(request, 'socket'), () => 'a socket');
        await sleep(20 + Math.random() * 20);
        request.destroy();
    },

    async 'a poll'(to) {
        const [, response] = await ask(to, `${PATH}?since=start`);
        const { messages } = JSON.parse(await textOf(response));
        assert.equal(messages.length, 1000);
    },

    async 'a session of polls that is left'(to) {
        const [, response] = await ask(to, `${PATH}?session=new&wait=1&since=start`);
        assert.ok(JSON.parse(await textOf(response)).session);
    },

    async 'a POST'(to) {
        const [, response] = await ask(to, PATH, { method: 'POST', body: 'posted' });
        assert.equal(response.statusCode, 201);
        await textOf(response);
    },

    async 'a session of TLS resumed'(to) {
        const socket = await shake(to, to.session);
        if (socket.isSessionReused()) to.resumed++;
        socket.write('GET /topics/none HTTP/1.1\r\nHost: localhost\r\n\r\n');
        await within(once(socket, 'data'), () => 'an answer');
        socket.destroy();
    },

    async 'a handshake cut short'({ port }) {
        const socket = tls.connect({ host: '127.0.0.1', port, ...UNVERIFIED }).on('error', () => {});
        await within(once(socket, 'connect'), () => 'a connection');
        await anyTime();
        socket.destroy();
    },

    async 'half a request'(to) {
        const socket = await shake(to);
        socket.write('GET /topics/none HTTP/1.1\r\nHo');
        await anyTime();
        socket.end();
        await within(once(socket.resume(), 'close'), () => 'an end');
    },
};

/**
 * Lets so many visitors at a time come to {port, renewals}, until stop(); {count, resumed, stop()}. What goes wrong is told to failed(error).
 */
export function startVisitors({ port, renewals }, atATime, failed) {
    const to = { port, renewals, count: 0, resumed: 0, session: undefined };
    const kinds = Object.entries(VISITS);
    let isOver = false;

    async function visit([name, act]) {
        try {
            await act(to);
        } catch (error) {
            error.message = `${name}: ${error.message}`;
            failed(error);
        }
    }

    async function goOn() {
        while (!isOver) {
            await visit(kinds[to.count++ % kinds.length]);
            await anyTime();
        }
    }

    const all = Array.from({ length: atATime }, goOn);
    to.stop = async () => {
        isOver = true;
        await Promise.all(all);
    };
    return to;
}
