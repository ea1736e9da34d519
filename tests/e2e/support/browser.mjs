/**
 * Debian's Chromium, driven by playwright-core. Every page has a context (cookies, storage) of its own and remembers what a
 * person with the developer tools open would see go wrong.
 */
import { chromium } from 'playwright-core';

const LAUNCH_DEADLINE_MS = 30_000;
const PAGE_DEADLINE_MS = 20_000; /* for each step: click, wait, navigation */

const ARGUMENTS = [
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync',
];

/** A browser with an empty profile, which goes when it is closed. */
export function launchBrowser(further = []) {
    return chromium.launch({
        executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
        args: [...ARGUMENTS, ...further],
        timeout: LAUNCH_DEADLINE_MS,
    });
}

/**
 * A page of the test `t`, closed at its end. What appears in `page.problems` by then fails the test: errors and warnings on the
 * console, exceptions, requests that failed. `page.tolerate(pattern)` forgives the ones to come that match.
 * `options` are those of a Playwright context; `options.prepare(page)` runs before the page is opened.
 */
export async function openPage(t, browser, url, { prepare, ...options } = {}) {
    const context = await browser.newContext(options);
    t.after(() => context.close());
    const page = await context.newPage();
    page.setDefaultTimeout(PAGE_DEADLINE_MS);
    watch(page);
    t.after(() => {
        if (page.problems.length) throw new Error(`${url} complained:\n${page.problems.join('\n')}`);
    });
    await prepare?.(page);
    await page.goto(url);
    return page;
}

function watch(page) {
    let tolerated = /^(?!)/;
    const complain = (problem) => {
        if (!tolerated.test(problem)) page.problems.push(problem);
    };
    page.problems = [];
    page.requested = [];
    page.tolerate = (pattern) => (tolerated = pattern);
    page.on('console', (message) => {
        if (['error', 'warning', 'assert'].includes(message.type())) complain(message.text());
    });
    page.on('pageerror', (error) => complain(String(error)));
    page.on('request', (request) => page.requested.push(request.url()));
    page.on('requestfailed', (request) => complain(`${request.url()}: ${request.failure()?.errorText}`));
    page.on('response', (response) => {
        if (response.status() >= 400) complain(`${response.url()}: status ${response.status()}`);
    });
}
