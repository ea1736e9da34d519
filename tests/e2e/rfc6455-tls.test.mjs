/** RFC 6455 over TLS, against `weft-conformance ws --tls`: the same cases as over TCP, and how TLS ends around them. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Duplex } from 'node:stream';
import { after, it } from 'node:test';
import tls from 'node:tls';
import { Program, binaryOf, within } from './support/program.mjs';
import { DEADLINE_MS, TEXT, RawWebSocket, closeFrame, frame, handshake } from './support/raw-websocket.mjs';
import { rfc6455 } from './support/rfc6455-cases.mjs';
import { startServer } from './support/server.mjs';

const SOON_MS = 4_000;

const folder = mkdtempSync(path.join(tmpdir(), 'weft-rfc6455-tls-'));
after(() => rmSync(folder, { recursive: true, force: true }));

let ca;

async function start() {
    const cert = new Program(binaryOf('WEFT'), ['cert', '--out', folder], {});
    assert.equal(await cert.end(), 'status 0', cert.stderr);
    ca = readFileSync(path.join(folder, 'cert.pem'));
    const server = await startServer('ws', '--tls', folder);
    assert.match(server.url, /^wss:/);
    return server;
}

/** Of a TLS connection `fin` is the end that TLS or TCP brings, whichever is first; a RST is told as over bare TCP. */
class TlsWebSocket extends RawWebSocket {
    static async open(port, host = '127.0.0.1', options = {}) {
        const socket = tls.connect({ port, host, servername: 'localhost', ca, allowHalfOpen: true, ...options });
        socket.setNoDelay(true);
        const connection = new this(socket);
        await new Promise((resolve, reject) => {
            socket.setTimeout(DEADLINE_MS, () => reject(new Error(`no handshake within ${DEADLINE_MS} ms`)));
            socket.once('secureConnect', resolve);
            socket.once('error', reject);
        });
        socket.setTimeout(0);
        return connection;
    }
}

const connectTo = (server) => TlsWebSocket.connect(server);

/* ----------------------------------------------------------------------------------------------------- how TLS and TCP end */

/** A TCP connection as a stream under TLS, which notes what the peer does to TCP. */
function tap(port, note) {
    const tcp = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    const stream = new Duplex({
        allowHalfOpen: true,
        read: () => tcp.resume(),
        write: (bytes, encoding, done) => tcp.write(bytes, () => done()),
        final: (done) => tcp.end(done),
        destroy: (error, done) => {
            tcp.destroy();
            done(error);
        },
    });
    stream.tcp = tcp;
    tcp.on('data', (bytes) => stream.push(bytes) || tcp.pause());
    tcp.on('end', () => {
        note('TCP fin');
        stream.push(null);
    });
    tcp.on('error', ({ code }) => note(`TCP ${code}`));
    return stream;
}

/** A WebSocket over TLS over a tapped TCP; `ends` tells the order in which the layers ended, `tcpEnded` resolves when TCP has. */
async function connectTapped(server, version) {
    const ends = [];
    let tcpEnds;
    const tcpEnded = new Promise((resolve) => (tcpEnds = resolve));
    const stream = tap(server.port, (end) => tcpEnds(ends.push(end)));
    const client = await TlsWebSocket.open(server.port, undefined, { socket: stream, minVersion: version, maxVersion: version });
    assert.equal(client.socket.getProtocol(), version);
    client.socket.prependListener('end', () => ends.push('TLS close_notify'));
    const key = randomBytes(16).toString('base64');
    await client.write(handshake(server.port, key));
    await client.readUpgrade(key);
    return Object.assign(client, { ends, tcp: stream.tcp, tcpEnded });
}

function further(server) {
    for (const version of ['TLSv1.2', 'TLSv1.3'])
        for (const [name, bytes, list] of [
            ['close', Buffer.concat([frame(TEXT, 'Hello'), closeFrame(1000)]), ['text "Hello"', 'close 1000']],
            ['failure', frame(3), ['close 1002']],
        ])
            it(`${version}: a ${name} ends with close_notify, and only then with a FIN`, async () => {
                const client = await connectTapped(server(), version);
                try {
                    await client.send(bytes);
                    const got = [];
                    while (got.length < list.length) got.push(await client.next());
                    assert.deepEqual(got, list);
                    await within(client.tcpEnded, () => 'the end of TCP', SOON_MS);
                    assert.deepEqual(client.ends, ['TLS close_notify', 'TCP fin']);
                } finally {
                    client.destroy();
                }
            });
    it('a client that ends TCP without close_notify is let go', async () => {
        const client = await connectTapped(server(), 'TLSv1.3');
        try {
            await client.send(frame(TEXT, 'Hello'));
            assert.equal(await client.next(), 'text "Hello"');
            client.tcp.end();
            await client.until(() => undefined, 'the end');
            assert.ok(client.ended);
        } finally {
            client.destroy();
        }
    });
}

rfc6455('RFC 6455 over TLS', { start, connectTo, further });
