/**
 * `example-files`: a directory as browsers, curl and node's fetch see it. Chromium loads a page with a style sheet, a module and a recording
 * that it seeks in, and loads it again for the price of a few 304.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { launchBrowser, openPage } from './support/browser.mjs';
import { installed } from './support/debian.mjs';
import { becomesTrue, binaryOf, memory, occupyPort, openDescriptors, run, start, within } from './support/program.mjs';

const MIB = 1 << 20;
const LARGE_BYTES = 100 * MIB;
const GROWTH_BYTES = 8 * MIB; /* of the server, whatever it sends */
const LONG_AGO = new Date('1994-11-06T08:49:37Z');
const SCRIPT = `${'// a line that compresses well\n'.repeat(200)}document.body.dataset.script = 'ran';\n`;
const STYLE = 'h1 { color: rgb(1, 2, 3); }\n';
const NO_ICON = '<link rel="icon" href="data:,">';
const PAGE = `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>files</title>
<link rel="stylesheet" href="style.css">${NO_ICON}
<h1>Wörter</h1><video src="media/recording.wav" preload="metadata" controls muted></video>
<script type="module" src="app.mjs"></script>
`;

let folder, server;

/* ----------------------------------------------------------------------------------------------------------- the directory */

/** Silence, as a file that players find their way in by its length alone: seeking asks for a range. */
function recording(seconds) {
    const rate = 48_000 * 2 * 2;
    const bytes = Buffer.alloc(44 + seconds * rate);
    bytes.write('RIFF', 0);
    bytes.writeUInt32LE(bytes.length - 8, 4);
    bytes.write('WAVEfmt ', 8);
    bytes.writeUInt32LE(16, 16);
    bytes.writeUInt16LE(1, 20);
    bytes.writeUInt16LE(2, 22);
    bytes.writeUInt32LE(48_000, 24);
    bytes.writeUInt32LE(rate, 28);
    bytes.writeUInt16LE(4, 32);
    bytes.writeUInt16LE(16, 34);
    bytes.write('data', 36);
    bytes.writeUInt32LE(bytes.length - 44, 40);
    return bytes;
}

const below = (name) => path.join(folder, 'public', name);

function put(name, content) {
    mkdirSync(path.dirname(below(name)), { recursive: true });
    writeFileSync(below(name), content);
    utimesSync(below(name), LONG_AGO, LONG_AGO);
}

function makeFolder() {
    folder = mkdtempSync(path.join(tmpdir(), 'weft-files-'));
    put('index.html', PAGE);
    put('style.css', STYLE);
    put('app.mjs', SCRIPT);
    put('app.mjs.gz', gzipSync(SCRIPT));
    put('app.mjs.br', brotliCompressSync(SCRIPT));
    put('media/recording.wav', recording(120));
    put('docs/index.html', `<title>docs</title>${NO_ICON}<a href="next.html">next</a>`);
    put('docs/next.html', `<title>next</title>${NO_ICON}`);
    put('.env', 'PASSWORD=hidden');
    put('large.bin', '');
    truncateSync(below('large.bin'), LARGE_BYTES);
    writeFileSync(path.join(folder, 'secret.txt'), 'secret');
    symlinkSync('../secret.txt', below('link.txt'));
}

/** Ends with this process, if nothing ends it before. */
async function startFiles() {
    const program = start({ after: () => {} }, binaryOf('WEFT_EXAMPLES', 'example-files'), [path.join(folder, 'public'), 'http://127.0.0.1:0']);
    [, program.url] = await program.printed(/^listening on (.*)\n/);
    return program;
}

/* ---------------------------------------------------------------------------------------------------------------- fetch */

const get = (target, headers = {}, options = {}) => fetch(server.url + target, { headers, redirect: 'manual', ...options });

function fetching() {
    it('a file, byte for byte, and what kind it is', async () => {
        const answer = await get('/media/recording.wav');
        assert.equal(answer.status, 200);
        assert.equal(answer.headers.get('content-type'), 'audio/wav');
        assert.equal(answer.headers.get('last-modified'), LONG_AGO.toUTCString());
        assert.ok(Buffer.from(await answer.arrayBuffer()).equals(recording(120)));
    });
    it('the page of a directory, and the way into one', async () => {
        assert.equal(await (await get('/')).text(), PAGE);
        const answer = await get('/docs?from=here');
        assert.equal(answer.status, 308);
        await answer.text();
        const followed = await get('/docs?from=here', {}, { redirect: 'follow' });
        assert.equal(followed.url, `${server.url}/docs/?from=here`);
        assert.match(await followed.text(), /docs/);
    });
    it('304 as long as nothing has changed', async () => {
        const first = await get('/style.css');
        assert.equal(await first.text(), STYLE);
        for (const [name, told] of [['If-None-Match', 'etag'], ['If-Modified-Since', 'last-modified']]) {
            const again = await get('/style.css', { [name]: first.headers.get(told) });
            assert.equal(again.status, 304, name);
            assert.equal(again.headers.get('etag'), first.headers.get('etag'));
            assert.equal(await again.text(), '');
        }
    });
    for (const coding of ['br', 'gzip', 'identity']) {
        it(`the script as ${coding}`, async () => {
            const answer = await get('/app.mjs', { 'Accept-Encoding': coding });
            assert.equal(answer.headers.get('content-encoding') ?? 'identity', coding);
            assert.equal(answer.headers.get('vary'), 'Accept-Encoding');
            assert.equal(await answer.text(), SCRIPT);
        });
    }
    for (const target of ['/.env', '/link.txt', '/%2e%2e%5csecret.txt', '//secret.txt', '/docs/missing', '/media/']) {
        it(`404 for ${target}`, async () => {
            const answer = await get(target);
            assert.equal(answer.status, 404);
            assert.equal(await answer.text(), 'not found\n');
        });
    }
}

/* ----------------------------------------------------------------------------------------------------------------- curl */

async function curl(t, ...args) {
    const program = start(t, installed('curl'), ['-q', '-sS', '--noproxy', '*', '--compressed', '--path-as-is', ...args]);
    assert.equal(await program.end(), 'status 0', program.sentence('failed'));
    return program.stdout;
}

function curling() {
    it('goes on where a download broke off', async (t) => {
        const out = path.join(folder, 'resumed.wav');
        writeFileSync(out, recording(120).subarray(0, MIB));
        const said = await curl(t, '-C', '-', '-o', out, '-w', '%{http_code} %{size_download}', `${server.url}/media/recording.wav`);
        assert.equal(said, `206 ${recording(120).length - MIB}`);
        assert.equal(await curl(t, `file://${out}`, '-o', '/dev/null', '-w', '%{size_download}'), String(recording(120).length));
    });
    it('unpacks what came packed', async (t) => {
        assert.equal(await curl(t, `${server.url}/app.mjs`), SCRIPT);
    });
    it('asks only for what is newer', async (t) => {
        const said = await curl(t, '-z', LONG_AGO.toUTCString(), '-o', '/dev/null', '-w', '%{http_code}', `${server.url}/style.css`);
        assert.equal(said, '304');
    });
    for (const target of ['/../secret.txt', '/docs/../../secret.txt', '/%2e%2e/secret.txt', '/..%2fsecret.txt']) {
        it(`does not get out by ${target}`, async (t) => {
            assert.equal(await curl(t, '-o', '/dev/null', '-w', '%{http_code}', server.url + target), '400');
        });
    }
}

/* ---------------------------------------------------------------------------------------------------------------- large */

/** The SHA-256 of so many zeros. */
function hashOfZeros(count) {
    const hash = createHash('sha256');
    for (let n = 0; n < count; n += MIB) hash.update(Buffer.alloc(MIB));
    return hash.digest('hex');
}

async function download(most) {
    const hash = createHash('sha256');
    let length = 0;
    for await (const piece of (await get('/large.bin')).body) {
        hash.update(piece);
        length += piece.length;
        most.bytes = Math.max(most.bytes, memory(server));
    }
    return [length, hash.digest('hex')];
}

/** A client that asks and reads nothing. */
async function dawdler(t) {
    const socket = net.connect(Number(new URL(server.url).port), '127.0.0.1');
    t.after(() => socket.destroy());
    socket.on('error', () => {});
    socket.pause();
    socket.write('GET /large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n');
    return socket;
}

function downloading() {
    it('100 MiB, several at once, arrive whole and cost the server no memory', async () => {
        const before = memory(server);
        const most = { bytes: before };
        const expected = [LARGE_BYTES, hashOfZeros(LARGE_BYTES)];
        assert.deepEqual(await download(most), expected);
        assert.deepEqual(await Promise.all([1, 2, 3].map(() => download(most))), [expected, expected, expected]);
        assert.ok(most.bytes - before < GROWTH_BYTES, `grew by ${(most.bytes - before) / MIB} MiB`);
    });
    it('who does not read holds up nobody, and lets go of the file in the end', async (t) => {
        const open = await openDescriptors(server);
        const before = memory(server);
        const dawdlers = await Promise.all(Array.from({ length: 20 }, () => dawdler(t)));
        await sleep(200);
        const answer = await within(get('/style.css'), () => 'style.css');
        assert.equal(await answer.text(), STYLE);
        assert.ok(memory(server) - before < GROWTH_BYTES);
        for (const socket of dawdlers) socket.destroy();
        await openDescriptors(server, open + 1);
    });
}

/* -------------------------------------------------------------------------------------------------------------- Chromium */

/** Opens the page; `answers` are [path, status, the range asked for] as the network tab has them. */
async function openFiles(t, browser) {
    const answers = [];
    const prepare = async (page) => {
        page.tolerate(/recording\.wav: net::ERR_ABORTED/); /* a player drops what it has no use for yet */
        page.on('response', (response) => {
            answers.push([new URL(response.url()).pathname, response.status(), response.request().headers().range]);
        });
    };
    const page = await openPage(t, browser, `${server.url}/`, { prepare });
    return { page, answers };
}

const statusesOf = (answers, target) => answers.filter(([path]) => path === target).map(([, status]) => status);

/** Chromium says the same to the program that drives it whether it was 200 or 304: the wire tells. */
async function watchNetwork(page) {
    const session = await page.context().newCDPSession(page);
    const seen = [];
    await session.send('Network.enable');
    session.on('Network.responseReceivedExtraInfo', ({ statusCode }) => seen.push(statusCode));
    return seen;
}

function browsing() {
    let browser;
    before(async () => (browser = await launchBrowser()));
    after(() => browser.close());

    it('a page with its style and its script', async (t) => {
        const { page, answers } = await openFiles(t, browser);
        await page.waitForFunction(() => document.body.dataset.script === 'ran');
        assert.equal(await page.textContent('h1'), 'Wörter');
        assert.equal(await page.evaluate(() => getComputedStyle(document.querySelector('h1')).color), 'rgb(1, 2, 3)');
        for (const target of ['/', '/style.css', '/app.mjs']) assert.deepEqual(statusesOf(answers, target), [200], target);
    });
    it('a recording, and any place in it', async (t) => {
        const { page, answers } = await openFiles(t, browser);
        const length = await page.evaluate(async () => {
            const video = document.querySelector('video');
            if (video.readyState === 0) await new Promise((resolve, reject) => {
                video.onloadedmetadata = resolve;
                video.onerror = () => reject(new Error(video.error.message));
            });
            const sought = new Promise((resolve) => (video.onseeked = resolve));
            video.currentTime = 110;
            await sought;
            return video.duration;
        });
        assert.equal(length, 120);
        const ranges = () => answers.filter(([target]) => target === '/media/recording.wav');
        const isFarOff = ([, , asked]) => Number(/^bytes=(\d+)-/.exec(asked ?? '')?.[1]) > 10 * MIB;
        assert.ok(await becomesTrue(() => ranges().some(isFarOff)), JSON.stringify(answers));
        assert.ok(ranges().every(([, status]) => status === 206), JSON.stringify(answers));
    });
    it('the same page again, for a 304 each', async (t) => {
        const { page } = await openFiles(t, browser);
        await page.waitForFunction(() => document.body.dataset.script === 'ran');
        const statuses = await watchNetwork(page);
        await page.reload();
        await page.waitForFunction(() => document.body.dataset.script === 'ran');
        assert.ok(statuses.filter((status) => status === 304).length >= 3, statuses.join(' '));
        assert.ok(!statuses.includes(200), statuses.join(' '));
    });
    it('what has changed is seen at once', async (t) => {
        const { page } = await openFiles(t, browser);
        put('style.css', 'h1 { color: rgb(4, 5, 6); }\n');
        utimesSync(below('style.css'), new Date(), new Date());
        t.after(() => put('style.css', STYLE));
        await page.reload();
        assert.equal(await page.evaluate(() => getComputedStyle(document.querySelector('h1')).color), 'rgb(4, 5, 6)');
    });
    it('links in a directory lead where they should', async (t) => {
        const page = await openPage(t, browser, `${server.url}/docs`);
        assert.equal(page.url(), `${server.url}/docs/`);
        await page.click('a');
        assert.equal(await page.title(), 'next');
    });
}

/* ---------------------------------------------------------------------------------------------------------------- mistakes */

function mistaking() {
    const mistake = (name, args, sentence) =>
        it(name, async (t) => {
            const ended = await run(t, binaryOf('WEFT_EXAMPLES', 'example-files'), await args(t));
            assert.deepEqual(ended, ['status 1', '', `files: ${sentence(ended)}\n`]);
        });
    mistake('a directory that is not there', () => [path.join(folder, 'missing')],
        () => `cannot serve the directory "${folder}/missing": No such file or directory`);
    mistake('a directory that is a file', () => [below('style.css')],
        () => `cannot serve the directory "${below('style.css')}": Not a directory`);
    let address;
    mistake('a port in use', async (t) => [folder, (address = `http://127.0.0.1:${await occupyPort(t)}`)],
        () => `cannot listen on ${address}: Address already in use`);
}

describe('static files', () => {
    before(async () => {
        makeFolder();
        server = await startFiles();
    });
    after(async () => {
        await server.stop();
        rmSync(folder, { recursive: true });
    });
    describe('fetch gets', fetching);
    describe('curl', curling);
    describe('large files', downloading);
    describe('Chromium shows', browsing);
    describe('says in one sentence', mistaking);
});
