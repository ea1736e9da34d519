/** `weft bench fanout` and `request` against HTTP servers that are none of ours: what they push arrives, and what they do wrong is seen. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { describe, it } from 'node:test';
import { weft } from './support/served.mjs';

const QUICK = ['-t', '300ms', '--warm-up', '50ms', '--timeout', '2s'];
const BY_CLOCK = ['--rate', '200', '-t', '300ms', '--warm-up', '0', '--timeout', '1s'];
const NONE = { lost_connections: 0, lost_publishers: 0, missing: 0, wrong: 0, doubled: 0, misordered: 0, foreign: 0, unsent: 0 };
const STRANGER = '00000100000002a.a message of an earlier run';

async function measure(t, args) {
    const [how, out, said] = await weft(t, ['bench', ...args, '--json']);
    return { how, said, report: out ? JSON.parse(out) : undefined };
}

async function listening(t, server) {
    await once(server.listen(0, '127.0.0.1'), 'listening');
    t.after(() => (server.close(), server.closeAllConnections()));
    return `http://127.0.0.1:${server.address().port}`;
}

/** POST /pub publishes; GET /sse, /lines and /poll (with Last-Modified and ETag, as Nchan) listen. The n-th message goes out as `change(text, n)`; `greeting`
 * is what each stream begins with. */
class PushServer {
    constructor({ change = (text) => [text], greeting = [] } = {}) {
        Object.assign(this, { change, greeting, messages: [], streams: new Set(), polls: [], n: 0 });
        this.http = http.createServer((request, response) => this.serve(request, response));
    }

    async serve(request, response) {
        if (request.url === '/sse') this.stream(response, 'text/event-stream; charset=utf-8', (text) => ['event: price\r\nid: 7\r\nda', `ta: ${text}\r\n\r\n`]);
        else if (request.url === '/lines') this.stream(response, 'text/plain', (text) => [text.slice(0, 20), `${text.slice(20)}\n`]);
        else if (request.url.startsWith('/poll')) this.poll(request, response);
        else if (request.url === '/pub') this.publish(await request.setEncoding('utf8').toArray(), response);
        else response.writeHead(404).end();
    }

    stream(response, type, put) {
        response.writeHead(200, { 'Content-Type': type }).flushHeaders();
        const send = (text) => put(text).forEach((piece) => response.write(piece));
        this.greeting.forEach(send);
        this.streams.add(send);
        response.on('close', () => this.streams.delete(send));
    }

    poll(request, response) {
        const seen = request.headers['if-none-match'];
        const next = seen === undefined ? this.messages.length : Number(seen) + 1;
        if (next < this.messages.length) this.answer(response, next);
        else this.polls.push({ response, next });
    }

    answer(response, at) {
        response.writeHead(200, { 'Last-Modified': 'Fri, 20 Nov 2026 17:00:00 GMT', ETag: String(at) }).end(this.messages[at]);
    }

    publish(pieces, response) {
        for (const text of this.change(pieces.join(''), this.n++)) {
            const at = this.messages.push(text) - 1;
            this.streams.forEach((send) => send(text));
            for (const poll of this.polls.splice(0)) this.answer(poll.response, at);
        }
        response.writeHead(201).end('taken');
    }
}

function fanout(path, url, ...args) {
    return ['fanout', `${url}/${path}`, '--via', { sse: 'sse', lines: 'stream', poll: 'poll' }[path], '--publish', `${url}/pub`, ...args];
}

describe('weft bench: servers of others', () => {
    for (const path of ['sse', 'lines', 'poll'])
        it(`fanout: ${path}`, async (t) => {
            const url = await listening(t, new PushServer().http);
            const { how, report, said } = await measure(t, fanout(path, url, '-c', '10', '-d', '4', '-p', '2', ...QUICK));
            assert.deepEqual([how, said, report.errors], ['status 0', '', NONE]);
            assert.equal(report.messages, report.sent * 10);
            assert.ok(report.sent > 5);
        });

    it('polls and publishing go on when the server ends connections in order', async (t) => {
        const server = new PushServer();
        let n_connections = 0;
        server.http.maxRequestsPerSocket = 7;
        server.http.on('connection', () => n_connections++);
        const url = await listening(t, server.http);
        const { how, report, said } = await measure(t, fanout('poll', url, '-c', '5', ...QUICK));
        assert.deepEqual([how, said, report.errors], ['status 0', '', NONE]);
        assert.ok(n_connections > 6 * 2, `${n_connections} connections`);
    });

    it('what an earlier run has left is passed over', async (t) => {
        const url = await listening(t, new PushServer({ greeting: [STRANGER, STRANGER] }).http);
        const { how, report, said } = await measure(t, fanout('sse', url, '-c', '3', ...QUICK));
        assert.deepEqual([how, report.errors], ['status 0', { ...NONE, foreign: 6 }]);
        assert.match(said, /^weft bench: 6 messages of another run came too, and were passed over\n$/);
    });

    function fails(name, path, change, errors, sentence) {
        it(name, async (t) => {
            const url = await listening(t, new PushServer({ change }).http);
            const { how, report, said } = await measure(t, fanout(path, url, '-c', '4', ...BY_CLOCK));
            assert.match(said, sentence);
            assert.deepEqual([how, report.ok, report.errors], ['status 1', false, { ...NONE, ...errors }]);
        });
    }
    for (const path of ['sse', 'lines'])
        fails(`loses one: ${path}`, path, (text, n) => (n === 20 ? [] : [text]), { missing: 4 }, /^weft bench: 4 messages never came\n$/);
    fails('doubles one', 'sse', (text, n) => (n === 20 ? [text, text] : [text]), { doubled: 4 }, /^weft bench: 4 messages came twice\n$/);
    fails('says what nobody has', 'lines', (text, n) => (n === 20 ? ['hello', text] : [text]), { wrong: 4 }, /^weft bench: 4 messages came that nobody had sent, or altered\n$/);
    let held;
    fails('turns two about', 'sse', (text, n) => (n === 20 ? ((held = text), []) : n === 21 ? [text, held] : [text]), { misordered: 4 }, /^weft bench: 4 messages came in the wrong order\n$/);

    const answers = {
        'no such path': [(response) => response.writeHead(404).end(), 'answered 404 Not Found'],
        'a page': [(response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end('<p>'), 'answered with something else than an event stream'],
        'no HTTP': [(response) => response.socket.end('hello\n'), 'status line is not of HTTP/1'],
        'an end': [(response) => response.socket.end(), 'ended by the server'],
    };
    for (const [name, [answer, sentence]] of Object.entries(answers))
        it(`answers with ${name}`, async (t) => {
            const url = await listening(t, http.createServer((request, response) => answer(response)));
            const { how, said } = await measure(t, ['fanout', `${url}/sse`, '-c', '3', ...QUICK]);
            assert.deepEqual([how, said], ['status 1', `weft bench: cannot connect to ${url}/sse: ${sentence}\n`]);
        });

    it('request: one answer is no success', async (t) => {
        let n = 0;
        const url = await listening(t, http.createServer((request, response) => response.writeHead(n++ === 30 ? 503 : 200).end('answer')));
        const { how, report, said } = await measure(t, ['request', `${url}/`, '-c', '3', '-d', '1', ...QUICK]);
        assert.equal(how, 'status 1');
        assert.match(said, /^weft bench: 1 of 3 connections was lost: answered 503 Service Unavailable \(1\)\n/);
        assert.equal(report.errors.lost_connections, 1);
    });

    it('request: each answer ends with its connection', async (t) => {
        const url = await listening(t, http.createServer((request, response) => response.writeHead(200, { Connection: 'close' }).end('answer')));
        const { how, report, said } = await measure(t, ['request', `${url}/`, '-c', '3', '-d', '2', ...QUICK]);
        assert.deepEqual([how, said, report.errors], ['status 0', '', NONE]);
        assert.ok(report.messages > 10);
    });
});
