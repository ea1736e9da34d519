/** `weft serve` as people run it: what it opens to whom, publishing with curl and `weft publish`, its settings at work, and how it ends. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, readFileSync } from 'node:fs';
import http from 'node:http';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { installed } from './support/debian.mjs';
import { becomesTrue, binaryOf, occupyPort, run, start, within } from './support/program.mjs';
import { RawConnection, RawWebSocket, TEXT, told } from './support/raw-websocket.mjs';
import { environment, folderOf, serve, startWeft, weft } from './support/served.mjs';
import { connect, refusal } from './support/ws-client.mjs';

const KEY = 'a-key-that-nobody-may-see';
const AT_ONCE_MS = 4_000; /* well before the five seconds that a drain may take */
const docs = readFileSync(new URL('../../docs/server.md', import.meta.url), 'utf8');

/* --------------------------------------------------------------------------------------------------------------- requests */

/** A request with any head, a Host of its own too; {status, headers, body}. */
async function ask(target, { method = 'GET', headers = {}, body } = {}) {
    const options = { method, agent: false, headers };
    const request = (typeof target === 'string' ? http.request(target, options) : http.request({ ...target, ...options })).end(body);
    const [response] = await within(once(request, 'response'), () => `${method} ${target}`);
    return { status: response.statusCode, headers: response.headers, body: Buffer.concat(await response.toArray()).toString() };
}

const bearer = (key) => ({ authorization: `Bearer ${key}` });
const topic = ({ port }, name) => `http://127.0.0.1:${port}/topics/${name}`;
const post = (server, name, body = 'x', headers = {}) => ask(topic(server, name), { method: 'POST', body, headers });

/** What a topic keeps, as [type, data, event?] each. */
async function kept(server, name, headers = {}) {
    const answer = await ask(`${topic(server, name)}?since=start`, { headers });
    assert.equal(answer.status, 200, answer.body);
    return JSON.parse(answer.body).messages.map(({ type, data, event }) => (event ? [type, data, event] : [type, data]));
}

/** Reads an endless answer until a pattern has come; its match. The request ends with the test. */
async function streamed(t, target, pattern, act, { headers } = {}) {
    const request = http.request(target, { agent: false, headers: { accept: 'text/event-stream', ...headers } }).end();
    t.after(() => request.destroy());
    request.on('error', () => {});
    const [response] = await within(once(request, 'response'), () => `${target}`);
    let text = '';
    const found = new Promise((resolve) => {
        response.setEncoding('utf8').on('data', (piece) => {
            text += piece;
            if (pattern.test(text)) resolve(pattern.exec(text));
        });
        response.on('error', () => {});
    });
    await act();
    return within(found, () => `${target}: ${pattern} in ${text}`);
}

/* ------------------------------------------------------------------------------------------------------------------ start */

function starting() {
    it('says what docs/server.md shows', async (t) => {
        const example = /^ {4}(weft serve: [^]*?)\n\n/m.exec(docs)[1].replace(/^ {4}/gm, '') + '\n';
        const server = await serve(t, ['--loops', '8', folderOf(t, { 'index.html': 'hi' })]);
        assert.equal(server.told.replace(/files: \S+/, 'files: public').replace(/:\d+\/$/m, ':3000/'), example);
        await server.stop();
        server.checkLog();
    });
    it('serves on a thread for each processor, or on as many as it is told', async (t) => {
        const one = [installed('taskset'), '-c', /^Cpus_allowed_list:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))[1]];
        for (const [n, args, prefix] of [[availableParallelism(), []], [3, ['--loops', '3']], [1, ['--loops', '1']], [1, [], one]]) {
            const [command, ...rest] = [...(prefix ?? []), binaryOf('WEFT'), 'serve', ...args, '--listen', '0', '--admin', '0'];
            const server = start(t, command, rest, environment());
            const [, admin] = await server.printed(/^ +operators: (\S+)/m);
            assert.equal(server.stdout.split('\n', 1)[0], `weft serve: ${n > 1 ? `on ${n} threads; ` : ''}Ctrl-C ends it`);
            assert.match(await (await fetch(`${admin}/metrics`)).text(), new RegExp(`^weft_loops ${n}$`, 'm'));
            await server.stop();
        }
    });
    /** The lines about who may do what. */
    function says(name, args, lines, options) {
        it(name, async (t) => {
            const server = await serve(t, args, options);
            const access = /^ +reading: [^]*$/m.exec(server.told)[0].split('\n').slice(0, -1).map((line) => line.trim());
            assert.deepEqual(access, [`reading: ${lines[0]}`, `writing: ${lines[1]}`, `pages: ${lines[2] ?? 'of this server'}`]);
            await server.stop();
            assert.ok(!`${server.stdout}${server.stderr}`.includes(KEY));
        });
    }
    const everywhere = ['--listen', '0.0.0.0:0'];
    const closed = 'nobody; --publish-key KEY or --client-publish PATTERN changes that';
    says('on this machine', [], ['everybody (*)', 'everybody (*)']);
    says('on this machine with a key', ['--publish-key', KEY], ['everybody (*)', 'everybody (*)']);
    says('on this machine, and none', ['--client-publish', ''], ['everybody (*)', closed]);
    says('on this machine under another name', ['--host', 'a.example'], ['everybody (*)', closed]);
    says('everywhere', everywhere, ['everybody (*)', closed]);
    says('everywhere besides', ['--listen', '0', ...everywhere], ['everybody (*)', closed]);
    says('everywhere with a key', [...everywhere, '--publish-key', KEY], ['everybody (*)', 'whoever has the publish key']);
    says('everywhere with a key from the environment', everywhere, ['everybody (*)', 'whoever has the publish key'], { variables: { WEFT_PUBLISH_KEY: KEY } });
    says('everywhere with patterns', [...everywhere, '--client-publish', 'a/*', '--client-publish', 'b', '--subscribe', 'c', '--publish-key', KEY],
        ['everybody (c); all topics: whoever has the publish key', 'everybody (a/*, b); all topics: whoever has the publish key']);
    says('patterns without a key', [...everywhere, '--client-publish', 'a/*'], ['everybody (*)', 'everybody (a/*)']);
    says('nobody reads', ['--subscribe', ''], ['nobody; --subscribe PATTERN changes that', 'everybody (*)']);
    says('only the key', ['--subscribe=', '--client-publish=', '--publish-key', KEY], ['whoever has the publish key', 'whoever has the publish key']);
    says('pages', ['--origin', 'https://a.example', '--origin=https://b.example'], ['everybody (*)', 'everybody (*)', 'of this server and of https://a.example, https://b.example']);
    says('any pages', ['--origin', '*'], ['everybody (*)', 'everybody (*)', 'of any origin']);

    it('tells every address', async (t) => {
        const socket = path.join(folderOf(t), 'weft sock');
        const server = await serve(t, ['--listen', '0', '--listen', 'localhost:0', '--listen', `unix:${socket}`]);
        assert.match(server.told, new RegExp(`^  http://127.0.0.1:\\d+/\n(?:  http://\\S+:\\d+/\n)+  unix:${socket}\n`, 'm'));
        const answer = await ask({ socketPath: socket, path: '/topics/t' }, { headers: { host: 'localhost' } });
        assert.equal(answer.status, 200);
        assert.deepEqual((await weft(t, ['publish', 't', 'x', '--server', `unix:${socket}`]))[0], 'status 0');
        await server.stop();
    });
    it('takes its settings from a file and variables', async (t) => {
        const folder = folderOf(t, { 'weft.yaml': 'listen: 0\nhistory: 1\nclient-publish: "file/*"\n', page: 'a page' });
        const variables = { WEFT_CONFIG: path.join(folder, 'weft.yaml'), WEFT_CLIENT_PUBLISH: 'variable/*', WEFT_FILES: folder };
        const server = await serve(t, [], { variables });
        assert.match(server.told, /writing: everybody \(variable\/\*\)/);
        assert.equal((await post(server, 'file/a')).status, 403);
        for (const text of ['1', '2']) assert.equal((await post(server, 'variable/a', text)).status, 201);
        assert.deepEqual(await kept(server, 'variable/a'), [['text', '2']]);
        assert.equal((await ask(`${server.url}/page`)).body, 'a page');
        await server.stop();
    });
    it('a port in use is named, with the way out', async (t) => {
        const port = await occupyPort(t);
        const sentence = `weft serve: cannot listen on http://127.0.0.1:${port}: Address already in use; --listen PORT takes another port, --listen 0 a free one\n`;
        assert.deepEqual(await weft(t, ['serve', '--listen', `${port}`]), ['status 1', '', sentence]);
    });
    it('a folder that is not there is named', async (t) => {
        const [how, stdout, stderr] = await weft(t, ['serve', '/no/such/folder', '--listen', '0']);
        assert.deepEqual([how, stdout], ['status 1', '']);
        assert.match(stderr, /^weft serve: [^\n]*\/no\/such\/folder[^\n]*\n$/);
    });
    it('a wrong setting is told as check-config does, before it listens', async (t) => {
        assert.deepEqual(await weft(t, ['serve', '--histroy', '1']), ['status 2', '', 'weft serve: unknown option "--histroy"; did you mean "--history"?\n']);
        const [how, , stderr] = await weft(t, ['serve'], { variables: { WEFT_HISTORY: 'x' } });
        assert.deepEqual([how, stderr], ['status 2', 'weft serve: WEFT_HISTORY "x" is not a number from 0 to 1000000\n']);
    });
    it('the YAML of docs/server.md is right', async (t) => {
        const folder = folderOf(t, { key: KEY });
        const text = /```yaml\n([^]*?)```/.exec(docs)[1].replace('/etc/weft/key', path.join(folder, 'key'));
        const config = path.join(folderOf(t, { 'weft.yaml': text }), 'weft.yaml');
        assert.deepEqual(await weft(t, ['check-config', '--config', config]), ['status 0', 'ok\n', '']);
    });
}

/* ------------------------------------------------------------------------------------------------------------- publishing */

/** Runs curl to its end; [how, what it printed]. */
async function curl(t, ...args) {
    const [how, stdout, stderr] = await run(t, installed('curl'), ['-q', '-sS', '--noproxy', '*', ...args], environment());
    assert.equal(stderr, '');
    return [how, stdout];
}

function publishing() {
    it('by curl -d', async (t) => {
        const server = await serve(t);
        const [how, stdout] = await curl(t, '-d', 'hello', topic(server, 't'));
        assert.equal(how, 'status 0');
        assert.equal(JSON.parse(stdout).subscribers, 0);
        await curl(t, '-H', 'Content-Type: application/json', '-d', '{"EUR": 3}', '-H', 'Weft-Event: price', topic(server, 't'));
        assert.deepEqual(await kept(server, 't'), [['text', 'hello'], ['json', { EUR: 3 }, 'price']]);
        await server.stop();
    });
    it('by weft publish: text, JSON, bytes, an event, standard input', async (t) => {
        const server = await serve(t);
        const publish = (args, input) => weft(t, ['publish', 'a b/ü?', ...args, '--server', server.url], { input });
        const ids = [];
        for (const [args, input] of [
            [['hello']], [['你好', '--event', 'greeting']], [['{"a": [1, "ü"]}', '--json']], [['--binary'], Buffer.from([0, 255])], [['-'], 'from a pipe\n'], [['']],
        ]) {
            const [how, stdout, stderr] = await publish(args, input);
            assert.deepEqual([how, stderr], ['status 0', '']);
            ids.push(stdout.trimEnd());
        }
        const name = encodeURIComponent('a b') + '/' + encodeURIComponent('ü?');
        assert.deepEqual(await kept(server, name), [
            ['text', 'hello'], ['text', '你好', 'greeting'], ['json', { a: [1, 'ü'] }], ['binary', 'AP8='], ['text', 'from a pipe'], ['text', ''],
        ]);
        const answer = JSON.parse((await ask(`${topic(server, name)}?since=${ids[3]}`)).body);
        assert.deepEqual(answer.messages.map(({ id }) => id), ids.slice(4), 'what it prints are cursors');
        await server.stop();
    });
    it('by weft publish --lines', async (t) => {
        const server = await serve(t);
        const input = Array.from({ length: 50 }, (_, i) => `line ${i}\n`).join('');
        const [how, stdout] = await weft(t, ['publish', 't', '--lines', '--server', `${server.port}`], { input });
        assert.deepEqual([how, stdout.match(/\n/g).length], ['status 0', 50]);
        assert.deepEqual(await kept(server, 't'), Array.from({ length: 50 }, (_, i) => ['text', `line ${i}`]));
        await server.stop();
    });
    it('weft publish says in one sentence why not', async (t) => {
        const server = await serve(t, ['--client-publish', 'open', '--publish-key', KEY, '--max-message', '10']);
        const refused = async (args, status, variables, input) => {
            const [how, stdout, stderr] = await weft(t, ['publish', ...args, '--server', server.url], { variables, input });
            assert.deepEqual([how, stdout], ['status 1', '']);
            assert.match(stderr, new RegExp(`^weft publish: (line 1: )?${server.url} answered ${status}: \\w[^\\n]+\\n$`));
            assert.ok(!stderr.includes(KEY));
        };
        await refused(['closed', 'x'], 403);
        await refused(['closed', 'x', '--key', 'wrong'], 401);
        await refused(['open', '{', '--json'], 400);
        await refused(['open', 'more than ten bytes'], 413);
        await refused(['open'], 413, {}, 'x'.repeat(5_000_000));
        await refused(['open', '--lines'], 400, {}, Buffer.from([0xff, 10]));
        assert.equal((await weft(t, ['publish', 'closed', 'x', '--server', server.url], { variables: { WEFT_PUBLISH_KEY: KEY } }))[0], 'status 0');
        assert.equal((await weft(t, ['publish', 'open', '0123456789', '--server', server.url]))[0], 'status 0');
        await server.stop();
        const [how, , stderr] = await weft(t, ['publish', 'open', 'x'], { variables: { WEFT_SERVER: server.url } });
        assert.deepEqual([how, stderr], ['status 1', `weft publish: ${server.url}: no connection: Connection refused\n`]);
    });
    it('reaches WebSocket, SSE, a stream and weft.v1', async (t) => {
        const server = await serve(t);
        const address = topic(server, 't');
        const socket = await connect(t, address.replace('http', 'ws'));
        const many = await connect(t, `ws://127.0.0.1:${server.port}/weft`, 'weft.v1');
        many.send('{"type":"subscribe","topic":"t","id":1}');
        await many.until(() => many.events.some((event) => event.includes('subscribed')), 'subscribed');
        const sse = streamed(t, address, /^data: now\n/m, () => {});
        const lines = streamed(t, address, /^\{"id":"[^"]+","type":"text","data":"now"\}\n/m, () => {}, { headers: { accept: 'application/x-ndjson' } });
        const subscribers = async () => JSON.parse((await post(server, 't', 'not yet')).body).subscribers === 4;
        assert.ok(await becomesTrue(subscribers));
        await weft(t, ['publish', 't', 'now', '--server', server.url]);
        await Promise.all([sse, lines]);
        await socket.until(() => socket.events.at(-1) === told(TEXT, 'now'), 'the message');
        await many.until(() => many.events.some((event) => /message.*now/.test(event)), 'the message');
        await server.stop();
    });
}

/* ---------------------------------------------------------------------------------------------------------- who may do what */

function rights() {
    it('on this machine everybody writes', async (t) => {
        const server = await serve(t);
        assert.equal((await post(server, 't')).status, 201);
        const socket = await connect(t, topic(server, 't').replace('http', 'ws'));
        socket.send('by socket');
        assert.deepEqual(await socket.next(), [told(TEXT, 'by socket')]);
        await server.stop();
    });
    for (const [name, args] of [['on every address', ['--listen', '0.0.0.0:0']], ['under another name', ['--host', 'a.example']]]) {
        it(`${name} only the key writes`, async (t) => {
            const server = await serve(t, [...args, '--publish-key', KEY]);
            assert.equal((await post(server, 't')).status, 403);
            assert.equal((await post(server, 't', 'x', bearer('wrong'))).status, 401);
            assert.equal((await post(server, 't', 'by key', bearer(KEY))).status, 201);
            assert.deepEqual(await kept(server, 't'), [['text', 'by key']]);
            await server.stop();
        });
        it(`${name} without a key nobody writes`, async (t) => {
            const server = await serve(t, args);
            assert.equal((await post(server, 't')).status, 403);
            await server.stop();
        });
    }
    it('the key from a file', async (t) => {
        const file = path.join(folderOf(t, { key: `${KEY}\n` }), 'key');
        chmodSync(file, 0o600);
        const server = await serve(t, ['--listen', '0.0.0.0:0', '--publish-key-file', file]);
        assert.equal((await post(server, 't', 'x', bearer(KEY))).status, 201);
        await server.stop();
    });
    it('patterns', async (t) => {
        const server = await serve(t, ['--subscribe', 'news/*', '--subscribe', 'chat', '--client-publish', 'chat', '--publish-key', KEY]);
        const read = async (name, headers) => (await ask(topic(server, name), { headers })).status;
        assert.deepEqual([await read('news/a/b'), await read('chat'), await read('news'), await read('x')], [200, 200, 403, 403]);
        assert.deepEqual([await read('x', bearer(KEY)), await read('x', bearer('wrong'))], [200, 401]);
        const write = async (name, headers) => (await post(server, name, 'x', headers)).status;
        assert.deepEqual([await write('chat'), await write('news/a'), await write('news/a', bearer(KEY))], [201, 403, 201]);
        const list = (headers) => ask(`${server.url}/topics`, { headers });
        assert.notEqual((await list()).status, 200);
        const written = JSON.parse((await list(bearer(KEY))).body).topics.filter(({ messages }) => messages > 0);
        assert.deepEqual(written.map((one) => one.topic).sort(), ['chat', 'news/a']);
        await server.stop();
    });
    it('pages of other origins', async (t) => {
        const server = await serve(t, ['--origin', 'https://a.example']);
        const page = (origin, method = 'GET') => ask(topic(server, 't'), { method, headers: { origin } });
        assert.equal((await page('https://a.example')).headers['access-control-allow-origin'], 'https://a.example');
        assert.equal((await page('https://b.example')).headers['access-control-allow-origin'], undefined);
        assert.equal((await page('https://a.example', 'POST')).status, 201);
        assert.equal((await page('https://b.example', 'POST')).status, 403);
        assert.equal((await page(server.url, 'POST')).status, 201);
        const socket = topic(server, 't').replace('http', 'ws');
        assert.equal(await refusal(t, socket, { origin: 'https://b.example' }), 403);
        for (const origin of ['https://a.example', server.url]) await (await connect(t, socket, { origin })).leave();
        await server.stop();
    });
    it('names', async (t) => {
        const server = await serve(t, ['--host', 'a.example']);
        const named = async (host) => (await ask(topic(server, 't'), { headers: { host } })).status;
        assert.deepEqual([await named('localhost'), await named('a.example'), await named('b.example')], [200, 200, 421]);
        await server.stop();
    });
}

/* --------------------------------------------------------------------------------------------------------- settings at work */

function atWork() {
    it('files and topics', async (t) => {
        const folder = folderOf(t, { 'index.html': 'the page', 'app.js': '1', topics: 'hidden behind the topics' });
        const server = await serve(t, [folder]);
        assert.equal((await ask(`${server.url}/`)).body, 'the page');
        assert.equal((await ask(`${server.url}/app.js`)).body, '1');
        assert.equal((await post(server, 'index.html')).status, 201);
        assert.match((await ask(`${server.url}/weft.js`)).body, /export function connect/);
        assert.equal((await ask(`${server.url}/nothing`)).status, 404);
        await server.stop();
    });
    it('without files there are topics alone', async (t) => {
        const server = await serve(t);
        assert.equal((await ask(`${server.url}/`)).status, 404);
        await server.stop();
    });
    const three = async (server) => {
        for (const text of ['1', '2', '3']) await post(server, 't', text);
        return (await kept(server, 't')).map(([, data]) => data);
    };
    for (const [name, args, wanted] of [
        ['--history 2', ['--history', '2'], ['2', '3']],
        ['--history 0', ['--history', '0'], []],
        ['--history-bytes', ['--history-bytes', '1'], []],
        ['--history-age never', ['--history-age', 'never'], ['1', '2', '3']],
    ]) {
        it(name, async (t) => {
            const server = await serve(t, args);
            const got = await three(server);
            assert.deepEqual(name === '--history-bytes' ? got.filter((one) => one !== '3') : got, wanted);
            await server.stop();
        });
    }
    it('--history-age', async (t) => {
        const server = await serve(t, ['--history-age', '500ms']);
        await post(server, 't');
        assert.ok(await becomesTrue(async () => (await kept(server, 't')).length === 0), 'it is forgotten');
        await server.stop();
    });
    it('--max-topics', async (t) => {
        const server = await serve(t, ['--max-topics', '2']);
        for (const [name, status] of [['a', 201], ['b', 201], ['c', 503], ['a', 201]]) assert.equal((await post(server, name)).status, status, name);
        await server.stop();
    });
    const raw = async (t, server, text) => {
        const client = await RawConnection.open(server.port);
        t.after(() => client.destroy());
        await client.write(text);
        return client;
    };
    const closes = (t, args, text, answer, limit) => async () => {
        const server = await serve(t, args);
        assert.match((await (await raw(t, server, text)).readRest()).toString(), answer);
        await server.stop();
        assert.match(server.stderr, new RegExp(`limit=${limit}\\n`));
    };
    const slow = ['--head-timeout', '300ms', '--idle-timeout', '400ms', '--min-body-bytes-per-s', '3k'];
    it('--head-timeout', (t) => closes(t, slow, 'GET /topics/t HTTP/1.1\r\nHost:', /^HTTP\/1\.1 408 /, 'head_timeout_ms')());
    it('--idle-timeout', (t) => closes(t, slow, 'GET /topics/t HTTP/1.1\r\nHost: localhost\r\n\r\n', /^HTTP\/1\.1 200 (?![^]*HTTP)/, 'idle_timeout_ms')());
    it('--min-body-bytes-per-s', (t) =>
        closes(t, slow, `POST /topics/t HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40000\r\n\r\n${'x'.repeat(20_000)}`, /^HTTP\/1\.1 408 /, 'min_body_bytes_per_s')()); /* 2000 a second */
    it('--write-timeout', async (t) => {
        const folder = folderOf(t, { large: Buffer.alloc(32 << 20) });
        const server = await serve(t, [folder, '--write-timeout', '200ms']);
        const client = await raw(t, server, '');
        client.socket.pause();
        await client.write('GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n');
        assert.ok(await becomesTrue(() => /limit=write_timeout_ms\n/.test(server.stderr)));
        await server.stop();
    });
    const through = (server, fields) => ask(topic(server, 't'), { headers: fields });
    const held = (t, server, fields) => new Promise((resolve, reject) => {
        const request = http.get(`${topic(server, 't')}?since=`, { headers: { accept: 'text/event-stream', ...fields }, agent: false }, resolve);
        request.on('error', reject);
        t.after(() => request.destroy());
    });
    it('--trusted-proxy and --max-address-connections: each client of a proxy has its share', async (t) => {
        const server = await serve(t, ['--trusted-proxy', '127.0.0.1', '--max-address-connections', '2']);
        for (const status of [200, 200, 503]) assert.equal((await held(t, server, { 'x-forwarded-for': '6.6.6.6, 198.51.100.7' })).statusCode, status);
        assert.equal((await through(server, { 'x-forwarded-for': '6.6.6.6, 198.51.100.7' })).status, 503);
        assert.equal((await through(server, { 'x-forwarded-for': '198.51.100.7, 6.6.6.6' })).status, 200, 'the last one counts');
        assert.equal((await through(server, { forwarded: 'for="[2001:db8::1]:80"' })).status, 200);
        await server.stop();
        assert.match(server.stderr, /address=198\.51\.100\.7 status=503 .*limit=max_address_connections/);
    });
    it('without --trusted-proxy nobody is believed', async (t) => {
        const server = await serve(t, ['--max-address-connections', '1']);
        for (const status of [200, 200, 200]) assert.equal((await held(t, server, { 'x-forwarded-for': '198.51.100.7' })).statusCode, status);
        await server.stop();
        assert.doesNotMatch(server.stderr, /198\.51\.100/);
    });
    it('behind a proxy nobody may write unless that is said', async (t) => {
        const server = await serve(t, ['--trusted-proxy', 'unix']);
        assert.equal((await post(server, 't')).status, 403);
        await server.stop();
    });
    it('--max-messages-per-s', async (t) => {
        const server = await serve(t, ['--max-messages-per-s', '5']);
        const client = await connect(t, topic(server, 't').replace('http', 'ws'));
        const from = Date.now();
        client.send(...Array.from({ length: 55 }, (_, i) => `${i}`));
        await client.until(() => client.events.includes('text "54"'), 'all have come back');
        assert.ok(Date.now() - from > 800, 'after a while');
        await server.stop();
        assert.match(server.stderr, /limit="max_messages_per_s"/);
    });
    it('--presence', async (t) => {
        const server = await serve(t, ['--presence', 'room/*']);
        const client = await connect(t, `ws://127.0.0.1:${server.port}/weft`, 'weft.v1');
        client.send('{"type":"hello","name":"Ada"}', '{"type":"subscribe","topic":"room/1","id":1}', '{"type":"presence","topic":"room/1","id":2}');
        await client.until(() => client.events.some((event) => /presence.*count\W+1\b.*Ada/.test(event)), 'Ada is there');
        await server.stop();
    });
    it('--log', async (t) => {
        const quiet = await serve(t, ['--log', 'off']);
        await connect(t, topic(quiet, 't').replace('http', 'ws'));
        await quiet.stop();
        assert.equal(quiet.stderr, '');
    });
}

/* -------------------------------------------------------------------------------------------------------------------- end */

function ending() {
    for (const signal of ['SIGTERM', 'SIGINT']) {
        it(`${signal} ends it with status 0, and clients are told`, async (t) => {
            const server = await serve(t);
            const socket = await connect(t, topic(server, 't').replace('http', 'ws'));
            const waiting = ask(`${topic(server, 't')}?wait=25`);
            assert.ok(await becomesTrue(async () => JSON.parse((await post(server, 'other')).body).id));
            server.child.kill(signal);
            assert.equal(await server.end(AT_ONCE_MS), 'status 0');
            assert.deepEqual(await socket.next(), ['close 1001 the server is going away']);
            await waiting.catch(() => {});
            server.checkLog();
        });
    }
    it('--drain is how long it waits for those who do not leave', async (t) => {
        const server = await serve(t, ['--drain', '300ms']);
        const client = await RawWebSocket.connect({ port: server.port }, '/topics/t');
        t.after(() => client.destroy());
        const since = Date.now();
        server.child.kill('SIGTERM');
        assert.equal(await server.end(AT_ONCE_MS), 'status 0');
        assert.ok(Date.now() - since >= 250);
    });
    it('a signal as soon as the addresses are printed', async (t) => {
        for (let i = 0; i < 10; i++) await (await serve(t)).stop();
    });
    it('serves on when nobody reads what it prints', async (t) => {
        const server = startWeft(t, ['serve', '--listen', '0']);
        const [, url] = await server.printed(/(http:\S+)\//);
        server.child.stdout.destroy();
        for (let i = 0; i < 3; i++) assert.equal((await ask(`${url}/topics/t`)).status, 200);
        await server.stop();
    });
}

/* ---------------------------------------------------------------------------------------------------------------- proxies */

/** Starts a proxy with a snippet of docs/server.md, in which it listens on a socket and the server is ours. */
async function proxied(t, language, server, make) {
    const folder = folderOf(t);
    const snippet = new RegExp(`\`\`\`${language}\n([^]*?)\`\`\``).exec(docs)[1].replaceAll('127.0.0.1:3000', `127.0.0.1:${server.port}`);
    const socketPath = path.join(folder, 'front');
    const program = make(t, folder, snippet, socketPath);
    const answers = () => ask({ socketPath, path: '/topics/t' }, { headers: { host: 'example.com' } }).then(({ status }) => status === 200, () => program.how);
    assert.ok((await becomesTrue(answers)) && !program.how, program.sentence('does not answer'));
    return socketPath;
}

function startNginx(t, folder, snippet, socketPath) {
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${folder}/${name};`).join(' ');
    const text = `daemon off; master_process off; pid ${folder}/pid; error_log stderr warn; events {}
        http { access_log off; ${temporary} ${snippet.replace('listen 80;', `listen unix:${socketPath};`)} }`;
    const file = path.join(folderOf(t, { conf: text }), 'conf');
    return start(t, installed('nginx'), ['-p', folder, '-e', 'stderr', '-c', file]);
}

function startHaproxy(t, folder, snippet, socketPath) {
    const file = path.join(folderOf(t, { conf: snippet.replace('bind :80', `bind unix@${socketPath}`) }), 'conf');
    return start(t, installed('haproxy'), ['-db', '-f', file]);
}

function proxies() {
    for (const [language, make] of [['nginx', startNginx], ['haproxy', startHaproxy]]) {
        it(`${language} as docs/server.md says: a stream and a WebSocket get a message at once`, async (t) => {
            const server = await serve(t, ['--host', 'example.com', '--publish-key', KEY]);
            const socketPath = await proxied(t, language, server, make);
            const socket = await connect(t, `ws+unix://${socketPath}:/topics/t`, { headers: { host: 'example.com' }, origin: 'http://example.com' });
            const target = { socketPath, path: '/topics/t', headers: { host: 'example.com', accept: 'text/event-stream' } };
            const request = http.request(target).end();
            request.on('error', () => {});
            t.after(() => request.destroy());
            const [response] = await within(once(request, 'response'), () => 'a stream');
            const since = Date.now();
            await post(server, 't', 'at once', bearer(KEY));
            const [piece] = await within((async () => {
                for await (const chunk of response) if (/data: at once\n/.test(chunk)) return [chunk];
                return [];
            })(), () => 'the event');
            assert.ok(piece && Date.now() - since < AT_ONCE_MS);
            assert.deepEqual(await socket.next(), [told(TEXT, 'at once')]);
            await server.stop();
        });
    }
}

describe('serve', () => {
    describe('start', { concurrency: 2 }, starting);
    describe('publish', { concurrency: 2 }, publishing);
    describe('rights', { concurrency: 2 }, rights);
    describe('settings', { concurrency: 2 }, atWork);
    describe('end', { concurrency: 2 }, ending);
    describe('proxies', proxies);
});
