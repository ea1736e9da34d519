/** Waiting for what happens, with a deadline that says what did not. */
export const DEADLINE_MS = 30_000;

export function within(promise, what, ms = DEADLINE_MS) {
    let timer;
    const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`${typeof what === 'function' ? what() : what}: nothing within ${ms} ms`)), ms);
    });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Resolves when `reached()` is true; it is looked at again and again. */
export async function until(reached, what, ms = DEADLINE_MS) {
    const end = performance.now() + ms;
    while (!reached()) {
        if (performance.now() > end) throw new Error(`${typeof what === 'function' ? what() : what}: not within ${ms} ms`);
        await new Promise((resolve) => setTimeout(resolve, 2));
    }
}

/** Resolves with what the event `type` of a Weft tells next. */
export function next(weft, type, matches = () => true) {
    let remove;
    const told = new Promise((resolve) => {
        remove = weft.on(type, (detail) => matches(detail) && resolve(detail));
    });
    return within(told, `event ${type}`).finally(() => remove());
}
