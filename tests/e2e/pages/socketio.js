/* What the tests call in a page beside the stock clients: promises of what they tell. */

const QUICK = { reconnectionDelay: 50, reconnectionDelayMax: 200 };

const next = (emitter, name) => new Promise((resolve) => emitter.once(name, (...args) => resolve(args)));

function open(url, options) {
    window.socket = io(url, { forceNew: true, ...QUICK, ...options });
    return window.socket;
}

async function connect(url, options) {
    await next(open(url, options), 'connect');
    return window.socket.io.engine.transport.name;
}

/** The message that it is refused with. */
async function refusal(url, options) {
    const [{ message }] = await next(open(url, options), 'connect_error');
    return message;
}

async function upgraded(engine) {
    if (engine.transport.name !== 'websocket') await next(engine, 'upgrade');
}

const text = async (data) => (data instanceof Blob ? data.text() : new TextDecoder().decode(data));

const bytes = (string) => new TextEncoder().encode(string);
