/** The commands as somebody at a terminal, a service manager or a script meets them: what they say, take, refuse, and how they end. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { describe, it } from 'node:test';
import { BINARY, RawConnection, RawWebSocket, TEXT, told } from './support/raw-websocket.mjs';
import { becomesTrue, binaryOf, freePort, occupyPort, run, start, within } from './support/program.mjs';
import { environment } from './support/served.mjs';
import { connect } from './support/ws-client.mjs';

const WEFT = binaryOf('WEFT');
const CONFORMANCE = binaryOf('WEFT_CONFORMANCE');
const VERSION = /WEFT_VERSION "(.*)"/.exec(readFileSync(new URL('../../include/weft.h', import.meta.url), 'utf8'))[1];
const HELLO = '{"code":200,"data":"hello world","msg":"success"}';
const WELCOME = '{"system":true,"text":"你已连接公告频道"}';
const AT_ONCE_MS = 4_000; /* well before the five seconds that a drain may take */

const lines = (text) => text.split('\n').slice(0, -1);

/* ------------------------------------------------------------------------------------------------------------ what it says */

/** The arguments bring text on standard output and status 0. */
async function helpOf(t, ...args) {
    const [how, stdout, stderr] = await run(t, WEFT, args);
    assert.deepEqual([how, stderr], ['status 0', '']);
    assert.ok(stdout.endsWith('\n'));
    for (const line of lines(stdout)) assert.ok(line.length <= 80, `wider than a terminal: ${line}`);
    return stdout;
}

function helping() {
    it('weft alone tells its usage, as an error', async (t) => {
        const [how, stdout, stderr] = await run(t, WEFT);
        assert.deepEqual([how, stdout], ['status 2', '']);
        assert.equal(stderr, await helpOf(t, '--help'));
    });
    for (const word of ['--help', '-h', 'help']) {
        it(`weft ${word} tells the usage and every command`, async (t) => {
            const text = await helpOf(t, word);
            assert.match(text, /^usage: weft COMMAND/m);
            for (const command of ['serve', 'check-config', 'print-config', 'publish', 'demo']) assert.match(text, new RegExp(`^ +${command} +\\w`, 'm'));
            assert.match(text, /weft COMMAND --help/);
        });
    }
    for (const args of ['demo --help', 'demo -h', 'demo --port 1 --help', 'help demo']) {
        it(`weft ${args} tells the options and their defaults`, async (t) => {
            const text = await helpOf(t, ...args.split(' '));
            assert.match(text, /^usage: weft demo/);
            assert.match(text, /^ +--port N .*3000/m);
            assert.match(text, /^ +--ws-port N .*8080/m);
        });
    }
    for (const command of ['serve', 'check-config', 'print-config']) {
        for (const args of [[command, '--help'], [command, '-h'], [command, 'public', '--port', '--help'], ['help', command]]) {
            it(`weft ${args.join(' ')} tells every setting`, async (t) => {
                const text = await helpOf(t, ...args);
                assert.match(text, new RegExp(`^usage: weft ${command} \\[DIR\\] \\[OPTIONS\\]\n`));
                assert.match(text, /^ +--history N +\w/m);
                assert.match(text, /^ +--listen URL \.\.\. +\w/m);
            });
        }
    }
    it('weft publish --help tells its options', async (t) => {
        const text = await helpOf(t, 'publish', '--help');
        assert.match(text, /^usage: weft publish TOPIC \[DATA\|-\] \[OPTIONS\]\n/);
        assert.match(text, /^ +--lines +\w/m);
        assert.match(text, /--server URL[^]*default http:\/\/127\.0\.0\.1:3000\n/);
    });
    it('weft --version tells the version in the header', async (t) => {
        assert.equal(await helpOf(t, '--version'), `weft ${VERSION}\n`);
    });
    for (const word of ['--help', '--version', 'demo --help', 'serve --help', 'print-config', 'check-config']) {
        it(`weft ${word} onto a full disk is a failure`, async (t) => {
            const [how, , stderr] = await run(t, 'sh', ['-c', `exec "$0" ${word} >/dev/full`, WEFT], environment());
            assert.deepEqual([how, stderr], ['status 1', 'weft: cannot write: No space left on device\n']);
        });
    }
}

/** The arguments are refused with status 2 and this one line. */
function refuses(args, sentence) {
    it(`weft ${args.join(' ')}`, async (t) => {
        assert.deepEqual(await run(t, WEFT, args), ['status 2', '', `${sentence}\n`]);
    });
}

function mistakes() {
    refuses(['dmeo'], 'weft: unknown command "dmeo"; did you mean "demo"?');
    refuses(['demos', '--port', '1'], 'weft: unknown command "demos"; did you mean "demo"?');
    refuses(['foo'], 'weft: unknown command "foo"; see weft --help');
    refuses([''], 'weft: unknown command ""; see weft --help');
    refuses(['a-very-long-command-that-nobody-has-ever-heard-of'],
        'weft: unknown command "a-very-long-command-that-nobody-has-ever-heard-of"; see weft --help');
    refuses(['help', 'dmo'], 'weft: unknown command "dmo"; did you mean "demo"?');
    refuses(['srve'], 'weft: unknown command "srve"; did you mean "serve"?');
    refuses(['--verison'], 'weft: unknown option "--verison"; did you mean "--version"?');
    refuses(['-x'], 'weft: unknown option "-x"; see weft --help');
    refuses(['demo', '--prot', '1'], 'weft demo: unknown option "--prot"; did you mean "--port"?');
    refuses(['demo', '--prot=1'], 'weft demo: unknown option "--prot"; did you mean "--port"?');
    refuses(['demo', '--wsport', '1'], 'weft demo: unknown option "--wsport"; did you mean "--ws-port"?');
    refuses(['demo', '--colour'], 'weft demo: unknown option "--colour"; see weft demo --help');
    refuses(['demo', '-p', '1'], 'weft demo: unknown option "-p"; see weft demo --help');
    refuses(['demo', '3000'], 'weft demo: unknown argument "3000"; see weft demo --help');
    refuses(['demo', '--'], 'weft demo: unknown option "--"; see weft demo --help');
    for (const name of ['--port', '--ws-port']) {
        refuses(['demo', name], `weft demo: ${name} needs a value: ${name} N`);
        for (const value of ['abc', '70000', '65536', '-1', '+1', ' 1', '1 ', '0x50', '1e3', '3.5', '', '9'.repeat(30), '--help-']) {
            refuses(['demo', name, value], `weft demo: ${name} "${value}" is not a port from 0 to 65535`);
        }
        refuses(['demo', `${name}=`], `weft demo: ${name} "" is not a port from 0 to 65535`);
        refuses(['demo', `${name}=0=0`], `weft demo: ${name} "0=0" is not a port from 0 to 65535`);
    }
}

function conformance() {
    const USAGE = /^usage: weft-conformance ws\|ws-context\|broadcast.* --port N.*\n$/;
    const wrong = [[], ['ws'], ['ws', '--port'], ['nothing', '--port', '0'], ['ws', '--prot', '0'], ['ws', '--port', '0', 'more'], ['--help']];
    for (const args of wrong) {
        it(`weft-conformance ${args.join(' ')}: usage`, async (t) => {
            const [how, stdout, stderr] = await run(t, CONFORMANCE, args);
            assert.deepEqual([how, stdout], ['status 2', '']);
            assert.match(stderr, USAGE);
        });
    }
    for (const port of ['abc', '70000', '', '-1']) {
        it(`weft-conformance ws --port "${port}": a sentence`, async (t) => {
            const sentence = `weft-conformance: the address "http://127.0.0.1:${port}" has a port that is not a number from 0 to 65535\n`;
            assert.deepEqual(await run(t, CONFORMANCE, ['ws', '--port', port]), ['status 1', '', sentence]);
        });
    }
    it('weft-conformance: port in use', async (t) => {
        const port = await occupyPort(t);
        const sentence = `weft-conformance: cannot listen on http://127.0.0.1:${port}: Address already in use\n`;
        for (const name of ['ws', 'broadcast']) {
            assert.deepEqual(await run(t, CONFORMANCE, [name, '--port', `${port}`]), ['status 1', '', sentence]);
        }
    });
}

/* ------------------------------------------------------------------------------------------------------ how it starts and ends */

const FREE_PORTS = ['--port', '0', '--ws-port', '0'];

/** Starts the demo; resolves to the program with the addresses that it prints: {page, broadcast, channel}. */
async function startDemo(t, args = FREE_PORTS, options = {}) {
    const demo = start(t, WEFT, ['demo', ...args], options);
    const found = await demo.until(() => addresses(demo.stdout), 'did not print three addresses');
    return Object.assign(demo, found);
}

function addresses(text) {
    const [page, broadcast, channel] = text.match(/(?<=^ +)(http|ws):\S+(?= .*\n)/gm) ?? [];
    return channel && { page, broadcast, channel };
}

const portOf = (url) => Number(new URL(url).port);

async function checkWorks(t, demo) {
    const { status, body } = await get(demo.page);
    assert.deepEqual([status, body], [200, HELLO]);
    const talker = await connect(t, demo.broadcast);
    talker.send('all hear me');
    assert.deepEqual(await talker.next(), [told(TEXT, 'all hear me')]);
    const reader = await connect(t, demo.channel);
    assert.deepEqual(await reader.next(), [told(BINARY, WELCOME)]);
    await Promise.all([talker.leave(), reader.leave()]);
}

function starting() {
    for (const args of ['--port 0 --ws-port 0', '--port=0 --ws-port=0', '--ws-port=0 --port 0', '--port 1 --port 0 --ws-port 00']) {
        it(`demo ${args}: the addresses that it prints answer`, async (t) => {
            const demo = await startDemo(t, args.split(' '));
            assert.notEqual(portOf(demo.page), portOf(demo.channel));
            assert.equal(demo.broadcast, demo.page.replace('http', 'ws'));
            await checkWorks(t, demo);
            await demo.stop();
            demo.checkLog();
        });
    }
    it('demo on the ports that it is told', async (t) => {
        const [port, wsPort] = [await freePort(), await freePort()];
        const demo = await startDemo(t, [`--port=${port}`, '--ws-port', `${wsPort}`]);
        assert.deepEqual([portOf(demo.page), portOf(demo.channel)], [port, wsPort]);
        await checkWorks(t, demo);
        await demo.stop();
    });
    it('demo fits in a terminal and says who may connect', async (t) => {
        const demo = await startDemo(t);
        assert.match(lines(demo.stdout)[0], /^weft demo: .*this machine.*any origin.*Ctrl-C/);
        for (const line of lines(demo.stdout)) assert.ok(line.length <= 80, line);
        await demo.stop();
    });
    it('demo: a port in use is named, with the way out', async (t) => {
        const port = await occupyPort(t);
        const sentence = (name) => `weft demo: cannot listen on http://127.0.0.1:${port}: Address already in use; ` +
            `${name} N takes another port, ${name} 0 a free one\n`;
        for (const [name, other] of [['--port', '--ws-port'], ['--ws-port', '--port']]) {
            assert.deepEqual(await run(t, WEFT, ['demo', name, `${port}`, other, '0']), ['status 1', '', sentence(name)]);
        }
    });
    it('demo: one port cannot serve both', async (t) => {
        const port = `${await freePort()}`;
        const [how, stdout, stderr] = await run(t, WEFT, ['demo', '--port', port, '--ws-port', port]);
        assert.deepEqual([how, stdout], ['status 1', '']);
        assert.match(stderr, new RegExp(`^weft demo: .*:${port}: .*--ws-port.*\n$`));
    });
}

/** A client that holds a drain open, as it never answers the close. */
async function stubborn(t, url) {
    const client = await RawWebSocket.connect({ port: portOf(url) });
    t.after(() => client.destroy());
    return client;
}

function ending() {
    for (const signal of ['SIGTERM', 'SIGINT']) {
        it(`${signal} ends the demo with status 0`, async (t) => {
            const demo = await startDemo(t);
            demo.child.kill(signal);
            assert.equal(await demo.end(AT_ONCE_MS), 'status 0');
        });
        it(`${signal} with clients: they are told, status 0`, async (t) => {
            const demo = await startDemo(t);
            const clients = [await connect(t, demo.broadcast), await connect(t, demo.channel)];
            demo.child.kill(signal);
            assert.equal(await demo.end(AT_ONCE_MS), 'status 0');
            assert.deepEqual(await clients[0].next(), ['close 1001 the server is going away']);
            assert.deepEqual(await clients[1].next(2), [told(BINARY, WELCOME), 'close 1001 the server is going away']);
        });
    }
    for (const [first, second] of [['SIGTERM', 'SIGTERM'], ['SIGINT', 'SIGTERM'], ['SIGINT', 'SIGINT']]) {
        it(`${first}, then ${second}: it waits for nobody`, async (t) => {
            const demo = await startDemo(t);
            const client = await stubborn(t, demo.broadcast);
            const since = Date.now();
            demo.child.kill(first);
            assert.equal(await client.next(), 'close 1001');
            assert.equal(demo.how, undefined, 'the first signal waits for clients');
            demo.child.kill(second);
            assert.equal(await demo.end(AT_ONCE_MS), 'status 0');
            assert.ok(Date.now() - since < AT_ONCE_MS);
        });
    }
    it('a signal as soon as the addresses are printed', async (t) => {
        for (let i = 0; i < 20; i++) await (await startDemo(t)).stop();
    });
}

function outputs() {
    it('serves on when nobody reads what it prints any more, and ends well', async (t) => {
        const demo = await startDemo(t);
        demo.child.stdout.destroy();
        for (let i = 0; i < 3; i++) await checkWorks(t, demo);
        await demo.stop();
    });
    it('serves with all standard streams closed', async (t) => {
        const [port, wsPort] = [await freePort(), await freePort()];
        const demo = start(t, 'sh', ['-c', 'exec "$0" "$@" <&- >&- 2>&-', WEFT, 'demo', `--port=${port}`, `--ws-port=${wsPort}`]);
        Object.assign(demo, { page: `http://127.0.0.1:${port}/`, broadcast: `ws://127.0.0.1:${port}`, channel: `ws://127.0.0.1:${wsPort}` });
        assert.ok(await becomesTrue(() => get(demo.page).then(() => true, () => false)), 'it answers');
        for (let i = 0; i < 3; i++) await checkWorks(t, demo);
        await demo.stop();
    });
}

/* ---------------------------------------------------------------------------------------------------------- the front page */

async function get(url, { accept, method = 'GET' } = {}) {
    const request = http.request(url, { method, agent: false, headers: accept ? { accept } : {} }).end();
    const [response] = await within(once(request, 'response'), () => `${method} ${url}`);
    const chunks = await within(response.toArray(), () => `${method} ${url}: its body`);
    return { status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks).toString() };
}

const BROWSER = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8';

/** All bytes of the answer behind its head, up to the end of the connection. */
async function bodyBytes(t, port, head) {
    const client = await RawConnection.open(port);
    t.after(() => client.destroy());
    await client.write(Buffer.from(`${head}\r\nHost: localhost\r\nConnection: close\r\n\r\n`));
    await client.readHead();
    const rest = await client.readRest();
    client.leave();
    return rest.toString();
}

async function checkHead(t, demo, accept, full) {
    const head = await get(demo.page, { method: 'HEAD', accept });
    const { date, ...fields } = head.headers;
    assert.ok(date);
    assert.deepEqual([head.status, head.body], [200, '']);
    assert.deepEqual({ ...fields, date: full.headers.date }, full.headers);
    assert.equal(await bodyBytes(t, portOf(demo.page), `HEAD / HTTP/1.1\r\nAccept: ${accept ?? '*/*'}`), '');
}

function frontPage() {
    async function withDemo(t, look) {
        const demo = await startDemo(t);
        await look(demo);
        await demo.stop();
    }

    it('is HTML for a browser, and knows the port of the channel', (t) => withDemo(t, async (demo) => {
        const answer = await get(demo.page, { accept: BROWSER });
        assert.deepEqual([answer.status, answer.headers['content-type']], [200, 'text/html; charset=utf-8']);
        assert.deepEqual([answer.headers.vary, answer.headers['cache-control']], ['Accept', 'no-cache']);
        assert.equal(Number(answer.headers['content-length']), Buffer.byteLength(answer.body));
        assert.match(answer.body, /^<!doctype html>[^]*<\/html>\n$/);
        assert.match(answer.body, new RegExp(`name="weft-ws-port" content="${portOf(demo.channel)}"`));
        await checkHead(t, demo, BROWSER, answer);
    }));
    it('is not sent again to a browser that has it', (t) => withDemo(t, async (demo) => {
        const headers = { accept: BROWSER };
        const first = await fetch(demo.page, { headers });
        const etag = first.headers.get('etag');
        assert.ok(etag && (await first.text()).length);
        const again = await fetch(demo.page, { headers: { ...headers, 'if-none-match': etag } });
        assert.deepEqual([again.status, again.headers.get('etag'), await again.text()], [304, etag, '']);
        const other = await fetch(demo.page, { headers: { ...headers, 'if-none-match': '"other"' } });
        assert.deepEqual([other.status, other.headers.get('etag')], [200, etag]);
        await other.text();
    }));
    for (const accept of [undefined, '*/*', 'application/json', 'text/plain, application/json']) {
        it(`is JSON for a program that accepts ${accept ?? 'whatever'}`, (t) => withDemo(t, async (demo) => {
            const answer = await get(demo.page, { accept });
            assert.deepEqual([answer.status, answer.headers['content-type'], answer.body], [200, 'application/json', HELLO]);
            assert.deepEqual([answer.headers.vary, answer.headers['cache-control']], ['Accept', 'no-cache']);
            await checkHead(t, demo, accept, answer);
        }));
    }
    it('does not mind a query', (t) => withDemo(t, async (demo) => {
        assert.equal((await get(`${demo.page}?_=1`)).body, HELLO);
    }));
    it('404 elsewhere, 405 for other methods, 426 on the channel', (t) => withDemo(t, async (demo) => {
        const expected = [
            ['nowhere', demo.page + 'nowhere', {}, 404, {}],
            ['HEAD nowhere', demo.page + 'nowhere', { method: 'HEAD' }, 404, {}],
            ...['POST', 'PUT', 'DELETE'].map((method) => [method, demo.page, { method }, 405, { allow: /^GET, HEAD\b/ }]),
            ['channel', demo.channel.replace('ws', 'http'), { accept: BROWSER }, 426, { upgrade: /^websocket$/ }],
            ['beside the channel', demo.channel.replace('ws', 'http') + 'x', {}, 404, {}],
        ];
        for (const [name, url, options, status, fields] of expected) {
            const answer = await get(url, options);
            assert.equal(answer.status, status, name);
            for (const [field, value] of Object.entries(fields)) assert.match(answer.headers[field], value, name);
            if (options.method !== 'HEAD') assert.match(answer.body, /^[\w ,]+\n?$/, `${name}: a few words for a person`);
        }
    }));
}

/* -------------------------------------------------------------------------------------------------------- what the demo logs */

/** Joins the channel; resolves to the client with its address as the demo prints it. */
async function join(t, demo) {
    const client = await connect(t, demo.channel);
    client.address = `127.0.0.1:${client.socket._socket.localPort}`;
    assert.deepEqual(await client.next(), [told(BINARY, WELCOME)]);
    return client;
}

/** What the demo prints behind its addresses while `talk` goes on, up to the line that the client has left. */
async function logged(t, talk) {
    const demo = await startDemo(t);
    const before = demo.stdout.length;
    const client = await join(t, demo);
    await talk(client, demo);
    const left = new RegExp(`^${client.address} left .*\n`, 'm');
    await demo.printed(left);
    const text = demo.stdout.slice(before);
    await demo.stop();
    demo.checkLog();
    return lines(text).map((line) => line.replace(`${client.address} `, ''));
}

/** A message brings this line. */
function logs(name, message, line) {
    it(`a message ${name}`, async (t) => {
        const got = await logged(t, async (client) => {
            client.send(message);
            await client.next();
            await client.leave();
        });
        assert.deepEqual(got, ['connected', `said ${line}`, 'left (1000)']);
    });
}

const FORGED = '\x1b[2J\x1b]0;title\x07bell\r\n127.0.0.1:1 said nothing\tat all\x00\x7f';
const FORGED_LINE = '.[2J.]0;title.bell..127.0.0.1:1 said nothing.at all..';

const NOT_UTF8 = [
    ['no such byte', 'ff'],
    ['a continuation alone', '9b'],
    ['overlong in two', 'c09b'],
    ['overlong in three', 'e0809b'],
    ['overlong in four', 'f080809b'],
    ['a surrogate', 'eda080'],
    ['above Unicode', 'f4908080'],
    ['far above', 'f5808080'],
    ['cut short', 'e4bd'],
];

function logging() {
    it('a connection, each message as it comes, and who leaves', async (t) => {
        const demo = await startDemo(t);
        const client = await join(t, demo);
        await demo.printed(new RegExp(`^${client.address} connected\n`, 'm'));
        for (const text of ['one', '{"name":"Ada","text":"two 你好 🧵"}']) {
            client.send(text);
            await demo.until(() => demo.stdout.includes(`\n${client.address} said ${text}\n`), 'the message');
        }
        await client.leave();
        await demo.printed(new RegExp(`^${client.address} left \\(1000\\)\n`, 'm'));
        await demo.stop();
    });
    logs('of nothing', '', '');
    logs('of bytes', Buffer.from('你好, bytes'), '你好, bytes');
    logs('with controls', FORGED, FORGED_LINE);
    logs('of bytes with controls', Buffer.from(FORGED), FORGED_LINE);
    logs('with C1 controls', 'a\u0080b\u009b31mc\u009fd\u00a0e', 'a..b..31mc..d\u00a0e');
    logs('with turned text', 'a\u202eb\u2066c\u2028d\u200fe\u2027', 'a...b...c...d...e\u2027');
    for (const [what, hex] of NOT_UTF8) {
        logs(`of bytes that are not UTF-8: ${what}`, Buffer.from(`61${hex}62`, 'hex'), `a${'.'.repeat(hex.length / 2)}b`);
    }
    logs('that ends within a character', Buffer.from('61e4bd', 'hex'), 'a..');
    logs('of 200 bytes', 'x'.repeat(200), 'x'.repeat(200));
    logs('of 201 bytes', 'x'.repeat(201), `${'x'.repeat(200)}... (201 bytes)`);
    logs('of a mebibyte', 'x'.repeat(1 << 20), `${'x'.repeat(200)}... (1048576 bytes)`);
    logs('that is cut between characters', '你'.repeat(100), `${'你'.repeat(66)}... (300 bytes)`);
    logs('of many controls', '\x1b'.repeat(300), `${'.'.repeat(200)}... (300 bytes)`);
    it('a reason stays unsaid', async (t) => {
        const got = await logged(t, (client) => client.socket.close(4321, 'evil \x1b[31m reason'));
        assert.deepEqual(got, ['connected', 'left (4321)']);
    });
    it('a client that is cut off', async (t) => {
        assert.deepEqual(await logged(t, (client) => client.socket.terminate()), ['connected', 'left (1006)']);
    });
    it('two clients are told apart', async (t) => {
        const demo = await startDemo(t);
        const [ada, bob] = [await join(t, demo), await join(t, demo)];
        ada.send('from Ada');
        bob.send('from Bob');
        await demo.printed(new RegExp(`^${ada.address} said from Ada\n`, 'm'));
        await demo.printed(new RegExp(`^${bob.address} said from Bob\n`, 'm'));
        await demo.stop();
        for (const { address } of [ada, bob]) assert.match(demo.stdout, new RegExp(`^${address} left \\(1001\\)\n`, 'm'));
    });
}

/* ---------------------------------------------------------------------------------------------------------------- the suite */

describe('command line', () => {
    describe('help', { concurrency: 2 }, helping);
    describe('mistakes', { concurrency: 2 }, mistakes);
    describe('conformance', { concurrency: 2 }, conformance);
    describe('start', { concurrency: 2 }, starting);
    describe('end', { concurrency: 2 }, ending);
    describe('output', { concurrency: 2 }, outputs);
    describe('front page', { concurrency: 2 }, frontPage);
    describe('log', { concurrency: 2 }, logging);
});
