/** weft.js as it is shipped: its size, its types, and that a program which closed it ends. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startCutter } from './support/cutter.mjs';
import { terser, typescript } from './support/npm.mjs';
import { startReference } from './support/reference.mjs';
import { until, within } from './support/wait.mjs';

const SIZE_LIMIT = 10_000;

const at = (path) => fileURLToPath(new URL(path, import.meta.url));

describe('the package', () => {
    it(`is under ${SIZE_LIMIT} bytes minified`, async (t) => {
        const { code } = await terser().minify(await readFile(at('../../js/weft.js'), 'utf8'), { module: true });
        const size = Buffer.byteLength(code);
        t.diagnostic(`${size} bytes`);
        assert.ok(size < SIZE_LIMIT, `${size} bytes`);
    });

    it('exports its module and its types, and needs nothing', async () => {
        const description = JSON.parse(await readFile(at('../../js/package.json'), 'utf8'));
        for (const path of Object.values(description.exports['.'])) await readFile(at(`../../js/${path}`));
        assert.equal(description.dependencies, undefined);
        assert.deepEqual(Object.keys(await import('../../js/weft.js')), ['connect']);
        assert.doesNotMatch(await readFile(at('../../js/weft.js'), 'utf8'), /^import|\bconsole\b/m);
    });

    it('has types that fit how it is used', () => {
        const ts = typescript();
        const program = ts.createProgram([at('types.mts'), at('../../js/weft.d.ts')], {
            strict: true, noEmit: true, target: ts.ScriptTarget.ES2022, types: [],
            module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext,
            lib: ['lib.es2022.d.ts', 'lib.dom.d.ts'],
        });
        const complaints = ts.getPreEmitDiagnostics(program).map(({ file, start, messageText }) => {
            const place = file ? `${file.fileName}:${file.getLineAndCharacterOfPosition(start).line + 1}: ` : '';
            return place + ts.flattenDiagnosticMessageText(messageText, '\n');
        });
        assert.deepEqual(complaints, []);
    });
});

describe('a program that closes its client ends', () => {
    async function visit(t, knobs, carrier, when, freezes = false) {
        const server = await startReference(knobs);
        t.after(() => server.stop());
        const cutter = await startCutter(server.url);
        t.after(() => cutter.stop());
        const child = spawn(process.execPath, [at('support/visitor.mjs'), cutter.url, carrier, when], { stdio: ['ignore', 'pipe', 'pipe'] });
        t.after(() => child.kill('SIGKILL'));
        let said = '';
        child.stdout.on('data', (text) => (said += text));
        child.stderr.on('data', (text) => (said += text));
        if (freezes) await until(() => said === 'open\n', 'open').then(() => cutter.freeze());
        const ended = once(child, 'close');
        await until(() => said.endsWith('closed\n'), () => `closed; it said: ${said}`);
        const [status] = await within(ended, () => `the end of the program; it said: ${said}`, 10_000);
        assert.deepEqual([status, said.replace('open\n', '')], [0, 'closed\n']);
    }

    const nothing = { refuseUpgrades: true, refuseStreams: true, refusePolls: true };
    for (const carrier of ['websocket', 'sse', 'poll']) {
        it(`${carrier}, open`, (t) => visit(t, {}, carrier, 'open'));
        it(`${carrier}, with a server that is silent`, (t) => visit(t, { ping: 50 }, carrier, 'later', true));
    }
    it('on a lesser carrier', (t) => visit(t, { refuseUpgrades: true }, 'all', 'open'));
    it('poll, between two attempts', (t) => visit(t, { losePollAnswers: 1, ping: 50 }, 'poll', 'later'));
    it('connecting', (t) => visit(t, { muteWebSockets: true, bufferStreams: true }, 'all', 'connecting'));
    it('waiting', (t) => visit(t, nothing, 'all', 'waiting'));
});
