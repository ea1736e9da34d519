/** On which loop of a server a connection is, as the kernel knows it: each loop is an epoll, and tells in /proc what it waits for. */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';

const ESTABLISHED = '01';

function linksOf(pid) {
    const links = new Map();
    for (const fd of readdirSync(`/proc/${pid}/fd`)) {
        try {
            links.set(fd, readlinkSync(`/proc/${pid}/fd/${fd}`));
        } catch {
            /* closed meanwhile */
        }
    }
    return links;
}

/** The ports of those on the other side, by the inodes of sockets. */
function portsOf(pid) {
    const ports = new Map();
    for (const line of readFileSync(`/proc/${pid}/net/tcp`, 'latin1').split('\n').slice(1, -1)) {
        const [, , remote, state, , , , , , inode] = line.trim().split(/ +/);
        if (state === ESTABLISHED) ports.set(inode, parseInt(remote.split(':')[1], 16));
    }
    return ports;
}

/** By loop, the ports from which its connections come. */
export function portsByLoop({ pid }) {
    const links = linksOf(pid);
    const ports = portsOf(pid);
    const loops = new Map();
    for (const [fd, link] of links) {
        if (link !== 'anon_inode:[eventpoll]') continue;
        const watched = [...readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'latin1').matchAll(/^tfd: +(\d+) /gm)].map(([, other]) => links.get(other));
        loops.set(fd, watched.map((other) => ports.get(/^socket:\[(\d+)\]$/.exec(other)?.[1])).filter((port) => port));
    }
    return loops;
}

const EVERY_MS = 200; /* the kernel's list of connections may be long */

/** Sees on which loops some clients are, whose ports of the moment are told by a function; by default all that there are. */
export class Spread {
    #seen = new Set();
    #next = 0;

    constructor(server, ports) {
        this.server = server;
        this.ports = ports;
    }

    look() {
        if (Date.now() < this.#next) return;
        this.#next = Date.now() + EVERY_MS;
        const mine = this.ports && new Set(this.ports());
        for (const [loop, ports] of portsByLoop(this.server)) if (ports.some((port) => !mine || mine.has(port))) this.#seen.add(loop);
    }

    /** They have been on so many, or more. */
    assertLeast(loops, who) {
        assert.ok(this.#seen.size >= loops, `${who} were on ${this.#seen.size} loops`);
    }
}
