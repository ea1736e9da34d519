/**
 * `weft demo` as people meet it: its chat page in Chromium on desktops and phones, with a `ws` client in the same channel, and
 * pages that beginners wrote for Node servers, opened from files.
 */
import assert from 'node:assert/strict';
import { on, once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import WebSocket from 'ws';
import { launchBrowser, openPage } from './support/browser.mjs';
import { startDemo } from './support/demo.mjs';

const CLIENT_DEADLINE_MS = 20_000;
const DESKTOP = { viewport: { width: 1100, height: 760 } };
const PHONE = { viewport: { width: 375, height: 667 }, isMobile: true, hasTouch: true };
const SMALL_PHONE = { viewport: { width: 320, height: 568 }, isMobile: true, hasTouch: true };
const GREETING = '{"system":true,"text":"你已连接公告频道"}';
const SERVER_IS_AWAY = /^WebSocket connection to '[^']+' failed/;

let browser;
let demo;

before(async () => {
    [browser, demo] = await Promise.all([launchBrowser(), startDemo()]);
});
after(async () => {
    await browser?.close();
    await demo?.stop();
});

/* ------------------------------------------------------------------------------------------------------------- the players */

/** A connected chat page on which `name` has been entered. */
async function openChat(t, name, { at = demo, ...options } = {}) {
    const page = await openPage(t, browser, at.page, { ...DESKTOP, ...options });
    await becomes(page, 'connected');
    await page.getByLabel('You are').fill(name);
    return page;
}

/** A connected client of npm's `ws` that keeps every frame: next() gives [data, isBinary]. */
async function openClient(t, url) {
    const socket = new WebSocket(url);
    t.after(() => socket.terminate());
    const frames = on(socket, 'message', { signal: AbortSignal.timeout(CLIENT_DEADLINE_MS) });
    await once(socket, 'open', { signal: AbortSignal.timeout(CLIENT_DEADLINE_MS) });
    return { send: (data) => socket.send(data), next: async () => (await frames.next()).value };
}

/** One that has been greeted. */
async function joinChannel(t, { at = demo } = {}) {
    const client = await openClient(t, at.channel);
    assert.deepEqual(await client.next(), [Buffer.from(GREETING), true]);
    return client;
}

async function say(page, text) {
    await page.getByLabel('Message', { exact: true }).fill(text);
    await page.keyboard.press('Enter');
}

/** Waits for the message, and returns the first that a person sees as [author, text]. */
async function sees(page, text) {
    const message = page.locator('.message:not(.sending)', { has: page.getByText(text, { exact: true }) }).first();
    await message.waitFor();
    const author = message.locator('.author');
    return [(await author.isVisible()) ? await author.innerText() : '', await message.locator('.text').innerText()];
}

async function becomes(page, state) {
    await page.locator(`#state[data-state=${state}]`).waitFor();
}

/** Waits until the words in the corner are these. */
async function tells(page, words) {
    await page.locator('#state', { hasText: words }).waitFor();
}

/** Pretends that the tab is hidden, or shown again: a headless browser has no other tab to change to. */
async function setHidden(page, hidden) {
    await page.evaluate((value) => {
        Object.defineProperty(document, 'hidden', { value, configurable: true });
        document.dispatchEvent(new Event('visibilitychange'));
    }, hidden);
}

/** How far the log can still be scrolled down. */
function below(page) {
    return page.locator('#log').evaluate((log) => Math.round(log.scrollHeight - log.clientHeight - log.scrollTop));
}

async function scrolled(page, least, most) {
    await page.waitForFunction(([from, to]) => {
        const log = document.querySelector('#log');
        const left = log.scrollHeight - log.clientHeight - log.scrollTop;
        return from <= left && left <= to;
    }, [least, most]);
}

async function assertFits(page) {
    const { width, height } = page.viewportSize();
    const wide = await page.evaluate(() => [document.documentElement, document.querySelector('#log')]
        .filter((element) => element.scrollWidth > element.clientWidth).map((element) => element.tagName));
    assert.deepEqual(wide, [], 'nothing can be scrolled sideways');
    for (const selector of ['#state', '#name', '#text', '#send', '.message >> nth=-1']) {
        const box = await page.locator(selector).boundingBox();
        assert.ok(box.x >= 0 && box.x + box.width <= width, `${selector} fits in the width: ${JSON.stringify(box)}`);
        assert.ok(box.y >= 0 && box.y + box.height <= height, `${selector} fits in the height: ${JSON.stringify(box)}`);
    }
}

/* ----------------------------------------------------------------------------------------------------------- the chat page */

describe('chat page', () => {
    it('shows to everyone what anyone announces', async (t) => {
        const ada = await openChat(t, 'Ada');
        const client = await joinChannel(t);
        const oleg = await openChat(t, 'Олег', PHONE);

        assert.equal((await ada.locator('#state').innerText()).trim(), 'Connected');
        assert.deepEqual(await sees(ada, '你已连接公告频道'), ['', '你已连接公告频道']);

        await say(ada, 'The loom is strung. 🧵');
        assert.deepEqual(await sees(ada, 'The loom is strung. 🧵'), ['You', 'The loom is strung. 🧵']);
        assert.deepEqual(await sees(oleg, 'The loom is strung. 🧵'), ['Ada', 'The loom is strung. 🧵']);
        assert.deepEqual(await client.next(), [Buffer.from('{"name":"Ada","text":"The loom is strung. 🧵"}'), true]);

        await oleg.getByLabel('Message', { exact: true }).fill('Привет');
        await oleg.getByRole('button', { name: 'Send' }).tap();
        assert.deepEqual(await sees(ada, 'Привет'), ['Олег', 'Привет']);
        assert.deepEqual(await sees(oleg, 'Привет'), ['You', 'Привет']);
        assert.deepEqual(await client.next(), [Buffer.from('{"name":"Олег","text":"Привет"}'), true]);

        client.send('{"name":"build-bot","text":"passed"}');
        assert.deepEqual(await sees(ada, 'passed'), ['build-bot', 'passed']);
        assert.deepEqual(await sees(oleg, 'passed'), ['build-bot', 'passed']);
        assert.deepEqual(await client.next(), [Buffer.from('{"name":"build-bot","text":"passed"}'), true]);

        assert.equal(await ada.locator('.mine').count(), 1, 'its own message once, although the server returns it');
        assert.equal(await ada.locator('.message').count(), 4);
        assert.deepEqual(ada.requested.filter((url) => !url.startsWith('data:')), [demo.page], 'one file, no other request');
    });

    it('makes sense of what other clients send', async (t) => {
        const ada = await openChat(t, 'Ada');
        const client = await joinChannel(t);
        const relayed = async (data) => {
            client.send(data);
            assert.deepEqual(await client.next(), [Buffer.from(data), true]);
        };

        await relayed('just words');
        assert.deepEqual(await sees(ada, 'just words'), ['Anonymous', 'just words']);
        await relayed(Buffer.from('words in a binary frame'));
        assert.deepEqual(await sees(ada, 'words in a binary frame'), ['Anonymous', 'words in a binary frame']);
        await relayed(Buffer.from([0xff, 0x00, 0xfe]));
        assert.deepEqual(await sees(ada, '3 bytes'), ['Anonymous', '3 bytes']);
        await relayed(Buffer.alloc(1));
        assert.deepEqual(await sees(ada, '1 byte'), ['Anonymous', '1 byte']);
        await relayed('{"type":"CHAT","message":"another schema"}');
        await sees(ada, '{"type":"CHAT","message":"another schema"}');
        await relayed('null');
        await sees(ada, 'null');
        await relayed('');
        await sees(ada, '(no text)');
        await relayed('{"name":7,"text":"a number for a name"}');
        assert.deepEqual(await sees(ada, 'a number for a name'), ['Anonymous', 'a number for a name']);
        await relayed(JSON.stringify({ name: 'n'.repeat(100), text: 'x'.repeat(70_000) }));
        assert.deepEqual(await sees(ada, `${'x'.repeat(4_000)}…`), [`${'n'.repeat(32)}…`, `${'x'.repeat(4_000)}…`]);
    });

    it('shows markup as text', async (t) => {
        const markup = '<img src=x onerror="window.harmed = true"><b>bold</b> &amp; <script>window.harmed = true</script>';
        const eve = await openChat(t, '<i>Eve</i>');
        const ada = await openChat(t, 'Ada');
        await say(eve, markup);
        assert.deepEqual(await sees(ada, markup), ['<i>Eve</i>', markup]);
        assert.deepEqual(await sees(eve, markup), ['You', markup]);
        for (const page of [eve, ada]) {
            assert.equal(await page.locator('#log :is(img, b, i, script)').count(), 0);
            assert.equal(await page.evaluate(() => window.harmed), undefined);
        }
    });

    it('asks for a name, keeps it, and takes a new line from Shift+Enter', async (t) => {
        const ada = await openChat(t, '');
        await say(ada, 'first');
        await ada.getByText('Please say who you are first.').waitFor();
        assert.equal(await ada.evaluate(() => document.activeElement.id), 'name');
        assert.equal(await ada.locator('.mine').count(), 0);

        await ada.keyboard.type('Ada');
        await ada.keyboard.press('Enter');
        assert.deepEqual(await sees(ada, 'first'), ['You', 'first']);
        assert.equal(await ada.evaluate(() => document.activeElement.id), 'text');
        assert.equal(await ada.locator('#text').inputValue(), '');

        await ada.keyboard.type('one');
        await ada.keyboard.press('Shift+Enter');
        await ada.keyboard.type('two');
        await ada.keyboard.press('Enter');
        assert.deepEqual(await sees(ada, 'one two'), ['You', 'one\ntwo']);

        await ada.reload();
        await becomes(ada, 'connected');
        assert.equal(await ada.getByLabel('You are').inputValue(), 'Ada');
    });

    it('limits the length of a message and tells how much is left', async (t) => {
        const ada = await openChat(t, 'Ada');
        const text = ada.getByLabel('Message', { exact: true });
        await text.fill('x'.repeat(1_899));
        await text.press('End');
        await ada.keyboard.type('y');
        await ada.getByText('100 characters left').waitFor();
        await ada.keyboard.insertText('z'.repeat(200));
        await ada.getByText('0 characters left', { exact: true }).waitFor();
        assert.equal((await text.inputValue()).length, 2_000);
    });

    it('stays at the bottom only for who is at the bottom', async (t) => {
        const ada = await openChat(t, 'Ada');
        const client = await joinChannel(t);
        const top = () => ada.locator('#log').evaluate((log) => log.scrollTop);
        for (let i = 1; i <= 40; i++) client.send(`line ${i}`);
        await sees(ada, 'line 40');
        assert.ok(await below(ada) <= 1, 'follows');

        await ada.locator('#log').hover();
        await ada.mouse.wheel(0, -400);
        await scrolled(ada, 399, 401);
        const place = await top();
        client.send('line 41');
        await ada.getByRole('button', { name: '1 new message', exact: false }).waitFor();
        client.send('line 42');
        const newer = ada.getByRole('button', { name: '2 new messages' });
        await newer.waitFor();
        assert.equal(await top(), place, 'does not move under the reader');

        await newer.click();
        await newer.waitFor({ state: 'hidden' });
        assert.ok(await below(ada) <= 1, 'at the bottom again');
        client.send('line 43');
        await sees(ada, 'line 43');
        assert.ok(await below(ada) <= 1, 'follows again');
    });

    it('keeps the newest 500 messages', async (t) => {
        const ada = await openChat(t, 'Ada');
        const client = await joinChannel(t);
        for (let i = 1; i <= 600; i++) client.send(`line ${i}`);
        await sees(ada, 'line 600');
        assert.equal(await ada.locator('.message').count(), 500);
        assert.match(await ada.locator('.message').first().innerText(), /line 101$/);
    });

    it('counts in the title what arrives while it is hidden', async (t) => {
        const ada = await openChat(t, 'Ada');
        const client = await joinChannel(t);
        assert.equal(await ada.title(), 'Weft · announcements');
        await setHidden(ada, true);
        client.send('one');
        client.send('two');
        await sees(ada, 'two');
        assert.equal(await ada.title(), '(2) Weft · announcements');
        await setHidden(ada, false);
        assert.equal(await ada.title(), 'Weft · announcements');
    });

    for (const [device, options] of Object.entries({ phone: PHONE, 'small phone': SMALL_PHONE, desktop: DESKTOP })) {
        it(`fits a ${device}, with a keyboard on it and in the dark too`, async (t) => {
            const ada = await openChat(t, 'Ada', { ...options, colorScheme: device === 'small phone' ? 'dark' : 'light' });
            const client = await joinChannel(t);
            client.send(JSON.stringify({ name: 'W'.repeat(32), text: 'W'.repeat(500) }));
            client.send('short');
            await sees(ada, 'short');
            await assertFits(ada);

            await ada.getByLabel('Message', { exact: true }).fill('a line\n'.repeat(20));
            const withKeyboard = { width: options.viewport.width, height: Math.round(options.viewport.height * 0.55) };
            await ada.setViewportSize(withKeyboard);
            await ada.waitForFunction((most) => document.body.getBoundingClientRect().bottom <= most, withKeyboard.height);
            await scrolled(ada, -1, 1);
            await assertFits(ada);
        });
    }
});

/* ------------------------------------------------------------------------------------------------------------ reconnecting */

describe('chat page and a server that comes and goes', () => {
    let mortal;

    /* Each test kills it; the next one has the same addresses. */
    const restart = async () => (mortal = await startDemo(mortal));
    before(async () => (mortal = await startDemo()));
    after(() => mortal?.stop());

    /** A chat page whose clock stands still and whose back-off always takes (almost) the longest time. */
    async function openPatientChat(t) {
        const page = await openChat(t, 'Ada', {
            at: mortal,
            prepare: async (page) => {
                await page.addInitScript(() => (Math.random = () => 0.999999));
                await page.clock.install({ time: 0 });
            },
        });
        await page.clock.pauseAt(60_000);
        return page;
    }

    it('tells so, keeps what was typed, and reconnects', async (t) => {
        const ada = await openChat(t, 'Ada', { at: mortal });
        const send = ada.getByRole('button', { name: 'Send' });
        await ada.getByLabel('Message', { exact: true }).fill('typed in vain?');
        assert.ok(await send.isEnabled());

        ada.tolerate(SERVER_IS_AWAY);
        await mortal.kill();
        await tells(ada, /Reconnecting( in \d+ s|…)/);
        await ada.getByText('Not connected: your text stays here.').waitFor();
        assert.ok(await send.isDisabled());
        await ada.keyboard.press('Enter');
        assert.equal(await ada.locator('#text').inputValue(), 'typed in vain?');

        await restart();
        await tells(ada, 'Connected');
        await ada.getByText(/^Back after \d+ seconds?; what others said meanwhile is missing$/).waitFor();
        const client = await joinChannel(t, { at: mortal });
        await send.click();
        assert.deepEqual(await sees(ada, 'typed in vain?'), ['You', 'typed in vain?']);
        assert.deepEqual(await client.next(), [Buffer.from('{"name":"Ada","text":"typed in vain?"}'), true]);
    });

    it('waits longer from try to try, and less again after a stable connection', async (t) => {
        const ada = await openPatientChat(t);
        ada.tolerate(SERVER_IS_AWAY);
        await mortal.kill();
        for (const seconds of [1, 2, 4, 8, 16, 30, 30]) {
            await tells(ada, `Reconnecting in ${seconds} s`);
            await ada.clock.runFor(seconds * 1_000 - 500);
            await tells(ada, 'Reconnecting in 1 s');
            await ada.clock.runFor(501);
        }
        await tells(ada, 'Reconnecting in 30 s');

        await restart();
        await ada.clock.runFor(30_001);
        await tells(ada, 'Connected');
        await ada.clock.runFor(4_000);
        await mortal.kill();
        await tells(ada, 'Reconnecting in 30 s'); /* that one did not last */

        await restart();
        await ada.clock.runFor(30_001);
        await tells(ada, 'Connected');
        await ada.clock.runFor(6_000);
        await mortal.kill();
        await tells(ada, 'Reconnecting in 1 s');
        await restart();
    });

    it('tries at once when the network is back, and when somebody looks', async (t) => {
        const ada = await openPatientChat(t);
        ada.tolerate(SERVER_IS_AWAY);

        await mortal.kill();
        await tells(ada, 'Reconnecting in 1 s');
        await restart();
        await ada.evaluate(() => dispatchEvent(new Event('online')));
        await tells(ada, 'Connected');

        await mortal.kill();
        await tells(ada, 'Reconnecting in 2 s');
        await restart();
        await setHidden(ada, true);
        await tells(ada, 'Reconnecting in 2 s');
        await setHidden(ada, false);
        await tells(ada, 'Connected');
    });

    it('says that it is offline', async (t) => {
        const ada = await openPatientChat(t);
        await ada.context().setOffline(true);
        await tells(ada, 'Offline, next try in 1 s');
        await ada.context().setOffline(false);
        await tells(ada, 'Connected');
    });

    it('does not claim that a message was delivered when nothing returned', async (t) => {
        const ada = await openPatientChat(t);
        t.after(() => mortal.child.kill('SIGCONT'));
        mortal.child.kill('SIGSTOP'); /* a server that hangs */
        await say(ada, 'hello?');
        assert.match(await ada.locator('.sending').innerText(), /hello\?$/);
        await ada.clock.runFor(10_000);
        await ada.getByText('The connection broke: perhaps not delivered.').waitFor();
        await tells(ada, 'Reconnecting in 1 s');
        mortal.child.kill('SIGCONT');
        await ada.clock.runFor(1_001);
        await tells(ada, 'Connected');
    });
});

/* ------------------------------------------------------------------------------------------ pages written for Node servers */

describe('pages from files, as beginners write them', () => {
    let folder;

    before(async () => (folder = await mkdtemp(join(tmpdir(), 'weft-pages-'))));
    after(() => rm(folder, { recursive: true, force: true }));

    /** Opens tests/e2e/pages/NAME from a file; only the ports differ, since the demo under test has free ones. */
    async function openFile(t, name) {
        const source = await readFile(new URL(`pages/${name}`, import.meta.url), 'utf8');
        const copy = join(folder, name);
        await writeFile(copy, source.replace('127.0.0.1:3000', `127.0.0.1:${demo.port}`)
            .replace('127.0.0.1:8080', `127.0.0.1:${demo.channelPort}`));
        return openPage(t, browser, pathToFileURL(copy).href);
    }

    it('broadcasts text to everybody as text', async (t) => {
        const one = await openFile(t, 'broadcast.html');
        const two = await openFile(t, 'broadcast.html');
        const client = await openClient(t, demo.broadcast);
        for (const page of [one, two]) await page.getByText('open', { exact: true }).waitFor();

        await one.locator('#words').fill('hello, 世界');
        await one.getByRole('button', { name: 'Send' }).click();
        for (const page of [one, two]) await page.getByText('hello, 世界', { exact: true }).waitFor();
        assert.deepEqual(await client.next(), [Buffer.from('hello, 世界'), false]);

        client.send('from Node');
        for (const page of [one, two]) await page.getByText('from Node', { exact: true }).waitFor();
        assert.deepEqual(await client.next(), [Buffer.from('from Node'), false]);
        for (const page of [one, two])
            assert.equal(await page.locator('#output').innerText(), 'open\nhello, 世界\nfrom Node');
    });

    it('announces to pages that read Blobs', async (t) => {
        const reader = await openFile(t, 'announcement-filereader.html');
        await reader.getByText('你已连接公告频道').waitFor();
        const text = await openFile(t, 'announcement-text.html');
        await text.getByText('你已连接公告频道').waitFor();
        const chat = await openChat(t, 'Ada');

        await reader.locator('#news').fill('今天放假');
        await reader.getByRole('button', { name: 'Announce' }).click();
        for (const page of [reader, text]) await page.getByText('reader page: 今天放假', { exact: true }).waitFor();
        await text.locator('#news').fill('back on Monday');
        await text.getByRole('button', { name: 'Announce' }).click();
        for (const page of [reader, text]) await page.getByText('text page: back on Monday', { exact: true }).waitFor();

        for (const page of [reader, text]) {
            assert.equal(await page.locator('#board').innerText(),
                '你已连接公告频道\nreader page: 今天放假\ntext page: back on Monday');
        }
        assert.deepEqual(await sees(chat, 'back on Monday'), ['Anonymous', 'back on Monday']);
    });
});
