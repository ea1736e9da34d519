/** What an emitter of other people tells, kept in order and awaited. */
import { within } from './program.mjs';

/** The arguments of the next `name` of an emitter with on() and off(), or what `look` makes of them at that very moment. */
export function next(emitter, name, look = (...args) => args) {
    let take;
    const come = new Promise((resolve) => emitter.on(name, (take = (...args) => resolve(look(...args)))));
    return within(come, () => `the event ${name}`).finally(() => emitter.off(name, take));
}

/** Every `name` from now on: {all, take(count)}, of which take() resolves to the first arguments that were not taken yet. */
export function collect(emitter, name) {
    const all = [];
    let taken = 0;
    let wake = () => {};
    emitter.on(name, (...args) => {
        all.push(args[0]);
        wake();
    });
    const take = async (count) => {
        const come = new Promise((resolve) => (wake = () => all.length >= taken + count && resolve())());
        await within(come, () => `${count} of the event ${name}, of which ${all.length - taken} came`);
        return all.slice(taken, (taken += count));
    };
    return { all, take };
}
