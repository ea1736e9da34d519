/**
 * visitor.mjs URL CARRIER WHEN: a program that closes its client when it is open, later, connecting or waiting, and should
 * then end by itself.
 */
import { connect } from '../../../js/weft.js';
import { WebSocket } from './npm.mjs';

const [, , url, carrier, when] = process.argv;
const timeouts = { backoff: 1e8, backoffMax: 1e9, pong: 1e9, upgrade: 1e9 };
const weft = connect(url, { WebSocket, carriers: carrier === 'all' ? undefined : [carrier], timeouts });

function close() {
    weft.close();
    console.log('closed');
}

if (when === 'open') {
    await weft.subscribe('visits', () => {}, { since: 'start' }).ready;
    await weft.publish('visits', 'hello');
    await weft.presence('visits');
    close();
} else if (when === 'waiting') {
    weft.on('reconnecting', close);
} else if (when === 'later') {
    weft.on('open', () => {
        console.log('open');
        setTimeout(close, 300);
    });
} else {
    setTimeout(close, 100);
}
