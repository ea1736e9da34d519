// npm's `socket.io`: socketio.mjs echo|broadcast. The event `echo` goes back to its sender with its arguments, or to every
// other client.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';

const require = createRequire(new URL('../../tests/e2e/package.json', import.meta.url));
const { Server } = require('socket.io');

const broadcasts = process.argv[2] === 'broadcast';
const http = createServer();
const io = new Server(http, { serveClient: false });

io.on('connection', (socket) => {
  socket.on('echo', (...args) => (broadcasts ? socket.broadcast : socket).emit('echo', ...args));
});
http.listen(0, '127.0.0.1', () => console.log(`ready ws://127.0.0.1:${http.address().port}`));
process.on('SIGTERM', () => process.exit(0));
