/** Each program in examples/ does what its first line says, with npm's `ws` and Debian's python3-websockets as its clients. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { BINARY, TEXT, told } from './support/raw-websocket.mjs';
import { becomesTrue, binaryOf, occupyPort, run, start } from './support/program.mjs';
import { connect, connectMany, refusal } from './support/ws-client.mjs';

const PYTHON = process.env.PYTHON ?? '/usr/bin/python3';
const PYTHON_CLIENT = fileURLToPath(new URL('./support/client.py', import.meta.url));
const GOING_AWAY = 'close 1001 the server is going away';
const WITH_ADDRESS = ['hello', 'broadcast', 'announcements'];

/* ------------------------------------------------------------------------------------------------------------- the players */

/** Starts an example on a free port; resolves to the program with its `url` for clients. */
async function startExample(t, name, address = 'http://127.0.0.1:0') {
    const program = start(t, binaryOf('WEFT_EXAMPLES', `example-${name}`), [address]);
    const [, listening] = await program.printed(/^listening on (.*)\n/);
    program.url = listening.replace('http', 'ws');
    return program;
}

/** A connected python3-websockets: says(words) sends, hears(words) waits for the next that comes. */
async function connectPython(t, url) {
    const program = start(t, PYTHON, [PYTHON_CLIENT, url]);
    let at = 0;
    const line = () => {
        const end = program.stdout.indexOf('\n', at);
        return end < 0 ? undefined : { text: program.stdout.slice(at, end), end };
    };
    const hears = async (words) => {
        const { text, end } = await program.until(line, `did not hear ${words}`);
        at = end + 1;
        assert.equal(text, words);
    };
    await hears('open');
    return { hears, says: (words) => program.child.stdin.write(`${words}\n`) };
}

async function hearAll(clients, words) {
    for (const [i, client] of clients.entries()) assert.deepEqual(await client.next(words.length), words, `client ${i}`);
}

/** Ends the example; every client must be told. */
async function stopWith(program, clients) {
    await program.stop();
    await hearAll(clients, [GOING_AWAY]);
    assert.equal(program.stderr, '');
}

/* ---------------------------------------------------------------------------------------------------------------- all alike */

function alike(name) {
    it('one sentence and status 1 when its port is in use', async (t) => {
        const address = `http://127.0.0.1:${await occupyPort(t)}`;
        const sentence = `${name}: cannot listen on ${address}: Address already in use\n`;
        assert.deepEqual(await run(t, binaryOf('WEFT_EXAMPLES', `example-${name}`), [address]), ['status 1', '', sentence]);
    });
    it('one sentence and status 1 for an address that is none', async (t) => {
        const sentence = `${name}: the address "127.0.0.1:0" does not begin with http://, https:// or unix:\n`;
        assert.deepEqual(await run(t, binaryOf('WEFT_EXAMPLES', `example-${name}`), ['127.0.0.1:0']), ['status 1', '', sentence]);
    });
    it('a page from anywhere may connect', async (t) => {
        const program = await startExample(t, name);
        const client = await connect(t, program.url, { origin: 'http://elsewhere.example' });
        client.socket.close(1000);
        await program.stop();
    });
    it('listens on a Unix socket, and takes it away again', async (t) => {
        const folder = await mkdtemp(join(tmpdir(), 'weft-example-'));
        t.after(() => rm(folder, { recursive: true }));
        const path = join(folder, 'socket');
        const program = await startExample(t, name, `unix:${path}`);
        const client = await connect(t, `ws+unix:${path}:/`);
        await program.stop();
        assert.equal((await client.rest()).at(-1), GOING_AWAY);
        assert.ok(!existsSync(path));
    });
}

/* -------------------------------------------------------------------------------------------------------------------- hello */

function hello() {
    it('greets, and logs who comes, what is said, and who goes', async (t) => {
        const program = await startExample(t, 'hello');
        const client = await connect(t, program.url);
        assert.deepEqual(await client.next(), [told(TEXT, 'hello, client')]);
        await program.printed(new RegExp(`^connected: 127\\.0\\.0\\.1:${client.socket._socket.localPort}\n`, 'm'));
        client.send('你好, server', Buffer.from('some bytes'));
        await program.printed(/^received: 你好, server\nreceived: some bytes\n/m);
        client.socket.close(4000, 'bye for now');
        await program.printed(/^closed: 4000 bye for now\n/m);
        assert.deepEqual(await client.next(), ['close 4000']);
        await stopWith(program, []);
    });
    it('greets Python, and nobody hears what another says', async (t) => {
        const program = await startExample(t, 'hello');
        const [python, client] = [await connectPython(t, program.url), await connect(t, program.url)];
        await python.hears('text "hello, client"');
        python.says('text "from Python"');
        await program.printed(/^received: from Python\n/m);
        await client.settle();
        await program.stop();
        await python.hears(GOING_AWAY);
        assert.deepEqual(await client.next(2), [told(TEXT, 'hello, client'), GOING_AWAY]);
        assert.equal(program.stdout.match(/^connected: /gm).length, 2);
        assert.equal(program.stdout.match(/^closed: /gm).length, 2);
    });
}

/* ---------------------------------------------------------------------------------------------------------------- broadcast */

function broadcast() {
    it('every text goes to every connection, its sender too, as text', async (t) => {
        const program = await startExample(t, 'broadcast');
        const clients = await connectMany(t, 5, program.url);
        const python = await connectPython(t, program.url);
        const texts = ['', 'one', '二 🧵', 'nul \0 inside', 'x'.repeat(70_000)];
        for (const [i, text] of texts.entries()) {
            clients[i].send(text);
            await hearAll(clients, [told(TEXT, text)]);
            await python.hears(`text ${JSON.stringify(text)}`);
        }
        python.says('text "from Python"');
        await python.hears('text "from Python"');
        await hearAll(clients, [told(TEXT, 'from Python')]);
        await stopWith(program, clients);
        await python.hears(GOING_AWAY);
    });
    it('bytes go to nobody', async (t) => {
        const program = await startExample(t, 'broadcast');
        const clients = await connectMany(t, 2, program.url);
        clients[0].send(Buffer.from('not text'), 'text');
        await hearAll(clients, [told(TEXT, 'text')]);
        await stopWith(program, clients);
    });
    it('all hear all in one order', async (t) => {
        const program = await startExample(t, 'broadcast');
        const clients = await connectMany(t, 10, program.url);
        for (let n = 0; n < 50; n++) for (const [i, client] of clients.entries()) client.send(`${i}:${n}`);
        const heard = await Promise.all(clients.map((client) => client.next(500)));
        for (const list of heard) assert.deepEqual(list, heard[0]);
        for (let i = 0; i < 10; i++) {
            const own = heard[0].filter((words) => words.startsWith(`text "${i}:`));
            assert.deepEqual(own, Array.from({ length: 50 }, (_, n) => `text "${i}:${n}"`));
        }
        await stopWith(program, clients);
    });
    it('who has left hears nothing and is not missed', async (t) => {
        const program = await startExample(t, 'broadcast');
        const [leaver, lost, ...rest] = await connectMany(t, 4, program.url);
        assert.deepEqual(await leaver.leave(), ['close 1000']);
        lost.socket.terminate();
        rest[0].send('who is left?');
        await hearAll(rest, [told(TEXT, 'who is left?')]);
        await stopWith(program, rest);
    });
}

/* ------------------------------------------------------------------------------------------------------------ announcements */

/* {"system":true,"text":"你已连接公告频道"}, byte by byte */
const WELCOME = Buffer.from(
    '7b2273797374656d223a747275652c2274657874223a22' + 'e4bda0e5b7b2e8bf9ee68ea5e585ace5918ae9a291e98193' + '227d', 'hex');

const ANNOUNCED = [
    ['', Buffer.alloc(0)],
    ['text', '{"name":"Ada","text":"你好 🧵"}'],
    ['all bytes', Buffer.from(Array.from({ length: 256 }, (_, i) => i))],
    ['no UTF-8', Buffer.from('ff00fe80c0', 'hex')],
    ['a long text', 'é'.repeat(30_000)],
    ['a mebibyte', randomBytes(1 << 20)],
];

function announcements() {
    it('greets with these bytes, in a binary frame', async (t) => {
        const program = await startExample(t, 'announcements');
        const client = await connect(t, program.url);
        const python = await connectPython(t, program.url);
        assert.deepEqual(await client.next(), [told(BINARY, WELCOME)]);
        await python.hears(`binary ${WELCOME.toString('hex')}`);
        assert.deepEqual(JSON.parse(WELCOME), { system: true, text: '你已连接公告频道' });
        await stopWith(program, [client]);
    });
    for (const [what, message] of ANNOUNCED) {
        it(`passes on ${what || 'nothing'} byte for byte, as binary, to everybody`, async (t) => {
            const program = await startExample(t, 'announcements');
            const clients = await connectMany(t, 3, program.url);
            await hearAll(clients, [told(BINARY, WELCOME)]);
            clients[1].send(message);
            await hearAll(clients, [told(BINARY, message)]);
            await stopWith(program, clients);
        });
    }
    it('from Python to ws and back', async (t) => {
        const program = await startExample(t, 'announcements');
        const [client, python] = [await connect(t, program.url), await connectPython(t, program.url)];
        await python.hears(`binary ${WELCOME.toString('hex')}`);
        python.says('text "你好"');
        await python.hears('binary e4bda0e5a5bd');
        python.says('binary 00ff80');
        await python.hears('binary 00ff80');
        client.send(Buffer.from([1, 2, 3]));
        await python.hears('binary 010203');
        const all = [WELCOME, '你好', Buffer.from('00ff80', 'hex'), Buffer.from([1, 2, 3])];
        assert.deepEqual(await client.next(4), all.map((bytes) => told(BINARY, bytes)));
        await stopWith(program, [client]);
        await python.hears(GOING_AWAY);
    });
    it('a message in fragments arrives whole', async (t) => {
        const program = await startExample(t, 'announcements');
        const clients = await connectMany(t, 2, program.url);
        clients[0].socket.send('half ', { fin: false });
        clients[0].socket.send('and half', { fin: true });
        await hearAll(clients, [told(BINARY, WELCOME), told(BINARY, 'half and half')]);
        await stopWith(program, clients);
    });
}

/* ------------------------------------------------------------------------------------------------------------------- readme */

const README_PORT = 3000;

/** Whether somebody listens there: 'open', or the error's code. */
function knock(port) {
    return new Promise((resolve) => {
        const socket = net.connect(port, '127.0.0.1');
        socket.on('connect', () => resolve('open')).on('error', ({ code }) => resolve(code));
        socket.on('connect', () => socket.destroy());
    });
}

/** The README's program has one address, which must be free. */
async function startReadme(t) {
    assert.equal(await knock(README_PORT), 'ECONNREFUSED', `port ${README_PORT}, where the README's example listens, is in use: free it`);
    const program = start(t, binaryOf('WEFT_EXAMPLES', 'example-readme'));
    program.url = `ws://127.0.0.1:${README_PORT}/chat`;
    const listens = async () => program.how || (await knock(README_PORT)) === 'open';
    assert.ok((await becomesTrue(listens)) && !program.how, program.sentence('does not listen'));
    return program;
}

function readme() {
    it('welcomes, and what anybody says reaches everybody in one order', async (t) => {
        const program = await startReadme(t);
        const clients = await connectMany(t, 5, program.url);
        const python = await connectPython(t, program.url);
        await hearAll(clients, [told(TEXT, 'welcome')]);
        await python.hears('text "welcome"');
        const said = ['one', Buffer.from([0, 255]), '二 🧵', 'x'.repeat(16 * 1024)];
        for (const [i, message] of said.entries()) {
            clients[i].send(message);
            await hearAll(clients, [told(typeof message === 'string' ? TEXT : BINARY, message)]);
        }
        for (const words of ['text "one"', 'binary 00ff', 'text "二 🧵"', `text ${JSON.stringify(said[3])}`]) await python.hears(words);
        python.says('text "from Python"');
        await hearAll(clients, [told(TEXT, 'from Python')]);
        await python.hears('text "from Python"');
        await stopWith(program, clients);
        await python.hears(GOING_AWAY);
    });
    it('keeps its limits: message size, path, origin', async (t) => {
        const program = await startReadme(t);
        const [client, other] = await connectMany(t, 2, program.url);
        client.send('x'.repeat(16 * 1024 + 1));
        assert.match((await client.next(2)).join(), /^text "welcome",close 1009 /);
        assert.equal(await refusal(t, `ws://127.0.0.1:${README_PORT}/`), 404);
        assert.equal(await refusal(t, program.url, { origin: 'http://elsewhere.example' }), 403);
        assert.equal(await refusal(t, program.url, { origin: `http://127.0.0.1:${README_PORT}` }), 'open');
        assert.deepEqual(await other.next(), [told(TEXT, 'welcome')]);
        await stopWith(program, [other]);
    });
    it('says when its port is in use', async (t) => {
        const program = await startReadme(t);
        const sentence = `chat: cannot listen on http://127.0.0.1:${README_PORT}: Address already in use\n`;
        assert.deepEqual(await run(t, binaryOf('WEFT_EXAMPLES', 'example-readme')), ['status 1', '', sentence]);
        await program.stop();
    });
}

/* ---------------------------------------------------------------------------------------------------------------- the suite */

describe('examples', { concurrency: 1 }, () => {
    for (const name of WITH_ADDRESS) describe(`${name}, as all`, { concurrency: 2 }, () => alike(name));
    describe('hello', { concurrency: 2 }, hello);
    describe('broadcast', { concurrency: 2 }, broadcast);
    describe('announcements', { concurrency: 2 }, announcements);
    describe('readme', { concurrency: 1 }, readme);
});
