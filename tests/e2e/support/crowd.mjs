/** Many clients in a process that can be killed at once: crowd.mjs URL COUNT. Says `open` when all are. */
import { once } from 'node:events';
import WebSocket from 'ws';

const [url, count] = process.argv.slice(2);
const clients = Array.from({ length: Number(count) }, () => new WebSocket(url));
await Promise.all(clients.map((client) => once(client, 'open')));
console.log('open');
