/** A pair of certificate and key that is written over again and again while a server serves it, and which one its clients are shown. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { X509Certificate } from 'node:crypto';
import { folderOf, weft } from './served.mjs';

const NAMES = ['cert.pem', 'key.pem'];
const GOOD = /level=info event=reload certificates=1\n/;
const REFUSED = /level=error event=reload reason="([^\n]*)"\n/;

/** Ways in which a renewal goes wrong, and what the log says to each. */
const WRONGS = [
    ['nonsense', ({ cert }) => writeFileSync(cert, 'nonsense'), /cert\.pem cannot be read/],
    ['the key of another', ({ cert }, other) => writeFileSync(cert, other.cert), /does not belong to/],
    ['an empty key', ({ key }) => truncateSync(key, 0), /key\.pem cannot be read/],
    ['no certificate at all', ({ cert }) => rmSync(cert), /cert\.pem cannot be read/],
    ['half a certificate', ({ cert }) => truncateSync(cert, 300), /cert\.pem cannot be read/],
    ['the certificate of another', ({ key }, other) => writeFileSync(key, other.key), /does not belong to/],
];

class Renewals {
    written = 0; /* the newest that the server may serve */
    served = 0; /* the oldest that a connection which begins now may be shown */
    refused = 0;
    #generations = new Map(); /* fingerprint -> which one, from 0 */
    #made = 0;

    constructor(t, folder) {
        this.t = t;
        this.folder = folder;
        [this.cert, this.key] = NAMES.map((name) => path.join(folder, name));
    }

    /** The files of another run of `weft cert`. */
    async make() {
        const folder = path.join(this.folder, String(this.#made++));
        mkdirSync(folder);
        const [how, , stderr] = await weft(this.t, ['cert', '--out', folder]);
        assert.deepEqual([how, stderr], ['status 0', '']);
        const [cert, key] = NAMES.map((name) => readFileSync(path.join(folder, name)));
        rmSync(folder, { recursive: true });
        return { cert, key };
    }

    write({ cert, key }, generation) {
        this.#generations.set(new X509Certificate(cert).fingerprint256, generation);
        this.written = generation;
        writeFileSync(this.cert, cert);
        writeFileSync(this.key, key);
    }

    /** SIGHUP; the next line of log about a reload, which must be like that. */
    async reload(server, expected, what) {
        const from = server.stderr.length;
        server.child.kill('SIGHUP');
        const said = () => GOOD.exec(server.stderr.slice(from)) ?? REFUSED.exec(server.stderr.slice(from));
        const [line] = await server.until(said, `a line about the reload of ${what}`);
        assert.match(line, expected, what);
    }

    async renew(server) {
        const fresh = await this.make();
        this.write(fresh, this.written + 1);
        await this.reload(server, GOOD, 'a new certificate');
        this.served = this.written;
    }

    /** A renewal that goes wrong, so that nothing changes; the files stay wrong until the next one. */
    async spoil(server) {
        const [what, spoilFiles, reason] = WRONGS[this.refused % WRONGS.length];
        const other = await this.make();
        spoilFiles(this, other);
        await this.reload(server, REFUSED, what);
        assert.match(server.stderr.slice(server.stderr.lastIndexOf('event=reload')), reason, what);
        this.refused++;
    }

    /** Looks that a connection which began when `since` was served is shown that certificate or a later one of those that were good. */
    check(socket, since) {
        const shown = this.#generations.get(socket.getPeerX509Certificate().fingerprint256);
        assert.ok(shown !== undefined, 'a certificate is shown that was refused, or never written');
        assert.ok(shown >= since && shown <= this.written, `certificate ${shown} is shown, not one from ${since} to ${this.written}`);
    }
}

/** The first pair; {cert, key: the files, served, written, refused, renew(server), spoil(server), check(socket, since)}. */
export async function startRenewals(t) {
    const renewals = new Renewals(t, folderOf(t));
    renewals.write(await renewals.make(), 0);
    return renewals;
}
