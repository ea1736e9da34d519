/**
 * A server of weft.v1 on its three carriers, for tests of weft.js: plain, strict where the protocol lets it be (a second
 * subscription of a topic is refused), and able to misbehave (`knobs`).
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { WebSocketServer } from './npm.mjs';

const BODY_LIMIT = 256 * 1024;

class Topic {
    constructor(limit) {
        this.epoch = randomUUID().slice(0, 12);
        this.limit = limit;
        this.count = 0; // messages ever
        this.kept = [];
        this.peers = new Map(); // of each peer: whether it wants presence
    }

    cursor(number = this.count) {
        return `${this.epoch}-${number}`;
    }

    push(message) {
        const kept = { ...message, number: ++this.count, id: this.cursor() };
        this.kept.push(kept);
        if (this.kept.length > this.limit) this.kept.shift();
        return kept;
    }

    /** [the number after which to begin, gap] */
    place(since) {
        const oldest = this.count - this.kept.length;
        if (since === undefined) return [this.count, false];
        if (since === 'start') return [oldest, false];
        const [, epoch, digits] = /^(.*)-(\d+)$/.exec(since) ?? [];
        const known = epoch === this.epoch && digits >= oldest && digits <= this.count;
        return known ? [Number(digits), false] : [oldest, true];
    }
}

/** One client, whatever its carrier: `write(envelope)` is the carrier's. */
class Peer {
    constructor(server, write, session) {
        this.server = server;
        this.write = write;
        this.session = session;
        this.name = `peer-${++server.peerCount}`;
        this.heard = []; // envelopes
        this.silent = false;
        this.turn = Promise.resolve();
        server.peers.add(this);
        this.send({ type: 'hello', session, peer: this.name, ping: server.knobs.ping });
    }

    send(envelope) {
        if (!this.silent) this.write(envelope);
    }

    leave() {
        this.server.peers.delete(this);
        for (const name of this.server.topics.keys()) this.unsubscribe(name);
    }

    /** The text of an envelope, or of an array of them. */
    take(text) {
        if (this.silent) return;
        const { delayMs } = this.server.knobs;
        if (!delayMs) return this.handleAll(text);
        this.turn = this.turn.then(() => new Promise((resolve) => setTimeout(resolve, delayMs))).then(() => this.handleAll(text));
    }

    handleAll(text) {
        for (const envelope of [JSON.parse(text)].flat()) {
            this.heard.push(envelope);
            try {
                this.handle(envelope);
            } catch ({ code = 'failed', message }) {
                this.send({ type: 'error', id: envelope.id, code, message });
            }
        }
    }

    handle(envelope) {
        const { type, topic, id } = envelope;
        if (topic !== undefined && (typeof topic !== 'string' || !topic)) refuse('invalid', 'not a topic');
        if (topic?.startsWith('secret')) refuse('forbidden', `${topic} is secret`);
        if (type === 'hello') this.name = envelope.name;
        else if (type === 'ping') this.send({ type: 'pong' });
        else if (type === 'subscribe') this.subscribe(envelope);
        else if (type === 'unsubscribe') {
            this.unsubscribe(topic);
            this.send({ type: 'unsubscribed', id, topic });
        } else if (type === 'publish') {
            const { id: cursor } = this.server.publish(topic, envelope.data, envelope);
            this.send({ type: 'published', id, cursor });
        } else if (type === 'presence') {
            const members = this.server.members(topic);
            this.send({ type: 'presence', topic, id, count: members.length, members });
        } else if (type !== 'pong') refuse('invalid', `unknown type ${type}`);
    }

    subscribe({ topic: name, id, since, presence = false }) {
        const topic = this.server.topic(name);
        if (topic.peers.has(this)) refuse('invalid', `subscribed to ${name} already`);
        const [number, gap] = topic.place(since);
        topic.peers.set(this, presence);
        this.server.tellPresence(name, { joined: [this.name], left: [] }, this);
        this.send({ type: 'subscribed', id, topic: name, cursor: topic.cursor(number), gap });
        if (presence) this.send({ type: 'presence', topic: name, count: topic.peers.size, members: this.server.members(name) });
        for (const message of topic.kept) if (message.number > number) this.deliver(name, message);
    }

    unsubscribe(name) {
        if (!this.server.topic(name).peers.delete(this)) return;
        this.server.tellPresence(name, { joined: [], left: [this.name] }, this);
    }

    deliver(topic, { id, event, kind, data }) {
        this.send({ type: 'message', topic, id, event, kind, data });
    }
}

function refuse(code, message) {
    throw Object.assign(new Error(message), { code });
}

/** The server's end of a long poll. */
class Poll {
    constructor(server) {
        this.server = server;
        this.session = randomUUID();
        this.box = [];
        this.seq = 0;
        this.last = undefined; // the answer that may have to be repeated
        this.waiting = undefined;
        this.peer = new Peer(server, (envelope) => this.push(envelope), this.session);
        this.rest();
    }

    push(envelope) {
        this.box.push(envelope);
        // Later, so that what comes together is answered together.
        setImmediate(() => this.box.length && this.answer());
    }

    take(response, ack, waitSeconds) {
        this.waiting?.writeHead(409).end();
        clearTimeout(this.timer);
        this.waiting = response;
        response.on('close', () => {
            if (this.waiting !== response) return;
            this.waiting = undefined;
            this.rest();
        });
        if (this.last && ack !== this.seq) return this.repeat();
        this.last = undefined;
        this.timer = setTimeout(() => this.answer(), waitSeconds * 1000);
        if (this.box.length) this.answer();
    }

    answer() {
        if (!this.waiting || this.peer.silent) return;
        const envelopes = this.box.splice(0, this.server.knobs.pollLimit);
        this.last = JSON.stringify({ session: this.seq ? undefined : this.session, seq: ++this.seq, envelopes });
        this.repeat();
    }

    repeat() {
        const response = this.waiting;
        this.waiting = undefined;
        this.rest();
        response.setHeader('Content-Type', 'application/json');
        if (this.seq > 1 && Math.random() < this.server.knobs.losePollAnswers) {
            this.server.lost++;
            response.setHeader('Content-Length', Buffer.byteLength(this.last));
            response.write(this.last.slice(0, this.last.length * Math.random()), () => response.destroy());
        } else {
            response.end(this.last);
        }
    }

    rest() {
        clearTimeout(this.timer);
        this.timer = setTimeout(() => this.end(), this.server.knobs.idleMs).unref();
    }

    end() {
        clearTimeout(this.timer);
        this.server.sessions.delete(this.session);
        this.peer.leave();
        this.waiting?.writeHead(404).end();
    }
}

class Reference {
    constructor(knobs) {
        this.knobs = {
            ping: 25_000, history: 100_000, idleMs: 30_000, pollLimit: 100, delayMs: 0, losePollAnswers: 0,
            refuseUpgrades: false, muteWebSockets: false, refuseStreams: false, bufferStreams: false, refusePolls: false, refusePosts: 0, postJitterMs: 0,
            ...knobs,
        };
        this.topics = new Map();
        this.peers = new Set();
        this.sessions = new Map(); // of SSE and polls: {peer, end()}
        this.peerCount = 0;
        this.lost = 0; // poll answers
        this.requests = []; // 'GET websocket', 'GET sse', 'GET poll', 'POST', with their headers
        this.webSockets = new WebSocketServer({ noServer: true, handleProtocols: (offered) => offered.has('weft.v1') && 'weft.v1' });
        this.http = createServer((request, response) => this.serve(request, response));
        this.http.on('upgrade', (request, socket, head) => this.upgrade(request, socket, head));
        this.http.keepAliveTimeout = 60_000;
    }

    get url() {
        return `http://127.0.0.1:${this.http.address().port}/weft`;
    }

    /* -------------------------------------------------------------------------------------------------------- topics */

    topic(name) {
        if (!this.topics.has(name)) this.topics.set(name, new Topic(this.knobs.history));
        return this.topics.get(name);
    }

    publish(name, data, { event, kind = typeof data === 'string' ? 'text' : 'json' } = {}) {
        const topic = this.topic(name);
        const message = topic.push({ event, kind, data });
        for (const peer of topic.peers.keys()) peer.deliver(name, message);
        return message;
    }

    /** Messages that nobody gets, as everybody is too slow. */
    skip(name, count) {
        const topic = this.topic(name);
        for (let i = 0; i < count; i++) topic.push({ kind: 'text', data: 'skipped' });
        for (const peer of topic.peers.keys()) peer.send({ type: 'gap', topic: name, cursor: topic.cursor() });
    }

    members(name) {
        return [...this.topic(name).peers.keys()].map((peer) => peer.name);
    }

    tellPresence(name, change, except) {
        const { peers } = this.topic(name);
        for (const [peer, wants] of peers) {
            if (wants && peer !== except) peer.send({ type: 'presence', topic: name, count: peers.size, ...change });
        }
    }

    /** Whoever is connected hears nothing any more, and is not heard. */
    silence() {
        for (const peer of this.peers) peer.silent = true;
    }

    /* ------------------------------------------------------------------------------------------------------ carriers */

    upgrade(request, socket, head) {
        this.log('GET websocket', request);
        socket.on('error', () => {});
        if (this.knobs.refuseUpgrades) return socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
        this.webSockets.handleUpgrade(request, socket, head, (webSocket) => {
            webSocket.on('error', () => {});
            if (this.knobs.muteWebSockets) return;
            const peer = new Peer(this, (envelope) => webSocket.send(JSON.stringify(envelope)));
            peer.end = () => webSocket.terminate();
            webSocket.on('message', (data) => peer.take(data.toString()));
            webSocket.on('close', () => peer.leave());
        });
    }

    serve(request, response) {
        const { searchParams } = new URL(request.url, 'http://localhost');
        const session = searchParams.get('session');
        response.on('error', () => {});
        request.on('error', () => {});
        if (request.method === 'POST') this.take(request, response, session);
        else if (request.headers.accept === 'text/event-stream') this.stream(request, response);
        else this.poll(request, response, session, searchParams);
    }

    take(request, response, session) {
        const chunks = [];
        this.log('POST', request);
        request.on('data', (chunk) => chunks.push(chunk));
        request.on('end', async () => {
            const { postJitterMs } = this.knobs;
            if (postJitterMs) await new Promise((resolve) => setTimeout(resolve, Math.random() * postJitterMs));
            const body = Buffer.concat(chunks);
            const found = this.sessions.get(session);
            if (!found || this.knobs.refusePosts) return response.writeHead(this.knobs.refusePosts || 404).end();
            if (body.length > BODY_LIMIT) return response.writeHead(413).end();
            found.peer.take(body.toString());
            found.rest?.();
            response.writeHead(204).end();
        });
    }

    stream(request, response) {
        this.log('GET sse', request);
        if (this.knobs.refuseStreams) return response.writeHead(503).end();
        const session = randomUUID();
        const { bufferStreams } = this.knobs;
        if (!bufferStreams) response.writeHead(200, { 'Content-Type': 'text/event-stream' }).flushHeaders();
        const peer = new Peer(this, (envelope) => {
            if (!bufferStreams) response.write(`data: ${JSON.stringify(envelope)}\n\n`);
        }, session);
        peer.comment = () => response.write(':\n');
        peer.end = () => response.destroy();
        this.sessions.set(session, { peer, end: peer.end });
        response.on('close', () => {
            this.sessions.delete(session);
            peer.leave();
        });
    }

    poll(request, response, session, query) {
        this.log('GET poll', request);
        if (this.knobs.refusePolls) return response.writeHead(503).end();
        if (session === 'new') {
            const poll = new Poll(this);
            this.sessions.set(poll.session, poll);
            poll.take(response, 0, 0);
            return;
        }
        const poll = this.sessions.get(session);
        if (!(poll instanceof Poll)) response.writeHead(404).end();
        else poll.take(response, Number(query.get('ack')), Number(query.get('wait') ?? 25));
    }

    log(what, { headers, url }) {
        this.requests.push({ what, headers, url });
    }

    /** Breaks every connection, and forgets every session. */
    drop() {
        for (const { end } of [...this.peers]) end?.();
        for (const session of [...this.sessions.values()]) session.end();
    }

    async stop() {
        this.http.close();
        this.drop();
        this.webSockets.clients.forEach((client) => client.terminate());
        this.http.closeAllConnections();
        await once(this.http, 'close');
    }
}

export async function startReference(knobs) {
    const server = new Reference(knobs);
    server.http.listen(0, '127.0.0.1');
    await once(server.http, 'listening');
    return server;
}
