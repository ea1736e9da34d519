/** `weft bench` against servers of ours and of others, and against servers that do not do what they ought to. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { describe, it } from 'node:test';
import { Server as SocketIoServer } from 'socket.io';
import { WebSocketServer } from 'ws';
import { becomesTrue, binaryOf, freePort, start } from './support/program.mjs';
import { startServer } from './support/server.mjs';
import { environment, folderOf, serve, startWeft, weft } from './support/served.mjs';

const QUICK = ['-t', '300ms', '--warm-up', '50ms'];
const NONE = { lost_connections: 0, lost_publishers: 0, missing: 0, wrong: 0, doubled: 0, misordered: 0, foreign: 0, unsent: 0 };

const bench = (t, args, options) => weft(t, ['bench', ...args], options);

/** Runs with --json; resolves to {how, report, said}. */
async function measure(t, args) {
    const [how, out, said] = await bench(t, [...args, '--json']);
    return { how, said, report: out ? JSON.parse(out) : undefined };
}

/** It goes well: nothing is said on standard error, nothing counted as wrong, and something was measured. */
async function goesWell(t, args) {
    const { how, report, said } = await measure(t, [...QUICK, ...args]);
    assert.deepEqual([how, said, report?.errors, report?.ok, report?.ending], ['status 0', '', NONE, true, 'in time']);
    return report;
}

async function listening(t, server, scheme) {
    await once(server.listen(0, '127.0.0.1'), 'listening');
    t.after(() => (server.close(), server.closeAllConnections?.()));
    return `${scheme}://127.0.0.1:${server.address().port}/`;
}

/** npm's ws; `answer(socket, data, n)` for the n-th message (from 0) of the whole server. */
async function wsServer(t, answer, options) {
    let n = 0;
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1', ...options });
    server.on('connection', (socket) => {
        socket.on('error', () => {});
        socket.on('message', (data) => answer(socket, data.toString(), n++));
    });
    await once(server, 'listening');
    t.after(() => {
        for (const socket of server.clients) socket.terminate();
        server.close();
    });
    return Object.assign(server, { url: `ws://127.0.0.1:${server.address().port}/` });
}

async function conformance(t, ...args) {
    const server = await startServer(...args);
    t.after(() => server.stop());
    return server;
}

/* ------------------------------------------------------------------------------------------------------------------- modes */

function echoes() {
    it('our WebSocket server, two processes, many in flight', async (t) => {
        const server = await conformance(t, 'ws');
        const report = await goesWell(t, ['echo', server.url, '-c', '21', '-s', '20', '-d', '16', '-p', '2', '--pid', server.pid]);
        assert.ok(report.messages > 100 && report.messages_per_second > 100);
        assert.deepEqual([report.mode, report.url, report.connections, report.connected, report.depth], ['echo', server.url, 21, 21, 16]);
        assert.equal(report.latency_us.count, report.messages);
        assert.equal(report.sent, report.messages);
        const { min, p50, p90, p99, p99_9, max } = report.latency_us;
        assert.ok(0 < min && min <= p50 && p50 <= p90 && p90 <= p99 && p99 <= p99_9 && p99_9 <= max);
        assert.ok(report.server.cpu_seconds > 0 && report.server.per_cpu_second > 0 && report.server.rss_bytes > 100_000);
        assert.ok(report.generator_cpu_seconds > 0);
    });
    it('our WebSocket server, compressed', async (t) => {
        const { url } = await conformance(t, 'ws');
        const report = await goesWell(t, ['echo', url, '-c', '5', '-s', '4k', '-d', '3', '--deflate']);
        assert.ok(report.read_bytes_per_second < report.payload_bytes_per_second * 0.9);
    });
    it('large messages', async (t) => {
        const { url } = await conformance(t, 'ws');
        await goesWell(t, ['echo', url, '-c', '3', '-s', '1M', '-d', '2']);
    });
    it("npm's ws", async (t) => {
        const { url } = await wsServer(t, (socket, data) => socket.send(data));
        await goesWell(t, ['echo', url, '-c', '10', '-d', '4']);
    });
    it("npm's ws, compressed", async (t) => {
        const { url } = await wsServer(t, (socket, data) => socket.send(data), { perMessageDeflate: { threshold: 0 } });
        await goesWell(t, ['echo', url, '-c', '3', '-s', '1000', '--deflate']);
    });
    it("npm's socket.io", async (t) => {
        const server = http.createServer();
        new SocketIoServer(server).on('connection', (socket) => socket.on('echo', (text) => socket.emit('echo', text)));
        const url = (await listening(t, server, 'ws')) + 'socket.io/';
        await goesWell(t, ['echo', url, '--socketio', '--event', 'echo', '-c', '10', '-d', '4']);
    });
    it('our Socket.IO server', async (t) => {
        const server = await conformance(t, 'socketio-echo');
        await goesWell(t, ['echo', `${server.url.replace('http', 'ws')}/socket.io/`, '--socketio', '--event', 'echo', '-c', '10', '-d', '4']);
    });
    it('plain TCP', async (t) => {
        const server = net.createServer((socket) => socket.on('error', () => {}).pipe(socket));
        await goesWell(t, ['echo', await listening(t, server, 'tcp'), '-c', '10', '-d', '4']);
    });
    it('over TLS', async (t) => {
        const folder = folderOf(t);
        assert.equal((await weft(t, ['cert', '--out', folder]))[0], 'status 0');
        const server = await conformance(t, 'ws', '--tls', folder);
        await goesWell(t, ['echo', server.url, '-c', '5', '-d', '16', '-s', '2000', '--pid', server.pid]);
        assert.match(server.url, /^wss:/);
    });
    it('by the clock', async (t) => {
        const { url } = await wsServer(t, (socket, data) => socket.send(data));
        const report = await goesWell(t, ['echo', url, '-c', '10', '--rate', '500', '-t', '1s', '-p', '2']);
        assert.ok(Math.abs(report.sent - 500 * report.seconds) <= 4, `${report.sent} in ${report.seconds} s`);
        assert.equal(report.messages, report.sent);
    });
    it('by the clock, and the time that the server sleeps counts', async (t) => {
        const held = [];
        const { url } = await wsServer(t, (socket, data) => held.push([socket, data]));
        const timer = setInterval(() => held.splice(0).forEach(([socket, data]) => socket.send(data)), 200);
        t.after(() => clearInterval(timer));
        const report = await goesWell(t, ['echo', url, '-c', '1', '--rate', '200', '-t', '1s']);
        assert.ok(report.latency_us.p50 > 60_000 && report.sent > 190, JSON.stringify(report.latency_us));
    });
}

function toAll() {
    it('broadcast: our server, three processes', async (t) => {
        const server = await conformance(t, 'broadcast');
        const report = await goesWell(t, ['broadcast', server.url, '-c', '50', '-d', '4', '-p', '3', '--pid', server.pid]);
        assert.equal(report.messages, report.sent * 50);
        assert.ok(report.to_all_us.count > 0 && report.to_all_us.p50 >= report.latency_us.p50 / 2);
    });
    it("broadcast: npm's ws, which leaves the sender out", async (t) => {
        const server = await wsServer(t, (from, data) => server.clients.forEach((socket) => socket !== from && socket.send(data)));
        const report = await goesWell(t, ['broadcast', server.url, '-c', '10', '--rate', '50']);
        assert.equal(report.messages, report.sent * 10);
    });
    for (const via of ['sse', 'stream', 'poll', 'ws']) {
        it(`fanout: weft serve, ${via}`, async (t) => {
            const { url } = await serve(t);
            const report = await goesWell(t, ['fanout', `${url}/topics/t`, '--via', via, '-c', '20', '-d', '2', '-p', '2']);
            assert.equal(report.messages, report.sent * 20);
        });
    }
    it('fanout: published to another path of weft serve, with a key', async (t) => {
        const { url } = await serve(t, ['--client-publish=', '--publish-key', 'secret']);
        const report = await goesWell(t, ['fanout', `${url.replace('http', 'ws')}/topics/t`, '--publish', `${url}/topics/t`, '--key', 'secret', '-c', '5']);
        assert.equal(report.messages, report.sent * 5);
    });
}

function others() {
    it('idle: our server', async (t) => {
        const server = await conformance(t, 'ws');
        const report = await goesWell(t, ['idle', server.url, '-c', '300', '-p', '2', '--source', '127.0.0.2-127.0.0.3,127.0.0.5', '--pid', server.pid]);
        assert.equal(report.connected, 300);
        assert.ok(report.server.rss_bytes_per_connection >= 0 && report.connects_per_second > 0);
        assert.equal(report.messages, 0);
    });
    it('idle: source addresses in turn', async (t) => {
        const from = new Map();
        const server = await wsServer(t, () => {});
        server.on('connection', (socket, { socket: { remoteAddress } }) => from.set(remoteAddress, (from.get(remoteAddress) ?? 0) + 1));
        await goesWell(t, ['idle', server.url, '-c', '10', '--source', '127.0.0.7,127.0.0.9']);
        assert.deepEqual([...from].sort(), [['127.0.0.7', 5], ['127.0.0.9', 5]]);
    });
    it('idle: heartbeats are answered', async (t) => {
        const server = http.createServer();
        const io = new SocketIoServer(server, { pingInterval: 100, pingTimeout: 200 });
        const url = (await listening(t, server, 'ws')) + 'socket.io/';
        await goesWell(t, ['idle', url, '--socketio', '-c', '10', '-t', '1s']);
        io.close();
    });
    it('idle: what is published reaches all', async (t) => {
        const { url } = await serve(t);
        const report = await goesWell(t, ['idle', `${url}/topics/t`, '--publish', `${url}/topics/t`, '-c', '100', '--rate', '20', '-t', '500ms', '-p', '3']);
        assert.ok(Math.abs(report.sent - 20 * report.seconds) <= 2, `${report.sent} in ${report.seconds} s`);
        assert.deepEqual([report.messages, report.to_all_us.count], [report.sent * 100, report.sent]);
    });
    it('idle: published over a WebSocket', async (t) => {
        const { url } = await conformance(t, 'broadcast');
        const report = await goesWell(t, ['idle', url, '--publish', url, '-c', '20', '--rate', '20']);
        assert.equal(report.messages, report.sent * 20);
    });
    it('idle: several servers, each of which has its share and gets each message once', async (t) => {
        const servers = [await conformance(t, 'broadcast'), await conformance(t, 'broadcast'), await conformance(t, 'broadcast')];
        const args = servers.flatMap(({ url, pid }) => [url, '--publish', url, '--pid', pid]);
        const report = await goesWell(t, ['idle', ...args, '-c', '31', '-p', '2', '--rate', '20', '--source', '127.0.0.2-127.0.0.3']);
        assert.deepEqual([report.servers, report.connected], [3, 31]);
        assert.ok(report.sent >= 4 && report.to_all_us.count === report.sent, `${report.sent}`);
        assert.equal(report.messages, report.sent * 31);
    });
    it('idle: each of several servers has its connections from all sources', async (t) => {
        const from = [];
        const urls = [];
        for (const n of [0, 1]) {
            const server = await wsServer(t, () => {});
            server.on('connection', (socket, { socket: { remoteAddress } }) => from.push(`${remoteAddress} ${n}`));
            urls.push(server.url);
        }
        await goesWell(t, ['idle', ...urls, '-c', '8', '-p', '2', '--source', '127.0.0.7,127.0.0.9']);
        assert.deepEqual(from.sort(), ['127.0.0.7 0', '127.0.0.7 0', '127.0.0.7 1', '127.0.0.7 1', '127.0.0.9 0', '127.0.0.9 0', '127.0.0.9 1', '127.0.0.9 1']);
    });
    it('idle: nothing is published in the warm-up, whose heartbeats are counted', async (t) => {
        const messages = [];
        const server = await wsServer(t, (socket, data) => messages.push(data));
        server.on('connection', (socket) => setTimeout(() => socket.ping(), 100));
        const { report } = await measure(t, ['idle', server.url, '--publish', server.url, '-c', '3', '--warm-up', '400ms', '-t', '200ms', '--rate', '20', '--timeout', '100ms']);
        assert.equal(report.warm_up_heartbeats, 4); // the publisher is pinged too
        assert.ok(report.warm_up_seconds >= 0.4);
        assert.ok(messages.length >= report.sent && messages.length <= 5, `${messages.length}`); // 12 with those of the warm-up
    });
    it('connect', async (t) => {
        const server = await conformance(t, 'ws');
        const report = await goesWell(t, ['connect', server.url, '-c', '5', '-p', '2', '--pid', server.pid]);
        assert.ok(report.messages > 20 && report.server.per_cpu_second > 0);
        assert.equal(report.latency_us.count, report.messages);
    });
    it('request', async (t) => {
        let n = 0;
        const server = http.createServer((request, response) => response.end(`answer ${n++}`));
        const report = await goesWell(t, ['request', await listening(t, server, 'http'), '-c', '5', '-d', '2']);
        assert.ok(n >= report.messages && report.messages > 20);
    });
}

/* --------------------------------------------------------------------------------------------------- servers that do it wrong */

const BY_CLOCK = ['-c', '4', '--rate', '200', '-t', '500ms', '--warm-up', '0', '--timeout', '300ms'];

/** The n-th message meets what `wrongly` does; the run fails with this sentence, and counts this. */
function fails(name, wrongly, sentence, counted, args = BY_CLOCK) {
    it(name, async (t) => {
        const { url } = await wsServer(t, (socket, data, n) => (wrongly(socket, data, n) ? undefined : socket.send(data)));
        const { how, report, said } = await measure(t, ['echo', url, ...args]);
        assert.equal(how, 'status 1');
        assert.match(said, sentence);
        assert.equal(report.ok, false);
        assert.deepEqual(report.errors, { ...NONE, ...(typeof counted === 'function' ? counted(report) : counted) });
    });
}

function wrongServers() {
    fails('loses one', (socket, data, n) => n === 20, /^weft bench: 1 message never came\n$/, { missing: 1 });
    let n_lost = 0;
    fails('loses the last', (socket, data, n) => n >= 75 && ++n_lost, /^weft bench: \d+ messages never came\n$/, () => ({ missing: n_lost }));
    let n_altered = 0;
    fails('alters some', (socket, data, n) => n % 10 === 3 && (socket.send(data.replace(/.$/, '~')), ++n_altered), /^weft bench: \d+ messages came that nobody had sent, or altered\n$/, () => ({ wrong: n_altered }));
    fails('doubles one', (socket, data, n) => n === 20 && socket.send(data), /^weft bench: 1 message came twice\n$/, { doubled: 1 });
    fails('says what nobody has', (socket, data, n) => n === 20 && socket.send('hello'), /^weft bench: 1 message came that nobody had sent, or altered\nweft bench: 1 message came twice\n$/, { wrong: 1, doubled: 1 });
    let held;
    fails('turns two about', (socket, data, n) => {
        if (n === 20) held = data;
        if (n === 21) [data, held].forEach((text) => socket.send(text));
        return n === 20 || n === 21;
    }, /^weft bench: 1 message came in the wrong order\n$/, { misordered: 1 }, [...BY_CLOCK, '-c', '1']);
    fails('ends one connection', (socket, data, n) => n === 20 && (socket.close(1011), true), /^weft bench: 1 of 4 connections was lost: closed by the server with 1011 \(internal error\) \(1\)\n$/, { lost_connections: 1 });
    fails('falls silent', (socket, data, n) => n > 20, /^weft bench: nothing came for 0\.3 s during measuring\nweft bench: 4 messages never came\n$/, { missing: 4 }, ['-c', '4', '--warm-up', '0', '--timeout', '300ms']);

    it('a broadcast that leaves one out', async (t) => {
        let n = 0;
        const server = await wsServer(t, (from, data) => [...server.clients].forEach((socket, i) => (i === 3 && n++ === 5 ? undefined : socket.send(data))));
        const { how, report, said } = await measure(t, ['broadcast', server.url, ...BY_CLOCK, '-c', '6']);
        assert.deepEqual([how, said, report.errors], ['status 1', 'weft bench: 1 message never came\n', { ...NONE, missing: 1 }]);
    });
    it('a publisher without the key', async (t) => {
        const { url } = await serve(t, ['--client-publish=', '--publish-key', 'secret']);
        const [how, , said] = await bench(t, ['fanout', `${url}/topics/t`, '-c', '3', ...QUICK]);
        assert.equal(how, 'status 1');
        assert.match(said, /^weft bench: the connection that publishes was lost: answered 403 Forbidden\n/);
    });
    it('a broadcast goes on without the one that was lost', async (t) => {
        let n = 0;
        const server = await wsServer(t, (from, data) => {
            if (n++ === 5) [...server.clients][2].terminate();
            for (const socket of server.clients) socket.send(data);
        });
        const { how, report, said } = await measure(t, ['broadcast', server.url, '-c', '6', '-t', '300ms', '--warm-up', '0', '-p', '2']);
        assert.deepEqual([how, report.errors, report.ending], ['status 1', { ...NONE, lost_connections: 1 }, 'in time']);
        assert.match(said, /^weft bench: 1 of 6 connections was lost: /);
        assert.ok(report.sent > 20);
    });
    it('no WebSocket there', async (t) => {
        const server = http.createServer((request, response) => response.writeHead(404).end());
        const url = await listening(t, server, 'ws');
        const [how, out, said] = await bench(t, ['echo', url, '-c', '3']);
        assert.deepEqual([how, out], ['status 1', '']);
        assert.match(said, new RegExp(`^weft bench: cannot connect to ${url}: answered 404`));
    });
    it('nobody listens', async (t) => {
        const url = `ws://127.0.0.1:${await freePort()}/`;
        for (const mode of ['echo', 'broadcast', 'idle', 'connect'])
            assert.deepEqual(await bench(t, [mode, url, '-c', '3']), ['status 1', '', `weft bench: cannot connect to ${url}: refused\n`]);
    });
    it('listens, and says nothing', async (t) => {
        const url = await listening(t, net.createServer((socket) => socket.on('error', () => {})), 'ws');
        const [how, out, said] = await bench(t, ['echo', url, '-c', '3', '--timeout', '200ms']);
        assert.deepEqual([how, out, said], ['status 1', '', 'weft bench: nothing came for 0.2 s during connecting\n']);
    });
}

/* -------------------------------------------------------------------------------------------------------------- command line */

function commandLine() {
    /** One sentence on standard error, and status 2. */
    function refuses(args, sentence) {
        it(`refuses ${args.join(' ') || 'nothing'}`, async (t) => {
            const [how, out, said] = await bench(t, args);
            assert.deepEqual([how, out], ['status 2', '']);
            assert.match(said, sentence);
            assert.equal(said.split('\n').length, 2, said);
        });
    }
    const ws = 'ws://127.0.0.1:3000/', web = 'http://127.0.0.1:3000/';
    refuses([], /^weft bench: needs a mode and a URL/);
    refuses(['echo'], /^weft bench: needs a URL/);
    refuses(['eco', ws], /^weft bench: unknown mode "eco"; did you mean "echo"\?/);
    refuses(['echo', ws, 'more'], /^weft bench: takes a mode and a URL, .* not more/);
    refuses(['echo', 'ftp://x/'], /^weft bench: ftp:\/\/x\/ /);
    refuses(['echo', 'ws:///'], /^weft bench: ws:\/\/\/ has no host/);
    refuses(['echo', ws, '--conections', '3'], /^weft bench: unknown option "--conections"; did you mean "--connections"\?/);
    refuses(['echo', ws, '-x'], /^weft bench: unknown option "-x"/);
    refuses(['echo', ws, '-c'], /^weft bench: --connections needs a value: --connections N/);
    refuses(['echo', ws, '-c0'], /^weft bench: --connections "0" is not a number from 1 to 10000000/);
    refuses(['echo', ws, '-s', '15'], /^weft bench: --size "15" is not a size from 16 bytes to 64M/);
    refuses(['echo', ws, '-d', 'x'], /^weft bench: --depth "x" is not a number from 1 to 4096/);
    refuses(['echo', ws, '-t', '0'], /^weft bench: --time "0" is not a time/);
    refuses(['echo', ws, '--rate', '-1'], /^weft bench: --rate "-1" is not a number above 0/);
    refuses(['echo', ws, '--rate', '5', '-d', '5'], /^weft bench: --depth and --rate exclude each other/);
    refuses(['echo', ws, '--via', 'sse'], /^weft bench: --via goes with/);
    refuses(['fanout', web, '--via', 'mail'], /^weft bench: --via "mail" is not ws, sse, stream or poll/);
    refuses(['echo', web, '--socketio'], /^weft bench: --socketio needs a ws/);
    refuses(['broadcast', web], /^weft bench: broadcast needs a ws/);
    refuses(['request', ws], /^weft bench: request needs an http/);
    refuses(['fanout', 'tcp://127.0.0.1:7'], /^weft bench: fanout needs an http/);
    refuses(['echo', ws, '--publish', web], /^weft bench: --publish goes with fanout and idle/);
    refuses(['echo', ws, ws], /^weft bench: takes a mode and a URL, and nothing behind them but options, not ws:/);
    refuses(['idle', ws, ws, '--publish', ws], /^weft bench: --publish is given once for each URL/);
    refuses(['idle', ws, web], /^weft bench: several URLs begin alike/);
    refuses(['idle', ws, '--publish', 'foo'], /^weft bench: --publish "foo" does not begin with/);
    refuses(['idle', ...Array(65).fill(ws)], /^weft bench: takes 64 URLs at most/);
    refuses(['idle', ws, '-d', '3'], /^weft bench: --depth goes with no idle/);
    refuses(['idle', ws, '--rate', '3'], /^weft bench: --rate needs messages/);
    refuses(['echo', ws, '--source', '127.0.0.9-127.0.0.1'], /^weft bench: --source "127.0.0.9-127.0.0.1" is not 1 to 64 addresses/);
    refuses(['echo', ws, '--cpu', '1-'], /^weft bench: --cpu "1-" is not a list of CPUs/);
    refuses(['echo', ws, '--pid', '0'], /^weft bench: --pid "0" is not the id of a process/);

    it('a process that does not exist', async (t) => {
        assert.deepEqual(await bench(t, ['echo', ws, '--pid', '4194304']), ['status 1', '', 'weft bench: --pid 4194304: there is no such process\n']);
    });
    it('--help fits a terminal', async (t) => {
        const [how, out, said] = await bench(t, ['--help']);
        assert.deepEqual([how, said], ['status 0', '']);
        assert.match(out, /^usage: weft bench MODE URL/);
        for (const line of out.split('\n')) assert.ok(line.length <= 80, line);
    });
    it('short options, with and without a space', async (t) => {
        const { url } = await conformance(t, 'ws');
        const report = await goesWell(t, ['echo', url, '-c5', '-s', '30', '-d2', '-p2']);
        assert.deepEqual([report.connections, report.message_bytes, report.depth, report.processes], [5, 30, 2, 2]);
    });
}

/* -------------------------------------------------------------------------------------------------------------------- limits */

const limited = (t, files, args) => {
    const program = start(t, 'sh', ['-c', `ulimit -n ${files}; exec "$0" bench "$@"`, binaryOf('WEFT'), ...args], environment());
    return program.end().then((how) => [how, program.stdout, program.stderr]);
};

function limits() {
    it('too few descriptors, and the way out', async (t) => {
        const { url } = await conformance(t, 'ws');
        const [how, out, said] = await limited(t, 64, ['idle', url, '-c', '100']);
        assert.deepEqual([how, out], ['status 1', '']);
        const [, n] = /^weft bench: 100 connections need 132 descriptors a process, and the limit \(ulimit -Hn\) is 64; --processes (\d+) would do\n$/.exec(said);
        const [how2, , said2] = await limited(t, 64, ['idle', url, '-c', '100', '-t', '100ms', '--warm-up', '0', '-p', n]);
        assert.deepEqual([how2, said2], ['status 0', '']);
    });
    it('more in flight than there is memory', async (t) => {
        const [how, out, said] = await bench(t, ['echo', 'ws://127.0.0.1:3000/', '-c', '1000', '-d', '4096', '-s', '64M']);
        assert.deepEqual([how, out], ['status 1', '']);
        assert.match(said, /^weft bench: 274877\.9 GB in flight \(.*\) are too much for the \d+\.\d GB of this machine\n$/);
    });
    it('by the clock, faster than anything can be', async (t) => {
        const { url } = await conformance(t, 'ws');
        const { how, report, said } = await measure(t, ['echo', url, '-c', '4', '--rate', '1e9', '-t', '200ms', '--warm-up', '0', '--timeout', '1s']);
        assert.equal(how, 'status 1');
        assert.match(said, /weft bench: [\d,]+ messages could not be sent: too many were under way\n$/);
        assert.ok(report.errors.unsent > 10e6, `${report.errors.unsent}`);
    });
    it('too few ports, and the way out', async (t) => {
        const [how, out, said] = await bench(t, ['idle', 'ws://127.0.0.1:3000/', '-c', '200000', '-p', '100']);
        assert.deepEqual([how, out], ['status 1', '']);
        assert.match(said, /^weft bench: 200000 connections need more ports than .*ip_local_port_range\); --source with \d+ addresses would do\n$/);
    });
}

/* ---------------------------------------------------------------------------------------------------------------- while it runs */

/** A run that goes on until it is ended, at the point where it measures. */
async function measuring(t, args) {
    const program = startWeft(t, ['bench', ...args, '-t', '60', '--warm-up', '0', '--progress']);
    await program.until(() => /measuring {2,}\d/.test(program.stderr), 'does not say that it measures');
    return program;
}

const childrenOf = (pid) => readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);

function running() {
    it('SIGINT ends it, and what was measured is told', async (t) => {
        const { url } = await conformance(t, 'ws');
        const program = await measuring(t, ['echo', url, '-c', '4', '--json', '-p', '2']);
        program.child.kill('SIGINT');
        assert.equal(await program.end(), 'status 0');
        const report = JSON.parse(program.stdout);
        assert.deepEqual([report.ending, report.errors, report.ok], ['interrupted', NONE, true]);
        assert.ok(report.messages > 0 && report.seconds < 30);
        assert.match(program.stderr, /weft bench: interrupted after \d+\.\d s\n$/);
    });
    it('no process outlives the command', async (t) => {
        const server = await wsServer(t, (socket, data) => socket.send(data));
        const program = await measuring(t, ['echo', server.url, '-c', '4', '-p', '2']);
        assert.equal(server.clients.size, 4);
        program.kill();
        assert.ok(await becomesTrue(() => server.clients.size === 0));
    });
    it('a process that dies is told of', async (t) => {
        const { url } = await conformance(t, 'ws');
        const program = await measuring(t, ['echo', url, '-c', '4', '-p', '2']);
        process.kill(childrenOf(program.pid)[1], 'SIGKILL');
        assert.equal(await program.end(), 'status 1');
        assert.match(program.stderr, /weft bench: a process of the generator was ended by signal 9\n/);
    });
    it('the server goes away', async (t) => {
        const server = await wsServer(t, (socket, data) => socket.send(data));
        const program = await measuring(t, ['echo', server.url, '-c', '4']);
        for (const socket of server.clients) socket.terminate();
        assert.equal(await program.end(), 'status 1');
        assert.match(program.stderr, /weft bench: 4 of 4 connections were lost: .*\n$/);
    });
    it('onto a full disk', async (t) => {
        const { url } = await conformance(t, 'ws');
        const program = start(t, 'sh', ['-c', 'exec "$0" bench "$@" >/dev/full', binaryOf('WEFT'), 'echo', url, '-c', '2', ...QUICK], environment());
        assert.equal(await program.end(), 'status 1');
        assert.equal(program.stderr, 'weft bench: cannot write: No space left on device\n');
    });
    it('the report fits a terminal', async (t) => {
        const server = await conformance(t, 'ws');
        const [how, out, said] = await bench(t, [...QUICK, 'echo', server.url, '-c', '4', '-d', '4', '--pid', server.pid]);
        assert.deepEqual([how, said], ['status 0', '']);
        assert.match(out, /^weft bench echo ws:.*\n {2}4 connections, 100 B a message, 4 in flight on each\n {2}\d\.\d s after 0\.1 s of warm-up\n\n {2}connected/);
        assert.match(out, /^ {2}messages +[\d,]+ a second, /m);
        assert.match(out, /^ {2}server +[\d,]+ messages per CPU-second/m);
        assert.match(out, /^ {2}latency +50% +90% +99% +99\.9% +99\.99% +max$/m);
        for (const line of out.split('\n')) assert.ok(line.length <= 80, line);
    });
}

describe('weft bench', () => {
    describe('echo', echoes);
    describe('messages to all', toAll);
    describe('idle, connect, request', others);
    describe('servers that do it wrong', wrongServers);
    describe('the command line', commandLine);
    describe('limits', limits);
    describe('while it runs', running);
});
