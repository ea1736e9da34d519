/** npm's `ws`, the client most servers meet, against `weft-conformance ws` and `broadcast`. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import WebSocket from 'ws';
import { startServer } from './support/server.mjs';

const DEADLINE_MS = 15_000;
const HEAVY_MS = 60_000;
const MIB = 1 << 20;

let server;
let broadcaster;

/* ------------------------------------------------------------------------------------------------------------------ clients */

function within(promise, what, ms = DEADLINE_MS) {
    let timer;
    const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`${what}: nothing within ${ms} ms`)), ms);
    });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** An open client that keeps what comes: messages as {data, isBinary}, and `closed`, a promise of {code, reason}. */
async function connect({ url }, options = {}) {
    const client = new WebSocket(`${url}/chat`, options);
    client.messages = [];
    client.wake = () => {};
    client.on('message', (data, isBinary) => {
        client.messages.push({ data, isBinary });
        client.wake();
    });
    client.closed = new Promise((resolve) => client.on('close', (code, reason) => resolve({ code, reason: reason.toString() })));
    client.failed = new Promise((resolve) => client.on('error', resolve));
    await within(Promise.race([once(client, 'open'), client.failed.then((error) => Promise.reject(error))]), 'open');
    return client;
}

/** Resolves when the client has `count` messages. */
function received(client, count, ms) {
    const all = new Promise((resolve) => {
        client.wake = () => client.messages.length >= count && resolve(client.messages);
        client.wake();
    });
    return within(all, `${count} messages`, ms);
}

async function nextMessage(client, ms) {
    await received(client, 1, ms);
    return client.messages.shift();
}

function closed(client) {
    return within(client.closed, 'close');
}

/** Waits for a pong: the server has then seen everything that the client sent, and its opening. */
async function settle(client) {
    client.ping();
    await within(once(client, 'pong'), 'pong');
}

async function leave(...clients) {
    for (const client of clients) client.close(1000);
    for (const { code } of await Promise.all(clients.map(closed))) assert.equal(code, 1000);
}

function withClient(options, talk) {
    return async () => {
        server.check();
        const client = await connect(server, options);
        try {
            await talk(client);
        } finally {
            client.terminate();
        }
    };
}

function withDefault(talk) {
    return withClient({}, talk);
}

async function echo(client, data, { binary = typeof data !== 'string', ms = DEADLINE_MS } = {}) {
    client.send(data, { binary });
    const answer = await nextMessage(client, ms);
    assert.equal(answer.isBinary, binary);
    assert.ok(Buffer.from(data).equals(answer.data), `the echo of ${data.length} bytes differs`);
}

function bytesOf(size) {
    return Buffer.from(Array.from({ length: 4096 }, (_, i) => (i * 7 + (i >> 5)) & 255)).toString('latin1').repeat(Math.ceil(size / 4096)).slice(0, size);
}

/* --------------------------------------------------------------------------------------------------------------------- echo */

function echoing() {
    for (const size of [0, 1, 125, 126, 65535, 65536]) {
        it(`text of ${size} bytes`, withDefault((client) => echo(client, 'x'.repeat(size))));
        it(`binary of ${size} bytes`, withDefault((client) => echo(client, Buffer.from(bytesOf(size), 'latin1'))));
    }
    it('text of all lengths of code points', withDefault((client) => echo(client, 'aé€😀'.repeat(1000))));
    it('a hundred messages in a row, of both kinds', withDefault(async (client) => {
        for (let i = 0; i < 100; i++) client.send(i % 2 ? Buffer.from(`message ${i}`) : `message ${i}`);
        const messages = await received(client, 100);
        messages.forEach(({ data, isBinary }, i) => assert.deepEqual([data.toString(), isBinary], [`message ${i}`, i % 2 === 1]));
    }));
    for (const mib of [1, 16]) {
        const ms = HEAVY_MS;
        it(`text of ${mib} MiB`, withClient({ maxPayload: 64 * MIB }, (client) => echo(client, 'é'.repeat((mib * MIB) / 2), { ms })));
        it(`binary of ${mib} MiB`, withClient({ maxPayload: 64 * MIB }, (client) => echo(client, Buffer.from(bytesOf(mib * MIB), 'latin1'), { ms })));
    }
    it('the offer of permessage-deflate is taken', withClient({ perMessageDeflate: true }, async (client) => {
        assert.equal(client.extensions, 'permessage-deflate');
        await echo(client, 'plain');
    }));
}

function fragmenting() {
    it('text in three fragments', withDefault(async (client) => {
        client.send('one ', { fin: false });
        client.send('two ', { fin: false });
        client.send('three', { fin: true });
        assert.deepEqual(await nextMessage(client), { data: Buffer.from('one two three'), isBinary: false });
    }));
    it('binary in a hundred fragments, pings between', withDefault(async (client) => {
        let pongs = 0;
        client.on('pong', () => pongs++);
        for (let i = 0; i < 100; i++) {
            client.send(Buffer.from([i]), { binary: true, fin: i === 99 });
            if (i % 10 === 0) client.ping(`${i}`);
        }
        const { data, isBinary } = await nextMessage(client);
        assert.deepEqual([...data], Array.from({ length: 100 }, (_, i) => i));
        assert.deepEqual([isBinary, pongs], [true, 10]);
    }));
}

function pinging() {
    it('a ping is answered with its payload', withDefault(async (client) => {
        const pong = within(once(client, 'pong'), 'pong');
        client.ping('still there?');
        assert.equal((await pong)[0].toString(), 'still there?');
    }));
    it('twenty pings are answered in order', withDefault(async (client) => {
        const payloads = Array.from({ length: 20 }, (_, i) => `ping ${i}`);
        const got = [];
        const all = new Promise((resolve) => client.on('pong', (data) => got.push(data.toString()) === payloads.length && resolve()));
        for (const payload of payloads) client.ping(payload);
        await within(all, 'pongs');
        assert.deepEqual(got, payloads);
    }));
    it('an unsolicited pong changes nothing', withDefault(async (client) => {
        client.pong('unasked');
        await echo(client, 'fine');
    }));
}

/* ------------------------------------------------------------------------------------------------------------------ closing */

function closing() {
    for (const code of [1000, 1001, 1003, 1008, 1011, 3000, 4000, 4999]) {
        it(`our code ${code} comes back`, withDefault(async (client) => {
            client.close(code, 'bye');
            assert.equal((await closed(client)).code, code);
        }));
    }
    it('a close without a code comes back without one', withDefault(async (client) => {
        client.close();
        assert.equal((await closed(client)).code, 1005);
    }));
    it('a close behind messages comes after their echoes', withDefault(async (client) => {
        for (let i = 0; i < 50; i++) client.send(`${i}`);
        client.close(1000);
        assert.equal((await closed(client)).code, 1000);
        assert.deepEqual(client.messages.map(({ data }) => data.toString()), Array.from({ length: 50 }, (_, i) => `${i}`));
    }));
    const violations = [
        ['a reserved opcode', 1002, [0x83, 0x80, 0, 0, 0, 0]],
        ['an unmasked frame', 1002, [0x81, 0x01, 0x61]],
        ['text that is not UTF-8', 1007, [0x81, 0x81, 0, 0, 0, 0, 0xff]],
        ['a frame of 2^40 bytes', 1009, [0x82, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]],
    ];
    for (const [what, code, bytes] of violations) {
        it(`the server closes with ${code}: ${what}`, withDefault(async (client) => {
            client._socket.write(Buffer.from(bytes));
            assert.equal((await closed(client)).code, code);
        }));
    }
    it('terminate: the server lives on', async () => {
        const clients = await Promise.all(Array.from({ length: 50 }, () => connect(server)));
        for (const client of clients) {
            client.send('unread');
            client.terminate();
        }
        assert.deepEqual([...new Set((await Promise.all(clients.map(closed))).map(({ code }) => code))], [1006]);
        const client = await connect(server);
        await echo(client, 'still served');
        await leave(client);
        server.check();
    });
    it('SIGTERM: every client is told 1001, and the server ends with status 0', async () => {
        const stopping = await startServer('ws');
        try {
            const clients = await Promise.all(Array.from({ length: 20 }, () => connect(stopping)));
            await Promise.all(clients.map(settle));
            const stopped = stopping.stop();
            for (const { code } of await Promise.all(clients.map(closed))) assert.equal(code, 1001);
            await stopped;
        } finally {
            await stopping.stop();
        }
    });
}

/* --------------------------------------------------------------------------------------------------------------------- many */

function many() {
    it('500 clients at once', async () => {
        const clients = await Promise.all(Array.from({ length: 500 }, () => connect(server)));
        try {
            await Promise.all(clients.map((client, i) => echo(client, `client ${i}`)));
            await Promise.all(clients.map((client, i) => echo(client, Buffer.alloc(2000, i))));
            await leave(...clients);
        } finally {
            clients.forEach((client) => client.terminate());
        }
        server.check();
    });
    it('500 clients, one after the other', async () => {
        for (let i = 0; i < 500; i++) {
            const client = await connect(server);
            await echo(client, `turn ${i}`);
            await leave(client);
        }
    });
}

/* ---------------------------------------------------------------------------------------------------------------- broadcast */

const AUDIENCE = 200;
const SPEAKERS = 10;
const SPEECHES = 20;

function speech(speaker, n) {
    const text = `${speaker}:${n}:${'aé€😀'.repeat((speaker * 7 + n) % 60)}`;
    return (speaker + n) % 2 ? Buffer.from(text) : text;
}

async function audience(count) {
    broadcaster.check();
    const clients = await Promise.all(Array.from({ length: count }, () => connect(broadcaster)));
    await Promise.all(clients.map(settle));
    return clients;
}

function withAudience(count, talk) {
    return async () => {
        const clients = await audience(count);
        try {
            await talk(clients);
            await leave(...clients);
        } finally {
            clients.forEach((client) => client.terminate());
        }
        broadcaster.check();
    };
}

/** Every message of every speaker but oneself: each once, each as it was sent, those of one speaker in their order. */
function checkHeard(client, me) {
    const heard = Array.from({ length: SPEAKERS }, () => 0);
    for (const { data, isBinary } of client.messages) {
        const speaker = Number(data.toString().split(':')[0]);
        const sent = speech(speaker, heard[speaker]++);
        assert.equal(isBinary, typeof sent !== 'string');
        assert.ok(Buffer.from(sent).equals(data), `client ${me} got ${data}, not ${sent}`);
    }
    assert.deepEqual(heard, heard.map((_, speaker) => (speaker === me ? 0 : SPEECHES)));
}

function broadcasting() {
    it('every other client gets a message, the sender does not', withAudience(3, async ([a, b, c]) => {
        a.send('from a');
        b.send(Buffer.from('from b'));
        await Promise.all([received(a, 1), received(b, 1), received(c, 2)]);
        await Promise.all([a, b, c].map(settle));
        assert.deepEqual(a.messages, [{ data: Buffer.from('from b'), isBinary: true }]);
        assert.deepEqual(b.messages, [{ data: Buffer.from('from a'), isBinary: false }]);
        assert.equal(c.messages.length, 2);
    }));
    it(`${AUDIENCE} clients, ${SPEAKERS} of them speaking at once`, withAudience(AUDIENCE, async (clients) => {
        for (let n = 0; n < SPEECHES; n++) for (let s = 0; s < SPEAKERS; s++) clients[s].send(speech(s, n));
        await Promise.all(clients.map((client, i) => received(client, (SPEAKERS - (i < SPEAKERS)) * SPEECHES)));
        await Promise.all(clients.map(settle));
        clients.forEach(checkHeard);
    }));
    it('all listeners hear all speakers in the same order', withAudience(40, async (clients) => {
        for (let n = 0; n < SPEECHES; n++) for (let s = 0; s < SPEAKERS; s++) clients[s].send(`${s}:${n}`);
        const listeners = clients.slice(SPEAKERS);
        await Promise.all(listeners.map((client) => received(client, SPEAKERS * SPEECHES)));
        const orders = new Set(listeners.map(({ messages }) => messages.map(({ data }) => data).join(' ')));
        assert.equal(orders.size, 1);
    }));
    it('a fragmented message is heard whole', withAudience(3, async ([a, b, c]) => {
        a.send('half ', { fin: false });
        a.send('and half', { fin: true });
        for (const client of [b, c]) assert.equal((await nextMessage(client)).data.toString(), 'half and half');
    }));
    it('500,000 bytes reach everybody', withAudience(20, async (clients) => {
        const data = Buffer.from(bytesOf(500_000), 'latin1');
        clients[0].send(data);
        for (const client of clients.slice(1)) assert.ok((await nextMessage(client)).data.equals(data));
    }));
    it('who left hears nothing and harms nobody', withAudience(4, async ([a, b, ...gone]) => {
        gone[0].close(1000);
        gone[1].terminate();
        await Promise.all(gone.map((client) => within(client.closed, 'close')));
        a.send('who is left?');
        assert.equal((await nextMessage(b)).data.toString(), 'who is left?');
        gone.forEach((client) => (client.closed = Promise.resolve({ code: 1000 })));
    }));
}

/* ---------------------------------------------------------------------------------------------------------------- the suite */

function group(name, concurrency, body) {
    describe(name, { concurrency }, body);
}

describe('npm ws', () => {
    before(async () => {
        [server, broadcaster] = await Promise.all([startServer('ws'), startServer('broadcast')]);
    });
    after(() => Promise.allSettled([server?.stop(), broadcaster?.stop()]));

    group('echo', 4, echoing);
    group('fragments', 4, fragmenting);
    group('pings', 4, pinging);
    group('closing', 4, closing);
    group('many', 1, many);
    group('broadcast', 1, broadcasting);
    it('the servers end on SIGTERM with status 0 and without a report', () => Promise.all([server.stop(), broadcaster.stop()]));
});
