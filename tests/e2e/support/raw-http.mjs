/**
 * An HTTP/1 client over bare TCP that sends any bytes in any pieces and reads every answer, up to how the connection ended. It holds the
 * server to the rules of RFC 9112 for answers: a length that is told once and is right, a date, no framing that a client must guess.
 */
import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { RawConnection } from './raw-websocket.mjs';

const CONTINUE = 100;
const NO_CONTENT = 204;
const DATE = /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/; /* IMF-fixdate, RFC 9110 §5.6.7 */

/* ---------------------------------------------------------------------------------------------------------------- requests */

/** A request's bytes: the lines as they are (latin1), an empty one, and the body. */
export function message(lines, body = '') {
    return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), Buffer.from(body)]);
}

/** A request with a Host, a body of the length that it says, and whatever fields are wanted. */
export function request(method, path, { fields = [], body = '' } = {}) {
    const length = body.length > 0 ? [`Content-Length: ${Buffer.byteLength(body)}`] : [];
    return message([`${method} ${path} HTTP/1.1`, 'Host: localhost', ...length, ...fields], body);
}

/** A body in chunks of these sizes, of which the last one is used for all that is left. */
export function chunked(body, sizes = [body.length]) {
    const bytes = Buffer.from(body);
    const pieces = [];
    for (let at = 0, i = 0; at < bytes.length; i++) {
        const piece = bytes.subarray(at, at + sizes[Math.min(i, sizes.length - 1)]);
        pieces.push(Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n'));
        at += piece.length;
    }
    return Buffer.concat([...pieces, Buffer.from('0\r\n\r\n')]);
}

/* ----------------------------------------------------------------------------------------------------------------- answers */

/** The one value of a field; undefined when it is not there. */
export function only({ line, fields }, name) {
    const values = fields.get(name.toLowerCase()) ?? [];
    assert.ok(values.length <= 1, `${line}: ${name} comes ${values.length} times: ${values}`);
    return values[0];
}

/** True when the answer says that the connection ends behind it. */
export function saysClose(answer) {
    return /(^|,)\s*close\s*(,|$)/i.test(only(answer, 'Connection') ?? '');
}

function checkFraming(head) {
    assert.equal(only(head, 'Transfer-Encoding'), undefined, `${head.line}: its length is known, no chunks are needed`);
    assert.match(only(head, 'Content-Length') ?? '', head.status === NO_CONTENT ? /^$/ : /^\d+$/, `${head.line}: Content-Length`);
    assert.match(only(head, 'Date') ?? '', DATE, `${head.line}: Date`);
}

export class RawHttp extends RawConnection {
    /** Sends each piece in a segment of its own as far as TCP lets one say so; once the server has ended, what is left goes in one. */
    async sendPieces(pieces) {
        for (let i = 0; i < pieces.length && this.lives(); i++) {
            const rest = this.ended === undefined ? [pieces[i]] : pieces.slice(i);
            await this.write(rest.length === 1 ? rest[0] : Buffer.concat(rest));
            if (rest.length > 1) return;
            if (i + 1 < pieces.length) await setImmediate();
        }
    }

    /** A head that says no more than `100 Continue`; anything else is an error. */
    async readContinue(deadline) {
        const { status, line, fields } = await this.readHead(deadline);
        assert.equal(status, CONTINUE, line);
        assert.equal(fields.size, 0, `${line} has fields`);
    }

    /** The next answer to a request of that method: {status, line, fields, body, interim: how many 100 came before it}. */
    async readAnswer(method = 'GET', deadline) {
        for (let interim = 0; ; interim++) {
            const head = await this.readHead(deadline);
            if (head.status === CONTINUE) continue;
            checkFraming(head);
            return { ...head, interim, body: await this.readBody(method, head, deadline) };
        }
    }

    async readBody(method, head, deadline) {
        const length = method === 'HEAD' ? 0 : Number(only(head, 'Content-Length') ?? 0);
        const { incoming } = this;
        const body = await this.until(() => (incoming.length >= length ? incoming.take(length) : undefined), 'a body', deadline);
        assert.ok(body, `${head.line}: the connection ended (${this.ended}) within the body`);
        return body;
    }

    /** There is nothing more but a FIN, which does not turn into a RST while what is being `sent` arrives; then ends our side too. */
    async readEnd({ sent, deadline } = {}) {
        const rest = await this.readRest(deadline);
        assert.equal(rest.toString('latin1', 0, 200), '', 'more came than the answers');
        await sent;
        assert.equal(this.ended, 'fin');
        this.leave();
    }
}
