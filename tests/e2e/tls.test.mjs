/** TLS with clients and proxies that nobody here wrote: openssl, curl, npm's `ws`, Chromium, nginx, HAProxy. */
import assert from 'node:assert/strict';
import { X509Certificate, createHash } from 'node:crypto';
import { once } from 'node:events';
import { copyFileSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import net from 'node:net';
import path from 'node:path';
import { describe, it } from 'node:test';
import tls from 'node:tls';
import { launchBrowser, openPage } from './support/browser.mjs';
import { installed } from './support/debian.mjs';
import { becomesTrue, start, within } from './support/program.mjs';
import { TEXT, told } from './support/raw-websocket.mjs';
import { environment, folderOf, serve, startWeft, weft } from './support/served.mjs';
import { connect } from './support/ws-client.mjs';

/** Files of `weft cert`, in a folder of the test; {folder, cert, key, ca}. */
async function certificate(t, ...names) {
    const folder = folderOf(t);
    const [how, stdout, stderr] = await weft(t, ['cert', ...names, '--out', folder]);
    assert.deepEqual([how, stderr], ['status 0', '']);
    const [cert, key] = ['cert.pem', 'key.pem'].map((name) => path.join(folder, name));
    return { folder, cert, key, ca: readFileSync(cert), stdout };
}

const pairOf = ({ cert, key }) => ['--cert', cert, '--key', key];

async function serveTls(t, ...args) {
    const made = await certificate(t);
    const server = await serve(t, [...pairOf(made), ...args]);
    assert.match(server.url, /^https:\/\/127\.0\.0\.1:\d+$/);
    return { made, server };
}

/** Runs a program to its end; [how, stdout, stderr]. */
async function finished(t, command, args, input = '') {
    const program = start(t, installed(command, command === 's_client' ? 'openssl' : command), args, environment());
    program.child.stdin.on('error', () => {});
    program.child.stdin.end(input);
    return [await program.end(), program.stdout, program.stderr];
}

/** A TLS connection of node's own, when its handshake is done. */
async function shake(t, port, options) {
    const socket = tls.connect({ port, host: '127.0.0.1', servername: 'localhost', ...options });
    t.after(() => socket.destroy());
    await within(once(socket, 'secureConnect'), () => 'a handshake');
    return socket;
}

/* ------------------------------------------------------------------------------------------------------------ weft cert */

function cert() {
    it('makes a certificate for the usual names and those that are said', async (t) => {
        const made = await certificate(t, 'one.test', '*.two.test', '192.0.2.1', 'LOCALHOST');
        const x = new X509Certificate(made.ca);
        assert.equal(x.subjectAltName, 'DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1, DNS:one.test, DNS:*.two.test, IP Address:192.0.2.1');
        assert.equal(x.ca, false);
        assert.equal(x.publicKey.asymmetricKeyDetails.namedCurve, 'prime256v1');
        assert.ok(x.verify(x.publicKey));
        assert.equal(statSync(made.key).mode & 0o777, 0o600);
        assert.match(made.stdout, /weft serve --cert .*cert\.pem --key .*key\.pem/);
        assert.match(made.stdout, /curl --cacert/);
    });

    it('makes the folder, and says what it cannot write', async (t) => {
        const folder = path.join(folderOf(t), 'made');
        assert.equal((await weft(t, ['cert', '--out', folder]))[0], 'status 0');
        assert.ok(statSync(path.join(folder, 'cert.pem')).isFile());
        const [how, , stderr] = await weft(t, ['cert', '--out', path.join(folder, 'no', 'where')]);
        assert.deepEqual([how, stderr], ['status 1', `weft cert: ${folder}/no/where/cert.pem cannot be written: No such file or directory\n`]);
    });

    it('writes over nothing', async (t) => {
        const made = await certificate(t);
        const [how, stdout, stderr] = await weft(t, ['cert', '--out', made.folder]);
        assert.deepEqual([how, stdout], ['status 1', '']);
        assert.equal(stderr, `weft cert: ${made.cert} is there already; --out DIR takes another place\n`);
        assert.deepEqual(readFileSync(made.cert), made.ca);
    });

    for (const name of ['a,b', 'a b', '', '*', '*.', 'a..b', 'http://a', '.a'])
        it(`refuses "${name}"`, async (t) => {
            const got = await weft(t, ['cert', name, '--out', folderOf(t)]);
            assert.deepEqual(got, ['status 2', '', `weft cert: "${name}" is neither a host's name, *.NAME nor an address\n`]);
        });
}

/* -------------------------------------------------------------------------------------------------------------- clients */

function clients() {
    it('curl, which trusts it', async (t) => {
        const { made, server } = await serveTls(t);
        const url = `https://localhost:${server.port}/topics/a`;
        assert.equal((await finished(t, 'curl', ['-sS', '--cacert', made.cert, '-d', 'hi', url]))[0], 'status 0');
        const [how, stdout] = await finished(t, 'curl', ['-sSv', '--cacert', made.cert, `${url}?since=start`]);
        assert.equal(how, 'status 0');
        assert.equal(JSON.parse(stdout).messages[0].data, 'hi');
    });

    it('curl, which does not', async (t) => {
        const { server } = await serveTls(t);
        const [how] = await finished(t, 'curl', ['-sS', `https://localhost:${server.port}/topics/a`]);
        assert.equal(how, 'status 60');
        await becomesTrue(() => /event=tls address=127\.0\.0\.1:\d+ reason="[^"]*unknown ca"/.test(server.stderr));
    });

    it('gives a new ticket with each resumed connection of TLS 1.3, as each is for one use', async (t) => {
        const { made, server } = await serveTls(t);
        let session;
        for (let i = 0; i < 4; i++) {
            const socket = tls.connect({
                port: Number(new URL(server.url).port), host: '127.0.0.1', servername: 'localhost', ca: made.ca,
                minVersion: 'TLSv1.3', session,
            });
            t.after(() => socket.destroy());
            const ticket = once(socket, 'session');
            await within(once(socket, 'secureConnect'), () => 'a handshake');
            assert.equal(socket.isSessionReused(), i > 0);
            [session] = await within(ticket, () => 'a ticket');
            socket.destroy();
        }
    });

    it('s_client resumes, in both versions', async (t) => {
        const { made, server } = await serveTls(t);
        for (const version of ['-tls1_2', '-tls1_3']) {
            const file = path.join(made.folder, `session${version}`);
            const common = ['s_client', '-connect', `127.0.0.1:${server.port}`, version, '-CAfile', made.cert, '-ign_eof'];
            const request = 'GET /topics/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n';
            const first = await finished(t, 'openssl', [...common, '-sess_out', file], request);
            assert.match(first[1], /\nNew, TLSv1\.[23]/);
            assert.match(first[1], /HTTP\/1\.1 200 OK/);
            const second = await finished(t, 'openssl', [...common, '-sess_in', file], request);
            assert.match(second[1], /\nReused, TLSv1\.[23]/);
        }
    });

    it('s_client of old is refused', async (t) => {
        const { server } = await serveTls(t);
        const [, stdout, stderr] = await finished(t, 'openssl', ['s_client', '-connect', `127.0.0.1:${server.port}`, '-tls1_1', '-cipher', 'ALL:@SECLEVEL=0']);
        assert.match(stdout + stderr, /alert protocol version/);
        await becomesTrue(() => server.stderr.includes('reason="unsupported protocol"'));
    });

    it('plain HTTP there is told so', async (t) => {
        const { server } = await serveTls(t);
        const [how, stdout] = await finished(t, 'curl', ['-sS', '-w', '%{http_code}', `http://127.0.0.1:${server.port}/`]);
        assert.deepEqual([how, stdout], ['status 0', 'this address speaks https:\n400']);
    });

    it("npm's ws", async (t) => {
        const { made, server } = await serveTls(t);
        const client = await connect(t, `wss://localhost:${server.port}/topics/a`, { ca: made.ca });
        client.send('one', 'x'.repeat(300_000), Buffer.from([0, 255]));
        assert.deepEqual(await client.next(3), ['text "one"', told(TEXT, 'x'.repeat(300_000)), 'binary 00ff']);
    });

    it('a client must show a certificate where it is asked for one', async (t) => {
        const { made: own } = { made: await certificate(t) };
        const made = await certificate(t);
        const server = await serve(t, [...pairOf(made), '--client-ca', own.cert]);
        const url = `https://localhost:${server.port}/topics/a`;
        const refused = await finished(t, 'curl', ['-sS', '--cacert', made.cert, url]);
        assert.notEqual(refused[0], 'status 0');
        await becomesTrue(() => server.stderr.includes('peer did not return a certificate'));
    });

    it('Chromium, pages and wss', async (t) => {
        const made = await certificate(t);
        const folder = folderOf(t, { 'index.html': '<!doctype html><link rel="icon" href="data:,"><p id="p"></p><script type="module">' +
            'import * as weft from "/weft.js";const s = new WebSocket(`wss://${location.host}/topics/a`);' +
            's.onopen = () => s.send("over wss"); s.onmessage = (e) => { document.querySelector("#p").textContent = e.data; };</script>' });
        const server = await serve(t, [folder, ...pairOf(made)]);
        const spki = new X509Certificate(made.ca).publicKey.export({ type: 'spki', format: 'der' });
        const browser = await launchBrowser([`--ignore-certificate-errors-spki-list=${createHash('sha256').update(spki).digest('base64')}`]);
        t.after(() => browser.close());
        const page = await openPage(t, browser, `https://localhost:${server.port}/`);
        await page.waitForFunction(() => document.querySelector('#p').textContent === 'over wss');
        assert.equal(await page.evaluate(() => isSecureContext), true);
    });
}

/* --------------------------------------------------------------------------------------------------------- certificates */

function certificates() {
    it('each name has its own', async (t) => {
        const [one, two] = [await certificate(t, 'one.test'), await certificate(t, 'two.test')];
        const server = await serve(t, [...pairOf(one), ...pairOf(two)]);
        for (const [servername, { ca }] of [['one.test', one], ['two.test', two], ['unknown.test', one]]) {
            const socket = await shake(t, server.port, { servername, ca: [one.ca, two.ca], checkServerIdentity: () => undefined });
            assert.equal(socket.getPeerX509Certificate().fingerprint256, new X509Certificate(ca).fingerprint256, servername);
        }
    });

    it('SIGHUP takes up a new one while connections go on, and keeps the old one when the new one is wrong', async (t) => {
        const { made, server } = await serveTls(t);
        const fresh = await certificate(t);
        const client = await connect(t, `wss://localhost:${server.port}/topics/a`, { ca: made.ca });
        writeFileSync(made.cert, 'nonsense');
        server.child.kill('SIGHUP');
        await becomesTrue(() => /level=error event=reload reason="the certificate \S+cert\.pem cannot be read/.test(server.stderr));
        await shake(t, server.port, { ca: made.ca });
        copyFileSync(fresh.cert, made.cert);
        copyFileSync(fresh.key, made.key);
        server.child.kill('SIGHUP');
        await becomesTrue(() => server.stderr.includes('event=reload certificates=1'));
        await shake(t, server.port, { ca: fresh.ca });
        client.send('still here');
        assert.deepEqual(await client.next(), ['text "still here"']);
    });

    it('says which key does not belong to which certificate', async (t) => {
        const [one, two] = [await certificate(t), await certificate(t)];
        const [how, , stderr] = await weft(t, ['serve', '--listen', '0', '--cert', one.cert, '--key', two.key]);
        assert.deepEqual([how, stderr], ['status 1', `weft serve: the key ${two.key} does not belong to the certificate ${one.cert}\n`]);
    });

    it('says that a key is missing', async (t) => {
        const got = await weft(t, ['check-config', '--cert', 'a']);
        assert.deepEqual(got, ['status 2', '', 'weft check-config: each cert needs its key, and there are 1 of the one and 0 of the other\n']);
    });

    it('--tls-dev makes one that goes with the process', async (t) => {
        const server = await serve(t, ['--tls-dev', 'dev.test']);
        const socket = await shake(t, server.port, { servername: 'dev.test', rejectUnauthorized: false });
        assert.match(socket.getPeerX509Certificate().subjectAltName, /DNS:localhost.*DNS:dev\.test/);
    });

    it('weft demo --tls', async (t) => {
        const demo = startWeft(t, ['demo', '--tls', '--port', '0', '--ws-port', '0']);
        const [, port] = await demo.printed(/https:\/\/127\.0\.0\.1:(\d+)\/ .*[^]*\n {2}wss:[^]*\/events/);
        const request = https.get(`https://127.0.0.1:${port}/`, { rejectUnauthorized: false });
        const [response] = await within(once(request, 'response'), () => 'an answer');
        assert.equal(response.statusCode, 200);
        response.resume();
    });
}

/* ------------------------------------------------------------------------------------------------------- proxies in front */

function freeSocket(t, name) {
    return path.join(folderOf(t), name);
}

const accepts = (socketPath) =>
    new Promise((resolve) => {
        const socket = net.connect(socketPath, () => resolve(true));
        socket.on('error', () => resolve(false)).on('connect', () => socket.destroy());
    });

/** A connection through TLS to what listens on a Unix socket. */
const through = (front, ca) => ({ createConnection: () => tls.connect({ path: front, servername: 'localhost', ca }), ca });

async function nginx(t, made, target) {
    const front = freeSocket(t, 'front');
    const folder = path.dirname(front);
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${folder}/${name};`).join(' ');
    writeFileSync(path.join(folder, 'conf'), `
        daemon off; master_process off; pid ${folder}/pid; error_log stderr warn;
        events { worker_connections 64; }
        http { access_log off; ${temporary}
            server {
                listen unix:${front} ssl;
                ssl_certificate ${made.cert}; ssl_certificate_key ${made.key};
                location / {
                    proxy_pass ${target}; proxy_http_version 1.1; proxy_set_header Host localhost;
                    proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_set_header Origin "";
                    proxy_ssl_server_name on; proxy_ssl_name localhost; proxy_ssl_verify on; proxy_ssl_trusted_certificate ${made.cert};
                } } }`);
    start(t, installed('nginx'), ['-p', folder, '-c', path.join(folder, 'conf')], environment());
    await becomesTrue(() => accepts(front));
    return front;
}

async function haproxy(t, made, target) {
    const front = freeSocket(t, 'front');
    const folder = path.dirname(front);
    const { hostname, port, protocol } = new URL(target);
    writeFileSync(path.join(folder, 'pair.pem'), Buffer.concat([made.ca, readFileSync(made.key)]));
    writeFileSync(path.join(folder, 'conf'), `
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend front
    bind unix@${front} ssl crt ${folder}/pair.pem
    default_backend weft
backend weft
    server weft ${hostname}:${port} ${protocol === 'https:' ? `ssl verify required ca-file ${made.cert} sni str(localhost)` : ''}
`);
    start(t, installed('haproxy'), ['-f', path.join(folder, 'conf')], environment());
    await becomesTrue(() => accepts(front));
    return front;
}

function proxies() {
    for (const [name, proxy] of [['nginx', nginx], ['HAProxy', haproxy]])
        for (const scheme of ['http', 'https'])
            it(`${name} ends TLS, and speaks ${scheme} to weft`, async (t) => {
                const made = await certificate(t);
                const server = await serve(t, ['--listen', `${scheme}://127.0.0.1:0`, ...pairOf(made)]);
                const front = await proxy(t, made, server.url);
                const client = await connect(t, 'wss://localhost/topics/a', through(front, made.ca));
                client.send('through it', 'y'.repeat(100_000));
                assert.deepEqual(await client.next(2), ['text "through it"', told(TEXT, 'y'.repeat(100_000))]);
            });
}

/* -------------------------------------------------------------------------------------------------------------- the end */

const HELLO = Buffer.from('1603010200010001fc0303', 'hex'); /* the first bytes of a ClientHello of 512 */

/** A connection that has sent these bytes, and the server has them: one that came later is served already. */
async function begins(t, server, bytes) {
    const socket = net.connect({ port: server.port, host: '127.0.0.1', allowHalfOpen: true });
    t.after(() => socket.destroy());
    await within(once(socket, 'connect'), () => 'a connection');
    socket.write(bytes);
    (await shake(t, server.port, { rejectUnauthorized: false })).destroy();
    return socket;
}

async function restOf(socket) {
    const pieces = [];
    socket.on('data', (piece) => pieces.push(piece)).on('error', () => {});
    await within(once(socket, socket.readableEnded ? 'close' : 'end'), () => 'an end');
    return Buffer.concat(pieces);
}

function ends() {
    for (const [name, bytes] of [['nothing', ''], ['one byte', HELLO.subarray(0, 1)], ['a part of a ClientHello', HELLO]])
        it(`SIGTERM with half a handshake open: ${name}`, async (t) => {
            const { server } = await serveTls(t, '--head-timeout', '1m', '--drain', '30s');
            const socket = await begins(t, server, bytes);
            const rest = restOf(socket);
            const since = Date.now();
            server.child.kill('SIGTERM');
            assert.equal((await rest).length, 0, 'nobody is told anything in plain text');
            assert.equal(await server.end(), 'status 0');
            assert.ok(Date.now() - since < 10_000, 'nothing is waited for');
        });
    it('SIGTERM with half a handshake open: others are told and leave as ever', async (t) => {
        const { made, server } = await serveTls(t);
        await begins(t, server, HELLO);
        const client = await connect(t, `wss://localhost:${server.port}/topics/a`, { ca: made.ca });
        server.child.kill('SIGTERM');
        assert.deepEqual(await client.next(), ['close 1001 the server is going away']);
        assert.equal(await server.end(), 'status 0');
    });
}

describe('tls', () => {
    describe('weft cert', cert);
    describe('clients', clients);
    describe('certificates', certificates);
    describe('proxies', proxies);
    describe('ends', ends);
});
