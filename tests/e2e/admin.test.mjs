/** `weft serve --admin`: health checks, metrics that Prometheus reads, who may ask, and what operators see of a drain. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import path from 'node:path';
import { describe, it } from 'node:test';
import { installed } from './support/debian.mjs';
import { freePort, start, within } from './support/program.mjs';
import { CLOSE, RawWebSocket, closeFrame, closePayload } from './support/raw-websocket.mjs';
import { folderOf, serve, startWeft } from './support/served.mjs';
import { connect } from './support/ws-client.mjs';

const docs = readFileSync(new URL('../../docs/server.md', import.meta.url), 'utf8');
const AT_ONCE_MS = 4_000; /* well before the five seconds that a drain may take */

/* --------------------------------------------------------------------------------------------------------------- asking */

/** {status, headers, body} of a GET; `to` is a port or a socket's path. */
async function ask(to, where, { headers = {}, agent = false } = {}) {
    const place = typeof to === 'number' ? { host: '127.0.0.1', port: to } : { socketPath: to };
    const request = http.get({ ...place, path: where, headers, agent });
    const [response] = await within(once(request, 'response'), () => `GET ${where}`);
    return { status: response.statusCode, headers: response.headers, body: Buffer.concat(await response.toArray()).toString() };
}

/** The page as {series: value}. */
async function metrics(to, options) {
    const { status, body } = await ask(to, '/metrics', options);
    assert.equal(status, 200, body);
    const lines = body.split('\n').filter((line) => line && !line.startsWith('#'));
    return Object.fromEntries(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]));
}

/** `weft serve` with a listener for operators; its port is adminPort. */
async function serveWatched(t, args = []) {
    const server = await serve(t, ['--admin', '0', ...args]);
    const [, port] = await server.printed(/^ +operators: http:\/\/127\.0\.0\.1:(\d+) \(\/metrics, \/health\/live, \/health\/ready\)$/m);
    return Object.assign(server, { adminPort: Number(port) });
}

/** What promtool, which is Prometheus's own, has to say of a page. */
async function promtool(t, page) {
    const program = start(t, installed('promtool', 'prometheus'), ['check', 'metrics']);
    program.child.stdin.end(page);
    return [await program.end(), program.stdout + program.stderr];
}

/* ---------------------------------------------------------------------------------------------------------------- health */

function health() {
    it('is live and ready', async (t) => {
        const { adminPort } = await serveWatched(t);
        for (const [where, words] of [['/health/live', 'live\n'], ['/health/ready', 'ready\n']]) {
            const { status, headers, body } = await ask(adminPort, where);
            assert.deepEqual([status, headers['cache-control'], body], [200, 'no-store', words]);
        }
    });
    it('is nowhere else, and nothing else is there', async (t) => {
        const folder = folderOf(t, { 'index.html': 'the page' });
        const { port, adminPort } = await serveWatched(t, ['--files', folder]);
        for (const where of ['/metrics', '/health/live', '/health/ready']) assert.equal((await ask(port, where)).status, 404, where);
        for (const where of ['/', '/index.html', '/topics/t', '/weft.js']) assert.equal((await ask(adminPort, where)).status, 404, where);
    });
    it('answers to names of this machine only', async (t) => {
        const { adminPort } = await serveWatched(t);
        assert.equal((await ask(adminPort, '/metrics', { headers: { host: 'rebound.example' } })).status, 421);
    });
    it('--host names another', async (t) => {
        const { adminPort } = await serveWatched(t, ['--host', 'ops.example']);
        assert.equal((await ask(adminPort, '/metrics', { headers: { host: 'ops.example' } })).status, 200);
    });
    it('on every address it answers to any name', async (t) => {
        const port = await freePort();
        const server = await serve(t, ['--admin', `0.0.0.0:${port}`]);
        await server.printed(new RegExp(`operators: http://0\\.0\\.0\\.0:${port} `));
        assert.equal((await ask(port, '/health/live', { headers: { host: 'pod-7.example' } })).status, 200);
    });
    it('on a Unix socket, which goes with it', async (t) => {
        const socket = path.join(folderOf(t), 'admin.sock');
        const server = await serve(t, ['--admin', `unix:${socket}`]);
        await server.printed(/operators: unix:/);
        assert.equal((await ask(socket, '/health/ready')).body, 'ready\n');
        await server.stop();
        assert.ok(!existsSync(socket));
    });
    it('over TLS, with the certificate of the other listeners', async (t) => {
        const port = await freePort();
        const server = await serve(t, ['--tls-dev', 'localhost', '--admin', `https://127.0.0.1:${port}`]);
        await server.printed(new RegExp(`operators: https://127\\.0\\.0\\.1:${port} `));
        const request = https.get({ host: '127.0.0.1', port, path: '/health/ready', agent: false, rejectUnauthorized: false });
        const [response] = await within(once(request, 'response'), () => 'GET over TLS');
        assert.equal(Buffer.concat(await response.toArray()).toString(), 'ready\n');
        await server.stop();
    });
    it('an address that is taken is an error that names it', async (t) => {
        const { adminPort } = await serveWatched(t);
        const server = startWeft(t, ['serve', '--listen', '0', '--admin', String(adminPort)]);
        assert.equal(await server.end(), 'status 1');
        assert.match(server.stderr, new RegExp(`^weft serve: cannot listen on http://127\\.0\\.0\\.1:${adminPort} for operators: `));
    });
    it('is not there unless asked for', async (t) => {
        const server = await serve(t);
        assert.doesNotMatch(server.stdout, /operators/);
    });
}

/* --------------------------------------------------------------------------------------------------------------- metrics */

const publish = ({ port }, name, body) =>
    fetch(`http://127.0.0.1:${port}/topics/${name}`, { method: 'POST', body }).then(({ status }) => assert.equal(status, 201));

function numbers() {
    it('promtool has nothing against them, before anything has happened and after', async (t) => {
        const server = await serveWatched(t);
        assert.deepEqual(await promtool(t, (await ask(server.adminPort, '/metrics')).body), ['status 0', '']);
        const client = await connect(t, `ws://127.0.0.1:${server.port}/topics/t`);
        await publish(server, 't', 'hello');
        await client.next();
        assert.deepEqual(await promtool(t, (await ask(server.adminPort, '/metrics')).body), ['status 0', '']);
    });
    it('promtool would have', async (t) => {
        const [how, said] = await promtool(t, '# TYPE weft_turns counter\nweft_turns 1\n');
        assert.notEqual(how, 'status 0');
        assert.match(said, /_total/);
    });
    it('are those of docs/server.md', async (t) => {
        const { adminPort } = await serveWatched(t);
        const { body } = await ask(adminPort, '/metrics');
        const there = [...body.matchAll(/^# TYPE (\w+) /gm)].map(([, name]) => name);
        const documented = [...docs.matchAll(/^\| (`weft_[^|]*)\|/gm)].flatMap(([, cell]) => [...cell.matchAll(/`(weft_\w+)/g)].map(([, name]) => name));
        assert.deepEqual(documented.sort(), there.sort());
    });
    it('have the type that Prometheus asks for', async (t) => {
        const { adminPort } = await serveWatched(t);
        const { headers } = await ask(adminPort, '/metrics');
        assert.equal(headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
    });
    it('move with what clients do', async (t) => {
        const server = await serveWatched(t);
        const before = await metrics(server.adminPort);
        const clients = await Promise.all(Array.from({ length: 5 }, () => connect(t, `ws://127.0.0.1:${server.port}/topics/t`)));
        await publish(server, 't', 'hello');
        for (const client of clients) await client.next();
        const after = await metrics(server.adminPort);
        const moved = Object.fromEntries(Object.keys(after).map((name) => [name, after[name] - before[name]]).filter(([, by]) => by !== 0));
        for (const name of Object.keys(moved)) if (/loop|system_calls|sockets|accepted|connections.transport="http"/.test(name)) delete moved[name];
        assert.deepEqual(moved, {
            'weft_connections{transport="websocket"}': 5,
            'weft_sent_messages_total{transport="websocket"}': 5,
            'weft_sent_bytes_total{transport="websocket"}': 25,
            'weft_topics': 1,
            'weft_subscriptions': 5,
            'weft_published_messages_total': 1,
            'weft_received_messages_total{transport="http"}': 1,
            'weft_received_bytes_total{transport="http"}': 5,
            'weft_resumes_total{result="new"}': 5,
        });
        assert.ok(after.weft_accepted_connections_total - before.weft_accepted_connections_total >= 6);
        assert.deepEqual(Object.keys(after), Object.keys(before), 'series neither come nor go');
    });
    it('a scrape leaves them alone', async (t) => {
        const { adminPort } = await serveWatched(t);
        const [first, second] = [await metrics(adminPort), await metrics(adminPort)];
        for (const name of Object.keys(first)) if (!/loop|wait/.test(name)) assert.equal(second[name], first[name], name);
    });
}

/* ----------------------------------------------------------------------------------------------------------------- drain */

/** A client that does not answer the close, so that the drain goes on; resolves when it was told. */
async function hold(t, server) {
    const client = await RawWebSocket.connect(server, '/topics/t');
    t.after(() => client.destroy());
    const told = client.until(() => client.takeFrame(), 'the close').then(({ opcode, payload }) => {
        assert.deepEqual([opcode, payload], [CLOSE, closePayload(1001, 'the server is going away')]);
    });
    return { client, told };
}

function draining() {
    it('is told by /health/ready until the last client has gone', async (t) => {
        const server = await serveWatched(t);
        const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
        t.after(() => agent.destroy());
        const { client, told } = await hold(t, server);
        assert.equal((await ask(server.adminPort, '/health/ready', { agent })).status, 200);
        server.child.kill('SIGTERM');
        await told;
        const { status, body, headers } = await ask(server.adminPort, '/health/ready', { agent });
        assert.deepEqual([status, body], [503, 'draining\n']);
        assert.notEqual(headers.connection, 'close', 'operators stay');
        assert.equal((await ask(server.adminPort, '/health/ready')).status, 503, 'also for who comes now');
        assert.equal((await ask(server.adminPort, '/health/live')).status, 200);
        const page = await metrics(server.adminPort);
        assert.deepEqual([page.weft_open_sockets, page['weft_disconnects_total{code="1001"}']], [1, 1]);
        assert.equal(server.how, undefined);
        await client.write(closeFrame(1001));
        assert.equal(await client.next(), 'fin');
        client.leave();
        assert.equal(await server.end(AT_ONCE_MS), 'status 0');
    });
    it('a probe that hangs on does not hold it up', async (t) => {
        const server = await serveWatched(t);
        const agent = new http.Agent({ keepAlive: true });
        t.after(() => agent.destroy());
        await ask(server.adminPort, '/health/live', { agent });
        server.child.kill('SIGTERM');
        assert.equal(await server.end(AT_ONCE_MS), 'status 0');
    });
}

describe('admin', { concurrency: 1 }, () => {
    describe('health', { concurrency: 4 }, health);
    describe('metrics', { concurrency: 1 }, numbers);
    describe('drain', { concurrency: 2 }, draining);
});
