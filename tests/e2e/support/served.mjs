/** `weft serve` and the commands around it, in an environment that holds no WEFT_* but what a test says; servers have WEFT_LOOPS besides, when it is set. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { binaryOf, start } from './program.mjs';

const WEFT = binaryOf('WEFT');

const bare = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('WEFT')));

const { WEFT_LOOPS } = process.env;

/** Options for a program that sees these variables. */
export const environment = (variables = {}) => ({ env: { ...bare, ...variables } });

/** Runs a command of weft to its end, with `input` on standard input; resolves to [how, stdout, stderr]. */
export async function weft(t, args, { variables, input = '' } = {}) {
    const program = start(t, WEFT, args, environment(variables));
    program.child.stdin.end(input);
    return [await program.end(), program.stdout, program.stderr];
}

/** Starts a command of weft that goes on. */
export const startWeft = (t, args, { variables } = {}) => start(t, WEFT, args, environment({ ...(WEFT_LOOPS && { WEFT_LOOPS }), ...variables }));

/** A folder of the test `t` with these files in it. */
export function folderOf(t, files = {}) {
    const folder = mkdtempSync(path.join(tmpdir(), 'weft-serve-'));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    for (const [name, text] of Object.entries(files)) writeFileSync(path.join(folder, name), text);
    return folder;
}

const PLACES = /^weft serve: .*\n(?: +(?:https?|unix):.*\n)+(?: +\w+: .*\n){4}/;

/** Starts `weft serve` on a free port, unless the arguments say where; resolves to the program with {url, port, told}. */
export async function serve(t, args = [], options = {}) {
    const listens = args.some((arg) => arg.startsWith('--listen')) || options.variables?.WEFT_LISTEN || options.variables?.WEFT_CONFIG;
    const server = startWeft(t, ['serve', ...args, ...(listens ? [] : ['--listen', '0'])], options);
    const [told] = await server.printed(PLACES);
    const url = /^ +((?:https?|unix):\S+?)\/?$/m.exec(told)[1];
    const port = Number(/:(\d+)$/.exec(url)?.[1]);
    return Object.assign(server, { url, port, told });
}

