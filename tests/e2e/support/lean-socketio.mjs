/**
 * Clients of Socket.IO that do what the stock one does, as it does it, and no more, so that thousands fit into one process: polling,
 * CONNECT, probe, the last poll, upgrade. Each keeps the numbers that the event pushMsg brings, by either way.
 */
import assert from 'node:assert/strict';
import http from 'node:http';
import WebSocket from 'ws';
import { ask, packetsOf } from './engineio.mjs';
import { within } from './program.mjs';

const CONNECT = '40';
const EVENT = '42';

export class LeanClient {
    constructor({ url, agent = new http.Agent({ keepAlive: true }) }) {
        this.url = `${url}/socket.io/?EIO=4`;
        this.agent = agent;
        this.numbers = [];
        this.wake = () => {};
    }

    get target() {
        return `${this.url}&transport=polling&sid=${this.sid}`;
    }

    /** Resolves when it is connected over WebSocket, having begun with polling. */
    async open() {
        const { body } = await this.ask(`${this.url}&transport=polling`);
        this.sid = JSON.parse(body.slice(1)).sid;
        await this.ask(this.target, { method: 'POST', body: CONNECT });
        while (!this.isConnected) await this.poll();
        const probed = this.probe();
        while (!this.isProbed) await Promise.race([probed, this.polled()]);
        await this.polling;
        this.socket.send('5');
    }

    async ask(url, options) {
        const answer = await ask(url, { agent: this.agent, ...options });
        assert.equal(answer.status, 200, answer.body);
        return answer;
    }

    /** One poll at a time, which is not given up when something else comes first. */
    polled() {
        this.polling ??= this.poll().finally(() => (this.polling = undefined));
        return this.polling;
    }

    async poll() {
        const { body } = await this.ask(this.target);
        for (const packet of packetsOf(body)) this.take(packet);
    }

    async probe() {
        const url = `${this.url.replace('http', 'ws')}&transport=websocket&sid=${this.sid}`;
        this.socket = new WebSocket(url, { perMessageDeflate: false });
        const answered = new Promise((resolve, reject) => {
            this.socket.on('error', reject);
            this.socket.on('close', () => reject(new Error('the WebSocket was closed')));
            this.socket.on('open', () => this.socket.send('2probe'));
            this.socket.on('message', (data) => this.hear(data.toString(), resolve));
        });
        await within(answered, () => 'a probe');
    }

    hear(packet, probed) {
        if (packet !== '3probe') return this.take(packet);
        this.isProbed = true;
        probed();
    }

    take(packet) {
        if (packet.startsWith(EVENT)) this.numbers.push(JSON.parse(packet.slice(EVENT.length))[1]);
        else if (packet.startsWith(CONNECT)) this.isConnected = true;
        else if (packet === '2') this.answer();
        this.wake();
    }

    answer() {
        if (this.socket?.readyState === WebSocket.OPEN && !this.polling) this.socket.send('3');
        else this.ask(this.target, { method: 'POST', body: '3' }).catch((error) => (this.problem = error));
    }

    /** Resolves when this number is here. */
    async reaches(number) {
        const come = new Promise((resolve) => (this.wake = () => this.numbers.at(-1) >= number && resolve())());
        await within(come, () => `${number} at a client that has ${this.numbers.length} numbers up to ${this.numbers.at(-1)}`, 60_000);
    }

    close() {
        this.socket?.removeAllListeners('close');
        this.socket?.on('error', () => {});
        this.socket?.terminate();
    }
}
