/** `weft publish` on the wire, against a server of this test that says what servers say, well or badly. (Against ours: serve.test.mjs.) */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { describe, it } from 'node:test';
import { becomesTrue, freePort, within } from './support/program.mjs';
import { folderOf, startWeft, weft } from './support/served.mjs';

const CREATED = { status: 201, body: '{"id":"e-1","subscribers":0}' };

/** A server that keeps the requests and answers each as `answer(request, n)` says; {url, requests, connections}. */
async function fake(t, answer = () => CREATED, where = { port: 0, host: '127.0.0.1' }) {
    const kept = { requests: [], connections: 0 };
    const server = http.createServer(async (request, response) => {
        const body = Buffer.concat(await request.toArray());
        const n = kept.requests.push({ method: request.method, url: request.url, headers: request.headers, body: body.toString('latin1') });
        const { status, headers, body: text = '' } = answer(request, n);
        response.writeHead(status, headers).end(text);
    });
    server.on('connection', () => kept.connections++);
    await once(server.listen(where), 'listening');
    t.after(() => server.close().closeAllConnections?.());
    return Object.assign(kept, { server, url: where.path ? `unix:${where.path}` : `http://127.0.0.1:${server.address().port}` });
}

/** A server over bare TCP that says these bytes, once, when the request's head (or more) has come; then ends the connection unless told. */
async function saying(t, text, { stay = false } = {}) {
    const server = net.createServer((socket) => {
        socket.on('error', () => {});
        socket.once('data', () => (stay ? socket.write(text, 'latin1') : socket.end(text, 'latin1')));
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    t.after(() => server.close());
    return `http://127.0.0.1:${server.address().port}`;
}

const publish = (t, args, options) => weft(t, ['publish', ...args], options);

/* --------------------------------------------------------------------------------------------------------- what it sends */

function sending() {
    /** The arguments make this request. */
    function sends(name, args, wanted, options) {
        it(name, async (t) => {
            const server = await fake(t);
            assert.deepEqual(await publish(t, ['--server', server.url, ...args], options), ['status 0', 'e-1\n', '']);
            const [{ method, url, headers, body }] = server.requests;
            const { type = 'text/plain; charset=utf-8', key, event, ...rest } = wanted;
            assert.deepEqual([method, headers['content-type'], headers.authorization, headers['weft-event']], ['POST', type, key, event]);
            for (const [what, value] of Object.entries(rest)) assert.equal({ url, body }[what], value, what);
            assert.equal(headers.host, new URL(server.url).host);
        });
    }
    const latin1 = (text) => Buffer.from(text).toString('latin1');
    const input = (text) => ({ input: text });
    sends('text', ['t', 'hello'], { url: '/topics/t', body: 'hello' });
    sends('no text at all', ['t', ''], { body: '' });
    sends('text that is not ASCII', ['t', '你好'], { body: latin1('你好') });
    sends('JSON', ['t', '{"a":1}', '--json'], { type: 'application/json', body: '{"a":1}' });
    sends('bytes', ['t', '--binary'], { type: 'application/octet-stream', body: '\x00\xff\r\n' }, input(Buffer.from([0, 255, 13, 10])));
    sends('an event', ['t', 'x', '--event', 'price change'], { event: 'price change' });
    sends('a key', ['t', 'x', '--key', 'secret'], { key: 'Bearer secret' });
    sends('a key from the environment', ['t', 'x'], { key: 'Bearer secret' }, { variables: { WEFT_PUBLISH_KEY: 'secret' } });
    sends('a key before the environment', ['t', 'x', '--key=mine'], { key: 'Bearer mine' }, { variables: { WEFT_PUBLISH_KEY: 'secret' } });
    sends('an empty key is none', ['t', 'x'], { key: undefined }, { variables: { WEFT_PUBLISH_KEY: '' } });
    sends('standard input', ['t'], { body: 'from a pipe' }, input('from a pipe\n'));
    sends('standard input, said', ['t', '-'], { body: 'two\nlines' }, input('two\nlines\r\n'));
    sends('standard input that is empty', ['t'], { body: '' });
    sends('a dash and options behind --', ['--', 't', '--json'], { body: '--json' });
    sends('a large one', ['t', '-'], { body: 'x'.repeat(3_000_000) }, input('x'.repeat(3_000_000)));
    for (const [topic, url] of [
        ['a/b', '/topics/a/b'], ['a b', '/topics/a%20b'], ['ü?#%', '/topics/%C3%BC%3F%23%25'], ['a.b-c_d~', '/topics/a.b-c_d~'],
        ['.hidden/...', '/topics/.hidden/...'], ["+&=:@!$'()*;,", '/topics/%2B%26%3D%3A%40%21%24%27%28%29%2A%3B%2C'], ['"\\<>^`{|}', '/topics/%22%5C%3C%3E%5E%60%7B%7C%7D'],
    ]) {
        sends(`the topic ${topic}`, [topic, 'x'], { url });
    }
    it('to a server below a path', async (t) => {
        const server = await fake(t);
        for (const tail of ['/live', '/live/']) {
            assert.equal((await publish(t, ['t', 'x', '--server', server.url + tail]))[0], 'status 0');
            assert.equal(server.requests.pop().url, '/live/topics/t');
        }
    });
    it('to an address as people type it', async (t) => {
        const server = await fake(t);
        const { port } = server.server.address();
        for (const address of [`${port}`, `:${port}`, `127.0.0.1:${port}`, `localhost:${port}`, `HTTP://127.0.0.1:${port}/`]) {
            assert.deepEqual(await publish(t, ['t', 'x', '--server', address]), ['status 0', 'e-1\n', '']);
        }
        assert.equal((await publish(t, ['t', 'x'], { variables: { WEFT_SERVER: `${port}` } }))[0], 'status 0');
        assert.equal(server.requests.length, 6);
    });
    it('to a Unix socket', async (t) => {
        const server = await fake(t, undefined, { path: path.join(folderOf(t), 'socket') });
        assert.deepEqual(await publish(t, ['t', 'x', '--server', server.url]), ['status 0', 'e-1\n', '']);
        assert.equal(server.requests[0].headers.host, 'localhost');
    });
}

/* ------------------------------------------------------------------------------------------------------------------ lines */

const numbered = (_, n) => ({ status: 201, body: `{"subscribers":0, "id" : "e-${n}"}` });

function lines() {
    it('are messages of their own, in order, on one connection', async (t) => {
        const server = await fake(t, numbered);
        const got = await publish(t, ['t', '--lines', '--server', server.url], { input: 'one\ntwo\r\n\nfour' });
        assert.deepEqual(got, ['status 0', 'e-1\ne-2\ne-3\ne-4\n', '']);
        assert.deepEqual(server.requests.map(({ body }) => body), ['one', 'two', '', 'four']);
        assert.equal(server.connections, 1);
    });
    it('of JSON may be empty', async (t) => {
        const server = await fake(t, numbered);
        await publish(t, ['t', '--lines', '--json', '--server', server.url], { input: '1\n\n[2]\n\n' });
        assert.deepEqual(server.requests.map(({ body }) => body), ['1', '[2]']);
    });
    it('none', async (t) => {
        const server = await fake(t, numbered);
        assert.deepEqual(await publish(t, ['t', '--lines', '--server', server.url]), ['status 0', '', '']);
    });
    it('go out as they come', async (t) => {
        const server = await fake(t, numbered);
        const program = startWeft(t, ['publish', 't', '--lines', '--server', server.url]);
        for (const n of [1, 2, 3]) {
            program.child.stdin.write(`line ${n}\n`);
            await program.printed(new RegExp(`^e-${n}\n`, 'm'));
        }
        program.child.stdin.end();
        assert.equal(await program.end(), 'status 0');
    });
    it('the first that is refused ends it, and is named', async (t) => {
        const server = await fake(t, (request, n) => (n === 2 ? { status: 400, body: '{"error":"not JSON"}' } : numbered(request, n)));
        const got = await publish(t, ['t', '--lines', '--server', server.url], { input: '1\nx\n3\n' });
        assert.deepEqual(got, ['status 1', 'e-1\n', `weft publish: line 2: ${server.url} answered 400: not JSON\n`]);
        assert.equal(server.requests.length, 2);
    });
    for (const [name, headers] of [['says that it closes', { connection: 'close' }], ['closes silently', {}]]) {
        it(`a server that ${name} between two is connected to again`, async (t) => {
            const server = await fake(t, (request, n) => ({ ...numbered(request, n), headers }));
            const program = startWeft(t, ['publish', 't', '--lines', '--server', server.url]);
            for (const n of [1, 2, 3]) {
                program.child.stdin.write(`${n}\n`);
                await program.printed(new RegExp(`^e-${n}\n`, 'm'));
                server.server.closeAllConnections?.();
                const open = () => new Promise((resolve) => server.server.getConnections((_, count) => resolve(count)));
                assert.ok(await becomesTrue(async () => (await open()) === 0));
            }
            program.child.stdin.end();
            assert.equal(await program.end(), 'status 0');
            assert.equal(server.connections, 3);
        });
    }
}

/* ----------------------------------------------------------------------------------------------------------- how it fails */

/** What the command says of an answer in these bytes. */
function says(name, text, sentence, options) {
    it(name, async (t) => {
        const url = await saying(t, text, options);
        const wanted = sentence ? ['status 1', '', `weft publish: ${sentence.replace('URL', url)}\n`] : ['status 0', 'e-1\n', ''];
        assert.deepEqual(await publish(t, ['t', 'x', '--server', url]), wanted);
    });
}

const answer = (status, body, fields = '') => `HTTP/1.1 ${status}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n${fields}\r\n${body}`;

function refusals() {
    for (const [status, error] of [['401 Unauthorized', 'this is not the publish key'], ['403 Forbidden', 'this topic may not be written'], ['413 Payload Too Large', 'over 1 MiB']]) {
        says(status, answer(status, JSON.stringify({ more: [{ error: 'no' }, '}'], error })), `URL answered ${status.slice(0, 3)}: ${error}`);
    }
    says('a sentence with escapes', answer('400 Bad', '{"error":"a \\"b\\" \\\\ \\u00fc \\ud83e\\uddf5 \\/"}'), 'URL answered 400: a "b" \\ ü 🧵 /');
    says('what a terminal would obey', answer('400 Bad', '{"error":"\\u001b[2J\\u009b31m\\u202e\\ud800x\x1b"}'), 'URL answered 400: .[2J.31m..x.');
    says('a line of text', answer('421 Misdirected', 'not this name\nmore\n'), 'URL answered 421: not this name');
    says('a page', answer('502 Bad Gateway', '<html>no</html>'), 'URL answered 502');
    says('nothing', answer('404 Not Found', ''), 'URL answered 404');
    says('a redirect', answer('301 Moved', '', 'Location: /\r\n'), 'URL answered 301');
    says('before all has come', answer('413 Too Large', '{"error":"too large"}', 'Connection: close\r\n'), 'URL answered 413: too large');
    it('413 while a large message is still on its way', async (t) => {
        const url = await saying(t, answer('413 Too Large', '{"error":"too large"}'), { stay: true });
        const got = await publish(t, ['t', '--server', url], { input: 'x'.repeat(30_000_000) });
        assert.deepEqual(got, ['status 1', '', `weft publish: ${url} answered 413: too large\n`]);
    });
}

const ID = '{"id":"e-1"}';

function answers() {
    says('in chunks', 'HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\n{"id\r\n08\r\n":"e-1"}\r\n0\r\nT: x\r\n\r\n', null, { stay: true });
    says('of a known length', answer('201 Created', ID), null, { stay: true });
    says('up to the end', `HTTP/1.1 200 OK\r\n\r\n${ID}`, null);
    says('of HTTP/1.0', `HTTP/1.0 200 OK\r\n\r\n${ID}`, null);
    says('behind interim ones', `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n${answer('201 Created', ID)}`, null, { stay: true });
    says('with bare line feeds', answer('201 Created', ID).replaceAll('\r\n', '\n'), null, { stay: true });

    says('that never begins', '', 'URL: it ended the connection without an answer');
    says('that breaks off in its head', 'HTTP/1.1 201 Created\r\nConte', 'URL: its answer is cut short');
    says('that breaks off in its body', 'HTTP/1.1 201 Created\r\nContent-Length: 10\r\n\r\n{', 'URL: its answer is cut short');
    says('that breaks off in a chunk', 'HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{', 'URL: its answer is cut short');
    says('that is no HTTP', 'SSH-2.0-OpenSSH_9.2\r\n', 'URL: it does not speak HTTP/1.1');
    says('with a field that is none', 'HTTP/1.1 200 OK\r\nnothing\r\n\r\n', 'URL: its answer is not HTTP');
    says('with a length that is none', 'HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n', 'URL: its answer has a wrong length');
    says('with a chunk that is none', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n', 'URL: its answer has a wrong chunk');
    says('with a negative chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n', 'URL: its answer has a wrong chunk');
    says('of an unknown encoding', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n', 'URL: its answer has an unknown encoding');
    says('with an endless line', `HTTP/1.1 200 OK\r\nA: ${'x'.repeat(100_000)}`, 'URL: its answer has a line of over 64 KiB');
    says('with an endless head', `HTTP/1.1 200 OK\r\n${`A: ${'x'.repeat(1000)}\r\n`.repeat(100)}`, 'URL: its answer has a head of over 64 KiB');
    says('that is huge', `HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n`, 'URL: its answer is larger than 1 MiB');
    says('that is endless', `HTTP/1.1 200 OK\r\n\r\n${'x'.repeat(1_200_000)}`, 'URL: its answer is larger than 1 MiB');
    says('in a huge chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n', 'URL: its answer is larger than 1 MiB');
    for (const [name, body] of [['nothing', ''], ['text', 'ok'], ['a number', '{"id":7}'], ['an array', '["id","x"]'], ['half of it', '{"id":"e'], ['an id further in', '{"a":{"id":"x"}}']]) {
        says(`with ${name} for an id`, answer('201 Created', body), 'URL does not answer as weft serve does');
    }
}

function unreachable() {
    it('nobody listens', async (t) => {
        const url = `http://127.0.0.1:${await freePort()}`;
        assert.deepEqual(await publish(t, ['t', 'x', '--server', url]), ['status 1', '', `weft publish: ${url}: no connection: Connection refused\n`]);
    });
    it('no such socket', async (t) => {
        assert.deepEqual(await publish(t, ['t', 'x', '--server=unix:/nowhere']), ['status 1', '', 'weft publish: unix:/nowhere: no connection: No such file or directory\n']);
    });
    it('no such name', async (t) => {
        const [how, stdout, stderr] = await publish(t, ['t', 'x', '--server', 'http://no-such-host.invalid']);
        assert.deepEqual([how, stdout], ['status 1', '']);
        assert.match(stderr, /^weft publish: http:\/\/no-such-host\.invalid:80: \w[^\n]+\n$/);
    });
    it('standard output that is full', async (t) => {
        const server = await fake(t);
        const got = await weft(t, ['publish', 't', 'x', '--server', server.url]);
        assert.equal(got[0], 'status 0');
        const program = startWeft(t, ['publish', 't', '--lines', '--server', server.url]);
        program.child.stdout.destroy();
        program.child.stdin.write('a\nb\nc\n');
        await within(program.ended, () => 'ends when nobody reads what it prints');
        assert.ok(server.requests.length < 5);
    });
}

function mistakes() {
    /** The arguments are refused with status 2 and this sentence. */
    function refuses(args, sentence, options) {
        it(args.join(' ') || 'nothing', async (t) => {
            assert.deepEqual(await publish(t, args, options), ['status 2', '', `weft publish: ${sentence}\n`]);
        });
    }
    refuses([], 'needs a topic: weft publish TOPIC [DATA]');
    refuses([''], 'TOPIC is not 1 to 255 bytes of UTF-8 without control characters');
    refuses(['a\nb', 'x'], 'TOPIC is not 1 to 255 bytes of UTF-8 without control characters');
    refuses(['x'.repeat(256), 'x'], 'TOPIC is not 1 to 255 bytes of UTF-8 without control characters');
    for (const topic of ['.', '..', 'a/../b', './a', 'a/.']) refuses([topic, 'x'], 'TOPIC has a segment "." or "..", which no URL can say');
    refuses(['t', 'two', 'words'], 'takes a topic and data, and nothing behind them; data with spaces stands in quotes');
    refuses(['t', 'x', '--event', 'a\r\nAuthorization: x'], '--event is not 1 to 255 bytes of UTF-8 without control characters');
    refuses(['t', 'x', '--key', 'a b'], 'the key is not 1 to 1024 characters of ASCII without spaces');
    refuses(['t', 'x', '--lines'], '--lines reads standard input; it goes with no DATA');
    refuses(['t', 'x', '--server', 'https://a'], 'https://a is not http://HOST:PORT, HOST:PORT, PORT or unix:PATH');
    refuses(['t', 'x', '--server', 'http://a/b c'], 'http://a/b c is not http://HOST:PORT, HOST:PORT, PORT or unix:PATH');
    refuses(['t', 'x', '--sever', '1'], 'unknown option "--sever"; did you mean "--server"?');
    refuses(['t', 'x', '--jsno'], 'unknown option "--jsno"; did you mean "--json"?');
    refuses(['t', 'x', '--json=yes'], '--json takes no value');
    refuses(['t', 'x', '--key'], '--key needs a value: --key KEY');
}

describe('publish', () => {
    describe('sends', { concurrency: 2 }, sending);
    describe('lines', { concurrency: 2 }, lines);
    describe('refused', { concurrency: 2 }, refusals);
    describe('answers', { concurrency: 2 }, answers);
    describe('unreachable', { concurrency: 2 }, unreachable);
    describe('mistakes', { concurrency: 2 }, mistakes);
});
