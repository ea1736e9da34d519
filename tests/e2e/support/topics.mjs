/** Publishing to `weft serve`, and clients of its topics that are more than a function of the platform. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { numbered } from '../pages/listeners.js';
import { within } from './program.mjs';

export const PAGES = new URL('../pages', import.meta.url).pathname;

/** A request; resolves to {status, headers, body, from: our port}. `to`: {port} or {socketPath}, and an agent. */
export async function ask(to, target, { method = 'GET', headers = {}, body, signal } = {}) {
    const sent = http.request({ host: '127.0.0.1', ...to, path: target, method, headers, signal }).end(body);
    const [response] = await within(once(sent, 'response', { signal }), () => `${method} ${target}`, 60_000);
    const { statusCode: status, headers: fields } = response;
    const from = response.socket.localPort;
    const parts = await response.toArray();
    return { status, headers: fields, body: Buffer.concat(parts).toString(), from };
}

export const topicPath = (name) => `/topics/${name.split('/').map(encodeURIComponent).join('/')}`;

export async function publish(to, name, body, headers = {}) {
    const answer = await ask(to, topicPath(name), { method: 'POST', body, headers });
    assert.equal(answer.status, 201, answer.body);
    return JSON.parse(answer.body);
}

/** The numbers from `from` to below `to`, in one request; `server` is {port}, and an agent. */
export async function publishLines(server, topic, from, to) {
    const lines = Array.from({ length: to - from }, (_, i) => `${JSON.stringify({ topic, data: numbered(from + i) })}\n`);
    const headers = { 'content-type': 'application/x-ndjson' };
    const answer = await ask(server, '/topics', { method: 'POST', headers, body: lines.join('') });
    assert.equal(answer.status, 201, answer.body);
}

/** The same on a connection of its own. */
export const publishNumbers = ({ port }, ...args) => publishLines({ port, agent: false }, ...args);

/** As much of fetch() as polls need, over node's http with this agent; `ports` tells from which ports of ours it asked. */
export function fetchWith(agent) {
    const ports = new Set();
    const fetch = async (url, { signal }) => {
        const { hostname: host, port, pathname, search } = new URL(url);
        const { status, body, from } = await ask({ host, port, agent }, pathname + search, { signal });
        ports.add(from);
        return { status, ok: status === 200, json: async () => JSON.parse(body) };
    };
    return Object.assign(fetch, { ports });
}
