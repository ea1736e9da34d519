#!/usr/bin/env node
/**
 * conformance.mjs NAME --port N: the servers of weft-conformance that speak Engine.IO and Socket.IO, on the packages that their
 * authors publish. A case of the suites that does not pass here is wrong: WEFT_CONFORMANCE=…/conformance.mjs names it as the server
 * to test, and socketio-reference.test.mjs compares the two.
 */
import { once } from 'node:events';
import http from 'node:http';
import { parseArgs } from 'node:util';
import { serveEngineEcho, serveEngineClient } from './engineio.mjs';
import { serveBroadcast, serveSocketClient, serveSocketEcho } from './socketio.mjs';

const SERVERS = {
    engineio: serveEngineEcho,
    'engineio-client': serveEngineClient,
    socketio: serveSocketEcho,
    'socketio-client': serveSocketClient,
    'socketio-broadcast': serveBroadcast,
};

const { values, positionals } = parseArgs({ allowPositionals: true, options: { port: { type: 'string', default: '0' } } });
const serve = SERVERS[positionals[0]];
if (!serve) throw new Error(`there is no server ${positionals[0]}; there are: ${Object.keys(SERVERS).join(' ')}`);

const server = http.createServer((request, response) => response.writeHead(404).end());
serve(server);
await once(server.listen(Number(values.port), '127.0.0.1'), 'listening');
console.log(`ready http://127.0.0.1:${server.address().port}`);
process.once('SIGTERM', () => process.exit(0));
