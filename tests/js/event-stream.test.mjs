/** How weft.js reads an event stream: its bytes in any pieces. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { connect } from '../../js/weft.js';
import { until } from './support/wait.mjs';

const DATA = ['one', 'zwölf 🧵', 'two\nlines', '', 'last'];
const message = (n) => `"type":"message","topic":"t","id":"e-${n + 1}","kind":"text","data":${JSON.stringify(DATA[n])}`;
const STREAM = new TextEncoder().encode([
    '\uFEFFdata: {"type":"hello","session":"s","peer":"p","ping":25000}\n\n',
    ': a comment\n:\n\n',
    'id: 7\rdata:{"type":"subscribed","id":1,"topic":"t","cursor":"e-0","gap":false}\r\r',
    `event: x\r\ndata: {\r\ndata:${message(0)}}\r\n\r\n`,
    'data\n\nretry: 5\n\r\n\r\r\n',
    `dataless: no\ndata : no\nunknown\ndata: {${message(1)}\ndata\ndata: }\n\n`,
    `data:  {${message(2)}}\r\n\n`,
    `data: {${message(3)}}\r\r\n`,
    `:data: {"type":"nonsense"}\rdata: {${message(4)}}\n\r`,
    'data: {"type":"message","topic":"t","id":"e-9","kind":"text","data":"unfinished"}\n',
].join(''));

/** What a client hears on a stream that comes in these pieces. */
async function hear(pieces) {
    const heard = [];
    const stream = () => new ReadableStream({
        start(controller) {
            for (const piece of pieces) controller.enqueue(piece);
        },
    });
    const weft = connect('http://stream.test/weft', {
        carriers: ['sse'],
        fetch: async (url, { method }) => (method ? new Response(null, { status: 204 }) : new Response(stream())),
    });
    const errors = [];
    weft.on('error', (error) => errors.push(error));
    weft.on('close', ({ reason }) => errors.push(reason));
    weft.subscribe('t', (data) => heard.push(data));
    await until(() => heard.length === DATA.length || errors.length, () => `${heard.length} messages`);
    await new Promise((resolve) => setImmediate(resolve)); // for more than there should be
    const seen = [...errors];
    weft.close();
    assert.deepEqual(seen, []);
    return heard;
}

describe('the event stream', () => {
    it('whole', async () => assert.deepEqual(await hear([STREAM]), DATA));
    it('byte by byte', async () => assert.deepEqual(await hear([...STREAM].map((byte) => Uint8Array.of(byte))), DATA));
    it('split at every byte', async () => {
        for (let at = 0; at <= STREAM.length; at++) {
            const pieces = [STREAM.subarray(0, at), STREAM.subarray(at)].filter(({ length }) => length);
            assert.deepEqual(await hear(pieces), DATA, `split at ${at}`);
        }
    });
});
