/**
 * HTTP clients and proxies that nobody here wrote, against `weft-conformance http`: curl, node's agent, undici, wrk, and nginx and HAProxy
 * in front of it, which also pass WebSockets on to `weft-conformance ws`. What they send must come back byte for byte.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { Client, Pool } from 'undici';
import { installed } from './support/debian.mjs';
import { start, within } from './support/program.mjs';
import { startHaproxy, startNginx } from './support/proxies.mjs';
import { BINARY, TEXT, told } from './support/raw-websocket.mjs';
import { startServer } from './support/server.mjs';
import { connect } from './support/ws-client.mjs';

const KIB = 1 << 10;
const MIB = 1 << 20;
const MAX_BODY_BYTES = MIB;

let server, sockets, folder;

function bytesOf(size) {
    const bytes = Buffer.allocUnsafe(size);
    for (let i = 0, state = size | 1; i < size; i++) {
        state = (Math.imul(state, 1664525) + 1013904223) | 0;
        bytes[i] = state >>> 24;
    }
    return bytes;
}

/** Calls `act` with 0 to count - 1, `width` at a time. */
async function several(count, width, act) {
    let next = 0;
    const work = async () => {
        while (next < count) await act(next++);
    };
    await Promise.all(Array.from({ length: width }, work));
}

/* --------------------------------------------------------------------------------------------------------------------- curl */

const FULL = bytesOf(MAX_BODY_BYTES);
const TOO_MUCH = bytesOf(MAX_BODY_BYTES + 1);
const file = (name) => path.join(folder, name);

/** Runs curl to its end; `stderr` tells the heads that went and came. */
async function curl(t, args, input = '') {
    const program = start(t, installed('curl'), ['-q', '-sSv', '--noproxy', '*', ...args]);
    program.child.stdin.end(input);
    assert.equal(await program.end(), 'status 0', program.sentence('failed'));
    return program;
}

/** curl with these options gets this body back, with status 200. */
function curls(name, args, body, { input, expect = {} } = {}) {
    it(name, async (t) => {
        const out = file(`out ${name.replace(/\W/g, ' ')}`);
        const { stdout, stderr } = await curl(t, [...args().flat(), '-o', out, '-w', '%{http_code}', `${server.url}/`], input);
        assert.equal(stdout, '200');
        assert.ok(Buffer.from(body).equals(readFileSync(out)));
        for (const [pattern, there] of Object.entries({ 'HTTP/1.1 100 Continue': false, 'Done waiting for 100-continue': false, ...expect })) {
            assert.equal(stderr.includes(pattern), there, `${pattern} is ${there ? 'missing' : 'there'}:\n${stderr}`);
        }
    });
}

function curling() {
    const post = () => ['--data-binary', `@${file('full')}`];
    const expecting = ['-H', 'Expect: 100-continue'];
    const continued = { expect: { 'HTTP/1.1 100 Continue': true } };
    const inChunks = { expect: { 'Transfer-Encoding: chunked': true } };
    const both = { expect: { ...continued.expect, ...inChunks.expect } };
    const fromInput = ['--http1.1', '-T', '-'];
    curls('GET', () => ['--http1.1'], '');
    curls('POST', () => ['--http1.1', '-d', 'some words'], 'some words');
    curls('POST of nothing', () => ['--http1.1', '-d', ''], '');
    for (const method of ['PUT', 'DELETE', 'PATCH', 'OPTIONS', 'PROPFIND']) {
        curls(`${method} with a body`, () => ['--http1.1', '-X', method, '-d', 'some words'], 'some words');
    }
    curls('GET over HTTP/1.0', () => ['--http1.0'], '', { expect: { 'GET / HTTP/1.0': true, 'Closing connection': true } });
    curls('POST over HTTP/1.0', () => ['--http1.0', '-d', 'some words'], 'some words', { expect: { 'POST / HTTP/1.0': true } });
    curls('1 MiB over HTTP/1.0', () => ['--http1.0', post()], FULL);
    curls('1 MiB without an expectation', () => ['--http1.1', post(), '-H', 'Expect:'], FULL);
    curls('1 MiB with an expectation', () => ['--http1.1', post(), expecting], FULL, continued);
    curls('a few words with an expectation', () => ['--http1.1', '-d', 'some words', expecting], 'some words', continued);
    curls('chunks', () => [fromInput, '-H', 'Expect:'], 'some words', { input: 'some words', ...inChunks });
    curls('chunks of nothing', () => [fromInput, '-H', 'Expect:'], '', inChunks);
    curls('chunks with an expectation', () => [fromInput, expecting], 'some words', { input: 'some words', ...both });
    curls('1 MiB in chunks', () => [fromInput, '-H', 'Expect:'], FULL, { input: FULL, ...inChunks });
    curls('1 MiB in chunks with an expectation', () => [fromInput, expecting], FULL, { input: FULL, ...both });
}

/** curl hands in 1 MiB and 1, and is told 413. */
function refusesCurl(name, args) {
    it(name, async (t) => {
        const { stdout } = await curl(t, ['--http1.1', '-o', '/dev/null', '-w', '%{http_code}', ...args().flat(), `${server.url}/`], TOO_MUCH);
        assert.equal(stdout, '413');
    });
}

function curlingTooMuch() {
    refusesCurl('1 MiB and 1 with an expectation', () => ['--data-binary', `@${file('too much')}`, '-H', 'Expect: 100-continue']);
    refusesCurl('1 MiB and 1 in chunks with an expectation', () => ['-T', '-', '-H', 'Expect: 100-continue']);
}

function curlingSeveral() {
    it('several requests on one connection', async (t) => {
        const each = ['--http1.1', '-w', '%{http_code} %{num_connects};', `${server.url}/`];
        const requests = [['-d', 'first '], ['-X', 'PUT', '-d', 'second '], ['-I'], [], ['-d', 'last ']];
        const { stdout } = await curl(t, requests.flatMap((args, i) => [...(i ? ['--next'] : []), ...args, ...each]));
        assert.equal(stdout.replace(/HTTP\/1.1 200[^]*?\r\n\r\n/, ''), 'first 200 1;second 200 0;200 0;200 0;last 200 0;');
    });
    it('a hundred requests at once', async (t) => {
        const parallel = ['-Z', '--parallel-max', '50', '-o', '/dev/null', '-w', '%{http_code};'];
        const { stdout } = await curl(t, ['--http1.1', ...parallel, '-d', 'x', `${server.url}/[1-100]`]);
        assert.equal(stdout, '200;'.repeat(100));
    });
}

/* -------------------------------------------------------------------------------------------------------------- node's agent */

/** One request; `to` says where (port or socketPath) and with which agent. Resolves to {status, headers, body, from: our port}. */
function ask(to, method, { target = '/', body, headers, pieces = body === undefined ? [] : [body] } = {}) {
    const answered = new Promise((resolve, reject) => {
        const length = body === undefined ? {} : { 'Content-Length': Buffer.byteLength(body) };
        const sent = http.request({ host: '127.0.0.1', ...to, method, path: target, headers: { ...length, ...headers } });
        sent.on('error', reject).on('response', (response) => {
            const { statusCode: status, headers } = response;
            const from = response.socket.localPort;
            response.toArray().then((parts) => resolve({ status, headers, body: Buffer.concat(parts), from }), reject);
        });
        for (const piece of pieces) sent.write(piece);
        sent.end();
    });
    return within(answered, () => `${method} ${target}: an answer`);
}

async function checkEcho(to, method, options) {
    const answer = await ask(to, method, options);
    const expected = Buffer.concat((options.pieces ?? [options.body ?? '']).map((piece) => Buffer.from(piece)));
    assert.equal(answer.status, 200);
    assert.ok(answer.body.equals(expected), `${answer.body.length} bytes that are not the ${expected.length} sent`);
    return answer;
}

function withAgent(options, talk) {
    return async () => {
        const agent = new http.Agent(options);
        try {
            await talk({ port: server.port, agent });
        } finally {
            agent.destroy();
        }
    };
}

const PIECES = ['one ', 'two ', bytesOf(100_000), 'three'];

function agents() {
    it('400 requests on 4 connections that are kept', withAgent({ keepAlive: true, maxSockets: 4 }, async (to) => {
        const connections = new Set();
        await several(400, 8, async (i) => {
            connections.add((await checkEcho(to, i % 3 ? 'POST' : 'PUT', { body: bytesOf(i * 11) })).from);
        });
        assert.ok(connections.size <= 4, `${connections.size} connections`);
    }));
    it('100 requests on a connection each', withAgent({ keepAlive: false }, (to) => several(100, 10, async (i) => {
        const { headers } = await checkEcho(to, 'POST', { body: `turn ${i}` });
        assert.equal(headers.connection, 'close');
    })));
    it('bodies in chunks', withAgent({ keepAlive: true, maxSockets: 1 }, async (to) => {
        for (let i = 0; i < 20; i++) await checkEcho(to, 'POST', { pieces: PIECES });
    }));
    it('1 MiB', withAgent({ keepAlive: true, maxSockets: 1 }, async (to) => {
        for (let i = 0; i < 3; i++) await checkEcho(to, 'POST', { body: FULL });
    }));
    it('HEAD between others', withAgent({ keepAlive: true, maxSockets: 1 }, async (to) => {
        for (let i = 0; i < 10; i++) {
            const { status, headers, body } = await ask(to, 'HEAD', { body: 'as long as this' });
            assert.deepEqual([status, headers['content-length'], body.length], [200, '15', 0]);
            await checkEcho(to, 'POST', { body: `turn ${i}` });
        }
    }));
    it('a body that waits for 100 Continue', withAgent({ keepAlive: true, maxSockets: 1 }, async (to) => {
        for (let i = 0; i < 5; i++) assert.equal(await continued(to, `turn ${i}`), `turn ${i}`);
    }));
}

/** The body goes when 100 Continue has come; resolves to what comes back. */
function continued(to, body, target = '/') {
    const headers = { Expect: '100-continue', 'Content-Length': Buffer.byteLength(body) };
    const answered = new Promise((resolve, reject) => {
        const sent = http.request({ host: '127.0.0.1', ...to, method: 'POST', path: target, headers });
        sent.on('error', reject).on('continue', () => sent.end(body));
        sent.on('response', async (response) => resolve((await response.toArray()).join('')));
        sent.flushHeaders();
    });
    return within(answered, () => '100 Continue and an answer');
}

/* ------------------------------------------------------------------------------------------------------------------- undici */

/** `act` with an undici client or pool; in the end that must have opened so many connections. */
function withUndici(Kind, options, connections, act) {
    return async () => {
        const client = new Kind(server.url, options);
        let connected = 0;
        client.on('connect', () => connected++);
        try {
            await act(client);
            assert.ok(connected <= connections, `${connected} connections, not ${connections}`);
        } finally {
            await client.destroy();
        }
    };
}

async function undiciEcho(client, method, body, sent = body) {
    const answer = await client.request({ method, path: '/', body: sent, idempotent: true });
    assert.equal(answer.statusCode, 200);
    assert.ok(Buffer.from(await answer.body.arrayBuffer()).equals(Buffer.from(body)));
}

function undici() {
    const piped = { pipelining: 10 };
    const small = (i) => `body ${i}`;
    const growing = (i) => FULL.subarray(0, i * 13);
    const thousand = (makeBody) => (client) => several(1000, 40, (i) => undiciEcho(client, 'PUT', makeBody(i)));
    it('1000 requests, 10 at a time on one connection', withUndici(Client, piped, 1, thousand(small)));
    it('1000 requests of all sizes, 10 at a time on one connection', withUndici(Client, piped, 1, thousand(growing)));
    it('1000 requests on 4 connections', withUndici(Pool, { ...piped, connections: 4 }, 4, thousand(small)));
    it('1000 GET, 10 at a time on one connection', withUndici(Client, piped, 1, (client) => several(1000, 20, async () => {
        const { statusCode, body } = await client.request({ method: 'GET', path: '/' });
        assert.deepEqual([statusCode, await body.text()], [200, '']);
    })));
    it('streamed bodies', withUndici(Client, {}, 1, async (client) => {
        for (const size of [1, 100, 100_000, MAX_BODY_BYTES]) {
            const body = FULL.subarray(0, size);
            await undiciEcho(client, 'POST', body, Readable.from(pieces(body, 10_000)));
        }
    }));
}

function pieces(bytes, size) {
    return Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size));
}

/* ---------------------------------------------------------------------------------------------------------------------- wrk */

const POSTING = 'wrk.method = "POST"\nwrk.body = string.rep("wrk ", 256)\n';

function wrk(name, makeArguments) {
    it(name, async (t) => {
        const program = start(t, installed('wrk'), ['-t', '1', '-c', '50', '-d', '2s', ...makeArguments(), `${server.url}/`]);
        assert.equal(await program.end(), 'status 0');
        assert.doesNotMatch(program.stdout, /Socket errors|Non-2xx/, program.stdout);
        assert.ok(Number(/(\d+) requests in/.exec(program.stdout)[1]) > 100, program.stdout);
    });
}

function measuring() {
    wrk('GET on 50 connections', () => []);
    wrk('POST on 50 connections', () => {
        writeFileSync(file('post.lua'), POSTING);
        return ['-s', file('post.lua')];
    });
}

/* ------------------------------------------------------------------------------------------------------------------ proxies */

/** Every kind of request through the proxy that `get` promises, at the path that makes it do what is wanted. */
function passesHttp(get, target = '/') {
    const passes = (name, talk) => it(name, async () => talk({ socketPath: (await get()).socketPath }));
    passes('GET', (to) => checkEcho(to, 'GET', { target }));
    passes('POST', (to) => checkEcho(to, 'POST', { target, body: 'some words' }));
    passes('POST of nothing', (to) => checkEcho(to, 'POST', { target, body: '' }));
    passes('1 MiB', (to) => checkEcho(to, 'POST', { target, body: FULL }));
    passes('a body in chunks', (to) => checkEcho(to, 'POST', { target, pieces: PIECES }));
    passes('a body that waits for 100 Continue', async (to) => assert.equal(await continued(to, 'some words', target), 'some words'));
    passes('HEAD', async (to) => {
        const { status, body } = await ask(to, 'HEAD', { target });
        assert.deepEqual([status, body.length], [200, 0]);
    });
    passes('1 MiB and 1 is refused', async (to) => assert.equal((await ask(to, 'POST', { target, body: TOO_MUCH })).status, 413));
    passes('300 requests, 30 at a time', (to) => several(300, 30, (i) => checkEcho(to, 'POST', { target, body: bytesOf(i * 31) })));
    passes('100 requests on one connection', async (to) => {
        const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
        try {
            await several(100, 1, (i) => checkEcho({ ...to, agent }, 'POST', { target, body: `turn ${i}` }));
        } finally {
            agent.destroy();
        }
    });
}

/** The proxy keeps its connections to Weft, or makes a new one each time, as it was told. */
function upstreamConnection(get, target, expected) {
    it(`Weft's Connection is "${expected}"`, async () => {
        const { headers } = await checkEcho({ socketPath: (await get()).socketPath }, 'POST', { target, body: 'x' });
        assert.equal(headers['x-upstream-connection'] ?? '', expected);
    });
}

function passesWebSocket(get) {
    const open = async (t, options) => connect(t, `ws+unix:${(await get()).socketPath}:/ws`, { headers: { Host: 'localhost' }, ...options });
    it('WebSocket: text and binary', async (t) => {
        const client = await open(t);
        const binary = bytesOf(100_000);
        client.send('hello', binary, '');
        assert.deepEqual(await client.next(3), [told(TEXT, 'hello'), told(BINARY, binary), told(TEXT, '')]);
        assert.deepEqual(await client.leave(), ['close 1000']);
    });
    it('WebSocket: 50 clients', async (t) => {
        const clients = await Promise.all(Array.from({ length: 50 }, () => open(t)));
        for (const [i, client] of clients.entries()) client.send(`client ${i}`);
        for (const [i, client] of clients.entries()) assert.deepEqual(await client.next(), [told(TEXT, `client ${i}`)]);
        for (const client of clients) assert.deepEqual(await client.leave(), ['close 1000']);
    });
    it('WebSocket: 4 MiB', async (t) => {
        const client = await open(t, { maxPayload: 16 * MIB });
        const text = 'x'.repeat(4 * MIB);
        client.send(text);
        assert.deepEqual(await client.next(), [told(TEXT, text)]);
        assert.deepEqual(await client.leave(), ['close 1000']);
    });
}

/** The tests of `body`, which is called with a function that promises the proxy; each says so itself when that could not start. */
function behind(start, body) {
    let starting;
    before(() => {
        starting = start(server, sockets);
        return starting.catch(() => {});
    });
    after(() => starting.then((proxy) => proxy.stop(), () => {}));
    body(() => starting);
}

function nginx(get) {
    for (const version of ['1.0', '1.1', 'unbuffered']) describe(version, { concurrency: 2 }, () => passesHttp(get, `/${version}/`));
    upstreamConnection(get, '/1.0/', 'close');
    upstreamConnection(get, '/1.1/', '');
    passesWebSocket(get);
}

function haproxy(get) {
    passesHttp(get);
    passesWebSocket(get);
}

/* ---------------------------------------------------------------------------------------------------------------- the suite */

describe('HTTP clients', () => {
    before(async () => {
        folder = mkdtempSync(path.join(tmpdir(), 'weft-http-'));
        writeFileSync(file('full'), FULL);
        writeFileSync(file('too much'), TOO_MUCH);
        [server, sockets] = await Promise.all([startServer('http'), startServer('ws')]);
    });
    after(async () => {
        await Promise.allSettled([server?.stop(), sockets?.stop()]);
        rmSync(folder, { recursive: true, force: true });
    });

    describe('curl', { concurrency: 4 }, () => {
        curling();
        curlingTooMuch();
        curlingSeveral();
    });
    describe('node', { concurrency: 2 }, agents);
    describe('undici', { concurrency: 2 }, undici);
    describe('wrk', { concurrency: 1 }, measuring);
    describe('nginx', { concurrency: 2 }, () => behind(startNginx, nginx));
    describe('HAProxy', { concurrency: 2 }, () => behind(startHaproxy, haproxy));
    it('the servers end on SIGTERM with status 0 and without a report', () => Promise.all([server.stop(), sockets.stop()]));
});
