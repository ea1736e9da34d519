/** RFC 6455 over bare TCP, against `weft-conformance ws`: every connection must end with a FIN of the server's. */
import { rfc6455 } from './support/rfc6455-cases.mjs';
import { RawWebSocket } from './support/raw-websocket.mjs';
import { startServer } from './support/server.mjs';

rfc6455('RFC 6455', { start: () => startServer('ws'), connectTo: (server) => RawWebSocket.connect(server) });
