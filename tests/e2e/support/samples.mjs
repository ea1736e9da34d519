/** What a server's memory comes to while clients come and go, and whether that is too much. */
import assert from 'node:assert/strict';
import { sanitizerSlack } from './program.mjs';

const MIB = 1 << 20;

/* The windows of time, as parts of the whole, whose memory is compared: what is before the first is for warming up. */
const EARLY = [0.3, 0.5];
const LATE = [0.8, 1];
const LEAK_BYTES = 512; /* for each connection, which is too much; */
const NOISE_BYTES = 1 * MIB; /* so much comes and goes, */
const WARMING_BYTES = 32 * MIB; /* for a second; a short run is not warm yet, and sees large leaks only. From 60 s on, 1 KiB a connection shows. */
const SANITIZED_NOISE_BYTES = 24 * MIB; /* AddressSanitizer keeps what is freed for a while, ThreadSanitizer has shadows of what was touched once */

const inMib = (bytes) => `${(bytes / MIB).toFixed(2)} MiB`;
const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

/** What comes and goes in a run of so many seconds. */
export const noiseOf = (server, seconds) => WARMING_BYTES / seconds + (sanitizerSlack(server) > 0 ? SANITIZED_NOISE_BYTES : NOISE_BYTES);

/** What was seen of the server's memory, and after how many connections. */
export class Samples {
    all = [];

    add(part, bytes, connections) {
        this.all.push({ part, bytes, connections });
    }

    window([from, to]) {
        const inside = this.all.filter(({ part }) => part >= from && part <= to);
        assert.ok(inside.length > 0, 'memory was looked at');
        return { bytes: median(inside.map(({ bytes }) => bytes)), connections: median(inside.map(({ connections }) => connections)) };
    }

    /** Between the two windows, no more than comes and goes, and than connections may leave. */
    check(noise) {
        const [early, late] = [this.window(EARLY), this.window(LATE)];
        const growth = late.bytes - early.bytes;
        const connections = late.connections - early.connections;
        const limit = noise + connections * LEAK_BYTES;
        const told = `RSS ${inMib(early.bytes)} early, ${inMib(late.bytes)} late, ${connections} connections between them; ` +
            `${Math.ceil(limit / connections)} bytes left by each would be too much`;
        assert.ok(growth < limit, told);
        return told;
    }
}
