/** The topics of a Weft server: subscribe and publish over WebSocket, else Server-Sent Events, else long polling. */

export type Carrier = 'websocket' | 'sse' | 'poll';
export type State = 'connecting' | 'open' | 'waiting' | 'closed';
export type Kind = 'text' | 'json' | 'binary';

/** A message's place in its topic. Opaque: keep it, and give it as `since`. */
export type Cursor = string;

export interface Message<Data = unknown> {
    readonly topic: string;
    readonly id: Cursor;
    /** Only when it was published with one. */
    readonly event?: string;
    readonly kind: Kind;
    /** text: a string; json: any value; binary: a Uint8Array. */
    readonly data: Data;
}

/** Messages of the topic were missed; what comes next comes after `cursor`. */
export interface Gap {
    readonly topic: string;
    readonly cursor: Cursor;
}

/** Who listens to a topic. Above a thousand only `count` is told. */
export interface Presence {
    readonly count: number;
    readonly members?: string[];
}

/** `members` is the whole list: it comes first, and again after each reconnection. Then come the changes to it. */
export interface PresenceChange extends Presence {
    readonly topic: string;
    readonly joined?: string[];
    readonly left?: string[];
}

export interface SubscribeOptions {
    /**
     * Where to begin: left out, with what is published from now on; `'start'`, with all that the server keeps; or after a cursor.
     *
     * Subscriptions of one topic share one subscription at the server. A later one without `since` gets what arrives from then on.
     * A later one with `since` gets its own past too, and the earlier ones nothing twice: the topic is begun again at the server,
     * from the earliest place that any of them still needs.
     */
    since?: 'start' | Cursor;
    /** Is told who is there, and who comes and goes. */
    presence?: (change: PresenceChange) => void;
    /** Is told when messages were missed. */
    gap?: (gap: Gap) => void;
}

export interface Subscription {
    readonly topic: string;
    /** Of the last message, or where the subscription begins. Before that is known, what was given as `since`. */
    readonly cursor: Cursor | undefined;
    /**
     * Settles when the server has said yes for the first time, or no: then `code` is the server's, such as `forbidden`, and the
     * subscription is over; or `unsubscribed` or `closed`. One that was ready once goes on through reconnections.
     */
    readonly ready: Promise<Subscription>;
    unsubscribe(): void;
}

export interface PublishOptions {
    /** A name for the message. */
    event?: string;
    /** Needed only for a string that is not text: `json` sends it as a JSON string, `binary` says that it is base64. */
    kind?: Kind;
}

/** `code`: one of the protocol (`invalid`, `forbidden`, `too-many`, `too-large`, `failed`), or of the client:
 * `connection` (could not connect; `status` is that of the HTTP answer, if there was one), `unknown`, `queue-full`, `closed`, `unsubscribed`. */
export interface WeftError extends Error {
    readonly code: string;
    readonly carrier?: Carrier;
    readonly topic?: string;
    readonly status?: number;
}

export interface Events {
    /** Connected, and every topic is being subscribed again. */
    open: { carrier: Carrier; peer: string };
    /** The connection broke, or was closed. */
    close: { carrier: Carrier; reason: string };
    /** The next attempt comes after `delay` ms. */
    reconnecting: { attempt: number; delay: number };
    /** A carrier that could not connect, or something that the server refused and no promise tells. Only `message` is certain. */
    error: Error & Partial<WeftError>;
    gap: Gap;
    /** The carrier in use is another one now. */
    carrier: Carrier;
}

/** Milliseconds. */
export interface Timeouts {
    /** For a carrier to open before the next one is tried; 5,000. */
    hello?: number;
    /** Silence after which the server is asked for life; what the server says, else 25,000. */
    ping?: number;
    /** For its answer; 10,000. */
    pong?: number;
    /** How long a poll hangs at most; 25,000. */
    poll?: number;
    /** The n-th attempt to reconnect waits a random time below backoff * 2^n; 500. */
    backoff?: number;
    /** And below this; 30,000. */
    backoffMax?: number;
    /** A connection that held for so long begins the back-off anew; 5,000. */
    stable?: number;
    /** Before a better carrier is tried again; 60,000, doubled with each failure. */
    upgrade?: number;
    /** 600,000. */
    upgradeMax?: number;
}

/** The part of WebSocket that is used: the browser's, node's (from 22), and npm's `ws` have it. */
export interface WebSocketConstructor {
    new (url: string, protocols: string): any;
}

export interface ConnectOptions {
    /** Those to use, the best first; all three. */
    carriers?: Carrier[];
    /** For where there is no global one. Without any, the carriers over HTTP are used. */
    WebSocket?: WebSocketConstructor;
    fetch?: typeof fetch;
    /** Of requests over HTTP, such as Authorization; a function is asked before each. A browser's WebSocket cannot send any. */
    headers?: Record<string, string> | (() => Record<string, string> | Promise<Record<string, string>>);
    /** Of requests over HTTP. */
    credentials?: RequestCredentials;
    /** The name by which presence lists this client. */
    name?: string;
    timeouts?: Timeouts;
}

export interface Weft {
    /** `waiting` is the time between two attempts. Between two polls there is no connection to lose: a dead server is noticed by its silence. */
    readonly state: State;
    /** The one in use, or that was last. */
    readonly carrier: Carrier | undefined;

    /** Each message comes once, and in order, through all reconnections. */
    subscribe<Data = any>(topic: string, fn: (data: Data, message: Message<Data>) => void, options?: SubscribeOptions): Subscription;

    /**
     * Strings are text, bytes are binary, anything else is JSON. Settles when the message has its place in the topic. Without a
     * connection up to 1,000 requests wait for one. Rejected with a WeftError; code `unknown` when the connection broke before
     * the answer: the message was published or was not, and is not sent again. A rejection that nobody looks at is no
     * unhandled one. What was just published may be lost by close(): await it first.
     */
    publish(topic: string, data: unknown, options?: PublishOptions): Promise<{ cursor: Cursor }>;

    presence(topic: string): Promise<Presence>;

    /** Returns a function that removes it. */
    on<Type extends keyof Events>(type: Type, fn: (detail: Events[Type]) => void): () => void;

    /** For good. After a last `close` event nothing is called any more; what waits is rejected with code `closed`, what was sent and not
     * answered with `unknown`. */
    close(): void;
}

/** Connects, and reconnects until close(). `url` is http(s)://, ws(s):// or, in a page, relative to it; its query goes with each request. */
export function connect(url: string | URL, options?: ConnectOptions): Weft;
