// The server of npm `ws` that broadcast is compared with: every message goes to every other connection.
import { createRequire } from 'node:module';

const require = createRequire(new URL('../tests/e2e/package.json', import.meta.url));
const { WebSocketServer } = require('ws');

const server = new WebSocketServer({ host: '127.0.0.1', port: Number(process.argv[2] ?? 0), perMessageDeflate: false });

server.on('connection', (peer) => {
  peer.on('error', () => {});
  peer.on('message', (data, binary) => {
    for (const other of server.clients) {
      if (other !== peer) other.send(data, { binary });
    }
  });
});
server.on('listening', () => console.log(`ready ws://127.0.0.1:${server.address().port}`));
process.on('SIGTERM', () => process.exit(0));
