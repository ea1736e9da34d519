/** The Engine.IO servers of the conformance suites, on npm's `engine.io`. */
import { attach } from 'engine.io';

export function serveEngineEcho(server) {
    const engine = attach(server, { pingInterval: 300, pingTimeout: 200, maxHttpBufferSize: 1e6, cors: { origin: '*' } });
    engine.on('connection', (socket) => socket.on('message', (data) => socket.send(data)));
}

const WORDS = {
    'give binary': () => Buffer.from([0, 1, 2, 3, 4]),
    'give utf8': () => 'пойду спать всем спокойной ночи',
    sendHeaders: ({ transport }) => JSON.stringify(transport.dataReq?.headers),
};

const cookies = () => [
    '1=1; Max-Age=86400',
    '2=2; Path=/; HttpOnly; Secure; SameSite=Strict',
    '3=3; Max-Age=0',
    `4=4; Expires=${new Date().toUTCString()}`,
];

export function serveEngineClient(server) {
    const allowRequest = ({ url }, answer) => answer(null, !new URL(url, 'http://localhost').searchParams.has('deny'));
    const engine = attach(server, { pingInterval: 500, maxHttpBufferSize: 100, allowRequest });
    engine.on('initial_headers', (headers) => (headers['set-cookie'] = cookies()));
    engine.on('connection', (socket) => {
        socket.send('hi');
        socket.on('message', (data) => socket.send(WORDS[data]?.(socket) ?? data));
    });
}
