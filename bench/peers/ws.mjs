// npm's `ws`: ws.mjs echo|broadcast [--deflate]. Every message comes back, or goes to every other connection.
import { createRequire } from 'node:module';

const require = createRequire(new URL('../../tests/e2e/package.json', import.meta.url));
const { WebSocketServer } = require('ws');

const broadcasts = process.argv[2] === 'broadcast';
const perMessageDeflate = process.argv[3] === '--deflate' && { serverNoContextTakeover: true, clientNoContextTakeover: true, threshold: 0 };
const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate });

server.on('connection', (peer) => {
  peer.on('error', () => {});
  peer.on('message', (data, binary) => {
    if (!broadcasts) {
      peer.send(data, { binary });
      return;
    }
    for (const other of server.clients) {
      if (other !== peer) other.send(data, { binary });
    }
  });
});
server.on('listening', () => console.log(`ready ws://127.0.0.1:${server.address().port}`));
process.on('SIGTERM', () => process.exit(0));
