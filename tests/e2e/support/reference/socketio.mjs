/** The Socket.IO servers of the conformance suites, on npm's `socket.io`. */
import { Server } from 'socket.io';

const isData = (value) => typeof value !== 'function';

export function serveSocketEcho(server) {
    const io = new Server(server, { pingInterval: 300, pingTimeout: 200, connectTimeout: 1000, cors: { origin: '*' } });
    for (const name of ['/', '/custom']) io.of(name).on('connection', (socket) => socket.emit('auth', socket.handshake.auth));
    io.on('connection', (socket) => {
        socket.on('message', (...args) => socket.emit('message-back', ...args.filter(isData)));
        socket.on('message-with-ack', (...args) => isData(args.at(-1)) || args.pop()(...args));
    });
}

/** To everyone, its sender too; acknowledged, so that a publisher can wait. */
export function serveBroadcast(server) {
    const io = new Server(server, { connectionStateRecovery: {}, cors: { origin: '*' } });
    io.on('connection', (socket) => {
        socket.on('sendMsg', (message, acknowledge) => {
            io.emit('pushMsg', message);
            acknowledge?.();
        });
    });
}

/* ------------------------------------------------------------------------------------------------- what its clients' tests need */

const BYTES = Buffer.from('asdfasdf');
const TEXTS = ['てすと', 'Я Б Г Д Ж Й', 'Ä ä Ü ü ß', 'utf8 — string', 'utf8 — string'];
const REFUSED = { main: 'Auth failed (main namespace)', custom: 'Auth failed (custom namespace)' };

const isMixed = ({ hello, message, goodbye }) => hello === 'lol' && Buffer.isBuffer(message) && goodbye === 'gotcha';

function answerQuestions(socket) {
    socket.on('hi', () => socket.emit('hi'));
    socket.on('echo', (value, acknowledge) => acknowledge(value));
    socket.on('ack', () => socket.emit('ack', (five, { test }) => five === 5 && test === true && socket.emit('got it')));
    socket.on('getAckDate', (_, acknowledge) => acknowledge(new Date()));
    socket.on('getDate', () => socket.emit('takeDate', new Date()));
    socket.on('getDateObj', () => socket.emit('takeDateObj', { date: new Date() }));
    socket.on('getUtf8', () => TEXTS.forEach((text) => socket.emit('takeUtf8', text)));
    socket.on('false', () => socket.emit('false', false));
    socket.on('getHandshake', (acknowledge) => acknowledge(socket.handshake));
    socket.on('getId', (acknowledge) => acknowledge(socket.id));
}

function takeBinary(socket) {
    const had = [];
    socket.on('doge', () => socket.emit('doge', BYTES));
    socket.on('getbin', () => socket.emit('takebin', BYTES));
    socket.on('buffa', (bytes) => Buffer.isBuffer(bytes) && socket.emit('buffack'));
    socket.on('blob', (bytes) => Buffer.isBuffer(bytes) && socket.emit('back'));
    socket.on('jsonbuff', (value) => isMixed(value) && socket.emit('jsonbuff-ack'));
    socket.on('jsonblob', (value) => isMixed(value) && socket.emit('jsonblob-ack'));
    socket.on('abuff1', (bytes) => Buffer.isBuffer(bytes) && had.push('abuff1'));
    socket.on('abuff2', () => had.at(-1) === 'abuff1' && socket.emit('abuff2-ack'));
    socket.on('blob1', (bytes) => Buffer.isBuffer(bytes) && had.push('blob1'));
    socket.on('blob2', (text) => text === 'second' && had.push('blob2'));
    socket.on('blob3', (bytes) => Buffer.isBuffer(bytes) && had.slice(-2).join() === 'blob1,blob2' && socket.emit('blob3-ack'));
}

export function serveSocketClient(server) {
    const allowRequest = (_, answer) => setTimeout(() => answer(null, true), 10);
    const io = new Server(server, { pingInterval: 2000, connectionStateRecovery: {}, allowRequest });
    io.use(({ handshake }, next) => next(handshake.query.fail ? new Error(REFUSED.main) : undefined));
    io.on('connection', answerQuestions);
    io.on('connection', takeBinary);
    io.of('/foo').on('connection', (socket) => socket.on('getId', (acknowledge) => acknowledge(socket.id)));
    io.of('/abc').on('connection', (socket) => socket.emit('handshake', socket.handshake));
    io.of('/no').use((_, next) => next(new Error(REFUSED.custom)));
    for (const name of ['/timeout_socket', '/valid', '/asd']) io.of(name);
}
