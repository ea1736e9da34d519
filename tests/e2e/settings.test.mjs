/** The settings of `weft serve` from all their places: flags, variables, a file; what they come to and how a wrong one is told. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { folderOf, weft } from './support/served.mjs';

/** What print-config prints, by name: {value, place, counts: it is no comment}. */
async function printed(t, args = [], options = {}) {
    const [how, stdout, stderr] = await weft(t, ['print-config', ...args], options);
    assert.deepEqual([how, stderr], ['status 0', '']);
    const found = {};
    for (const line of stdout.split('\n').slice(1, -1)) {
        const [, comment, name, value = '', place] = /^(# )?([a-z-]+):(?: (.*?))?  # (.*)$/.exec(line);
        assert.ok(!(name in found), `${name} stands there twice`);
        found[name] = { value, place, counts: !comment };
    }
    return found;
}

/** A file of settings; resolves to what names it. */
const file = (t, text) => path.join(folderOf(t, { 'weft.yaml': text }), 'weft.yaml');

/** The name of a setting as a variable. */
const variableOf = (name) => `WEFT_${name.toUpperCase().replaceAll('-', '_')}`;

/* ------------------------------------------------------------------------------------------------------------- precedence */

function precedence() {
    it('nothing said: the defaults, and where each is from', async (t) => {
        const all = await printed(t);
        assert.deepEqual(all.listen, { value: '["http://127.0.0.1:3000"]', place: 'default', counts: true });
        assert.deepEqual(all.history, { value: '100', place: 'default', counts: true });
        assert.deepEqual(all['history-bytes'], { value: '1M', place: 'default', counts: true });
        assert.deepEqual(all['history-age'], { value: '5m', place: 'default', counts: true });
        assert.deepEqual(all.subscribe, { value: '["*"]', place: 'default', counts: true });
        assert.equal(all['publish-key'].counts, false);
    });
    it('a flag counts before a variable, and a variable before the file', async (t) => {
        const config = file(t, 'history: 1\nmax-topics: 2\nlog: error\n');
        const variables = { WEFT_HISTORY: '10', WEFT_MAX_TOPICS: '20', WEFT_CONFIG: config };
        const all = await printed(t, ['--history', '100'], { variables });
        assert.deepEqual(all.history, { value: '100', place: '--history', counts: true });
        assert.deepEqual(all['max-topics'], { value: '20', place: 'WEFT_MAX_TOPICS', counts: true });
        assert.deepEqual(all.log, { value: 'error', place: `${config}:3`, counts: true });
        assert.deepEqual(all.config, { value: config, place: 'WEFT_CONFIG', counts: false });
    });
    it('--config counts before WEFT_CONFIG', async (t) => {
        const all = await printed(t, ['--config', file(t, 'history: 1')], { variables: { WEFT_CONFIG: '/nowhere' } });
        assert.equal(all.history.value, '1');
    });
    it('a list of a higher place replaces the lower one', async (t) => {
        const config = file(t, 'subscribe: [file/*, "x y, z"]\norigin: [https://a.example, https://b.example]\nhost: c.example\n');
        const variables = { WEFT_ORIGIN: ' https://v.example,https://w.example\n', WEFT_SUBSCRIBE: 'v' };
        const all = await printed(t, ['--config', config, '--subscribe', 'flag/*', '--subscribe=a b,c'], { variables });
        assert.equal(all.subscribe.value, '["flag/*", "a b,c"]');
        assert.equal(all.origin.value, '["https://v.example", "https://w.example"]');
        assert.equal(all.host.value, '["c.example"]');
        assert.equal((await printed(t, ['--config', config])).subscribe.value, '["file/*", "x y, z"]');
    });
    for (const [name, args, variables, text] of [
        ['a flag', ['--subscribe', ''], {}, ''],
        ['a variable', [], { WEFT_SUBSCRIBE: '' }, ''],
        ['a variable of separators', [], { WEFT_SUBSCRIBE: ' , ' }, ''],
        ['a file', [], {}, 'subscribe: []'],
        ['a file, as text', [], {}, "subscribe: ''"],
    ]) {
        it(`an empty list: ${name}`, async (t) => {
            const all = await printed(t, [...args, '--config', file(t, text)], { variables });
            assert.deepEqual([all.subscribe.value, all.subscribe.counts], ['[]', true]);
        });
    }
    it('of a flag that comes twice the last one counts', async (t) => {
        assert.equal((await printed(t, ['--history', '1', '--history=2'])).history.value, '2');
    });
    it('DIR is --files', async (t) => {
        assert.deepEqual((await printed(t, ['public'])).files, { value: '"public"', place: 'DIR', counts: true });
        assert.equal((await printed(t, ['--', '-x'])).files.value, '"-x"');
        assert.equal((await printed(t, ['--files=public'])).files.place, '--files');
        assert.equal((await printed(t, [], { variables: { WEFT_FILES: 'public' } })).files.place, 'WEFT_FILES');
    });
    it('variables of other commands, and those of Kubernetes and Docker, are no settings', async (t) => {
        const variables = {
            WEFT_SERVER: '1', WEFT_SERVICE_HOST: '10.0.0.1', WEFT_SERVICE_PORT: '80', WEFT_SERVICE_PORT_HTTP: '80', WEFT_PORT: 'tcp://10.0.0.1:80',
            WEFT_PORT_80_TCP: 'tcp://10.0.0.1:80', WEFT_PORT_80_TCP_ADDR: '10.0.0.1', WEFT_SERVER_PORT_80_UDP_PROTO: 'udp', WEFT: 'x', WEFTY: 'x',
        };
        assert.equal((await weft(t, ['check-config'], { variables }))[1], 'ok\n');
    });
}

function defaults() {
    const writers = async (t, args) => (await printed(t, args))['client-publish'];
    for (const args of [[], ['3000'], [':3000'], ['localhost:1'], ['http://LOCALHOST'], ['127.1.2.3:1'], ['[::1]:1'], ['unix:/tmp/x'], ['1', '[::1]:1', 'unix:x']]) {
        it(`clients may write everything on ${args.join(' and ') || 'the default'}`, async (t) => {
            const got = await writers(t, args.flatMap((one) => ['--listen', one]));
            assert.deepEqual([got.value, got.counts], ['["*"]', false]);
        });
    }
    for (const args of [['0.0.0.0:1'], ['1', '[::]:1'], ['http://example.com'], ['127.example.com:1'], ['128.0.0.1:1'], ['localhost.example.com:1'], ['0:1']]) {
        it(`clients may write nothing on ${args.join(' and ')}`, async (t) => {
            const got = await writers(t, args.flatMap((one) => ['--listen', one]));
            assert.deepEqual([got.value, got.counts], ['', false]);
        });
    }
    it('a host besides means that others come, by a proxy: clients may write nothing', async (t) => {
        assert.equal((await writers(t, ['--host', 'example.com'])).value, '');
    });
    it('what is said counts everywhere', async (t) => {
        assert.equal((await writers(t, ['--listen', '0.0.0.0:1', '--client-publish', 'chat/*'])).value, '["chat/*"]');
        assert.deepEqual(await writers(t, ['--client-publish', '']), { value: '[]', place: '--client-publish', counts: true });
    });
    it('loops: what the machine has is nothing to write into a file', async (t) => {
        assert.deepEqual((await printed(t)).loops, { value: '', place: 'default: one for each processor', counts: false });
        assert.deepEqual((await printed(t, ['--loops', '64'])).loops, { value: '64', place: '--loops', counts: true });
    });
    it('slow readers: drop-old, and close without history', async (t) => {
        assert.equal((await printed(t)).slow.value, 'drop-old');
        assert.equal((await printed(t, ['--history', '0'])).slow.value, 'close');
        assert.equal((await printed(t, ['--history', '0', '--slow', 'latest'])).slow.value, 'latest');
    });
}

/* --------------------------------------------------------------------------------------------------------------- mistakes */

/** check-config refuses with status 2 and this one line, where FILE stands for the file's name. */
function refuses(name, sentence, { args = [], variables, yaml } = {}) {
    it(name, async (t) => {
        const config = yaml === undefined ? undefined : file(t, yaml);
        const got = await weft(t, ['check-config', ...args, ...(config ? ['--config', config] : [])], { variables });
        assert.deepEqual(got, ['status 2', '', `weft check-config: ${sentence.replace('FILE', config)}\n`]);
    });
}

function unknown() {
    refuses('a flag', 'unknown option "--histroy"; did you mean "--history"?', { args: ['--histroy', '1'] });
    refuses('a flag with a value', 'unknown option "--publishkey"; did you mean "--publish-key"?', { args: ['--publishkey=secret'] });
    refuses('a flag far from any', 'unknown option "--colour"; see weft check-config --help', { args: ['--colour'] });
    refuses('a second folder', 'unknown argument "b"; see weft check-config --help', { args: ['a', 'b'] });
    refuses('a variable', 'unknown variable "WEFT_HISTROY"; did you mean "WEFT_HISTORY"?', { variables: { WEFT_HISTROY: '1' } });
    refuses('a variable far from any', 'unknown variable "WEFT_COLOUR_OF_THE_SKY"; see weft check-config --help', { variables: { WEFT_COLOUR_OF_THE_SKY: 'blue' } });
    refuses('a variable of another command', 'unknown variable "WEFT_SERVERS"; did you mean "WEFT_SERVER"?', { variables: { WEFT_SERVERS: '1' } });
    refuses('a port as a variable', 'unknown variable "WEFT_PORT"; did you mean "WEFT_HOST"?', { variables: { WEFT_PORT: '3000' } });
    refuses('in a file', 'FILE:3: unknown setting "histroy"; did you mean "history"?', { yaml: '# mine\n\nhistroy: 1\n' });
    refuses('in a file, far from any', 'FILE:1: unknown setting "colour"; see weft check-config --help', { yaml: 'colour: blue' });
    refuses('help in a file', 'FILE:1: unknown setting "help"; see weft check-config --help', { yaml: 'help: me' });
}

/** A value that each place refuses in its own words. */
function wrongEverywhere(name, value, problem) {
    const shown = name === 'publish-key' ? '' : ` "${value}"`;
    refuses(`--${name} "${value}"`, `--${name}${shown} ${problem}`, { args: [`--${name}=${value}`] });
    refuses(`${variableOf(name)}="${value}"`, `${variableOf(name)}${shown} ${problem}`, { variables: { [variableOf(name)]: value } });
    refuses(`${name}: "${value}"`, `FILE:2: ${name}${shown} ${problem}`, { yaml: `---\n${name}: ${JSON.stringify(value)}\n` });
}

const wrongValues = {
    'listen': [['https://', 'https://a:1/b', 'http://', 'a', '70000', '::1:80', '[::1', 'http://a/b', 'ftp://a:1', '-1', 'unix:', '*:80'], 'is not http://HOST:PORT, https://HOST:PORT, HOST:PORT, PORT or unix:PATH'],
    'host': [['a:80', 'http://a'], "is not a host's name without a port, or *"],
    'trusted-proxy': [['example.com', '10.0.0.1/8', '10.0.0.0/33', '10.0.0.0/', '[::1]', '::1/129', '2001:db8::1/32', '10.0.0.0/+8', '10.0.0.0/8 ', '1.2.3', 'Unix'], 'is not an address, a network such as 10.0.0.0/8, or unix'],
    'admin': [['https://a:1/b', 'a', '70000', 'http://a/metrics', 'unix:', ''], 'is not http://HOST:PORT, https://HOST:PORT, HOST:PORT, PORT or unix:PATH'],
    'origin': [['example.com', 'https://', 'https://a/', 'https://*', 'null'], 'is not an origin: https://HOST, https://HOST:PORT, https://*.HOST or *'],
    'publish-key': [['', 'schlüssel', 'k'.repeat(1025)], 'is not a key: 1 to 1024 characters of ASCII without spaces'],
    'subscribe': [['x'.repeat(256)], 'is not a pattern of topics: 1 to 255 bytes of UTF-8 without control characters, where * stands for any'],
    'history': [['', 'x', '-1', '1.5', '1000001', '1k', '9'.repeat(30)], 'is not a number from 0 to 1000000'],
    'history-bytes': [['0', '1T', 'M', '1025G', '18446744073709551615G'], 'is not a size from 1 to 1024G, as 65536, 64k or 1M'],
    'history-age': [['0', '41d', '5 m', 'm', 'ever'], 'is not an age up to 40d, as 300, 90s, 5m, 2h or 1d, or never'],
    'slow': [['drop', 'CLOSE'], 'is not close, drop-old, drop-new or latest'],
    'max-message': [['0', '2G'], 'is not a size from 1 to 1G, as 65536, 64k or 1M'],
    'max-messages-per-s': [['-1', '1000000001', '1k'], 'is not a number from 0 to 1000000000'],
    'max-bytes-per-s': [['-1', '1025G'], 'is not a size from 0 to 1024G, as 65536, 64k or 1M'],
    'max-address-connections': [['0', 'x'], 'is not a number from 1 to 100000000'],
    'max-address-connects-per-s': [['0', '-1'], 'is not a number from 1 to 100000000'],
    'head-timeout': [['0', '2d', 'soon', '-1'], 'is not a time from 1ms to 1d, as 5, 500ms, 30s or 2m'],
    'idle-timeout': [['0', '0s', 'never'], 'is not a time from 1ms to 1d, as 5, 500ms, 30s or 2m'],
    'min-body-bytes-per-s': [['0', '1025G', '1s'], 'is not a size from 1 to 1024G, as 65536, 64k or 1M'],
    'write-timeout': [['0', '25h'], 'is not a time from 1ms to 1d, as 5, 500ms, 30s or 2m'],
    'drain': [['2d', 'soon'], 'is not a time up to 1d, as 5, 500ms, 30s or 2m'],
    'loops': [['65', '0', 'all'], 'is not a number from 1 to 64'],
    'log': [['loud'], 'is not off, error, warning, info or debug'],
};

function wrong() {
    for (const [name, [values, problem]] of Object.entries(wrongValues)) {
        const one = values.find((value) => value && !/[\s,]/.test(value));
        wrongEverywhere(name, one, problem);
        const shown = (value) => (name === 'publish-key' ? '' : ` "${value}"`);
        for (const value of values) refuses(`--${name} "${value}" alone`, `--${name}${shown(value)} ${problem}`, { args: [`--${name}`, value] });
    }
    refuses('a value that would not count', 'WEFT_HISTORY "x" is not a number from 0 to 1000000', { args: ['--history', '1'], variables: { WEFT_HISTORY: 'x' } });
    refuses('no value', '--drain needs a value: --drain TIME', { args: ['--drain'] });
    refuses('no address', '--listen needs a value', { args: ['--listen', ''] });
    refuses('a list with a wrong one', 'WEFT_LISTEN "x" is not http://HOST:PORT, https://HOST:PORT, HOST:PORT, PORT or unix:PATH', { variables: { WEFT_LISTEN: '1 x' } });
}

function yaml() {
    const star = '; a value that begins with * stands in quotes: "*"';
    refuses('a star without quotes', `FILE:1: did not find expected alphabetic or numeric character${star}`, { yaml: 'subscribe: *' });
    refuses('a pattern without quotes', `FILE:1: subscribe is to be a value or a list${star}`, { yaml: 'subscribe: *a' });
    refuses('twice', 'FILE:2: history stands here for the second time', { yaml: 'history: 1\nhistory: 1' });
    refuses('a list for one value', 'FILE:1: history is to be one value', { yaml: 'history: [1]' });
    refuses('settings in a setting', 'FILE:1: origin is to be a value or a list', { yaml: 'origin: {a: b}' });
    refuses('a list in a list', 'FILE:2: origin holds more than a list of values', { yaml: 'origin:\n  - [a]\n' });
    refuses('no value', 'FILE:1: history has no value', { yaml: 'history:\n' });
    refuses('null', 'FILE:2: origin has no value', { yaml: 'origin:\n  - ~\n' });
    refuses('an empty member', 'FILE:1: origin "" is not an origin: https://HOST, https://HOST:PORT, https://*.HOST or *', { yaml: 'origin: [""]' });
    refuses('no addresses', 'FILE:1: listen needs a value', { yaml: 'listen: []' });
    refuses('a file in a file', 'FILE:1: config cannot stand in a file itself', { yaml: 'config: other.yaml' });
    refuses('a list', 'FILE:1: settings are written as "name: value"', { yaml: '- history' });
    refuses('text', 'FILE:1: settings are written as "name: value"', { yaml: 'history' });
    refuses('a second document', 'FILE:2: a second document; settings are one', { yaml: 'history: 1\n---\nhistory: 2' });
    refuses('a name that is none', 'FILE:1: here stands no name of a setting', { yaml: '? [history]\n: 1' });
    refuses('a NUL', 'FILE:1: files holds a NUL', { yaml: 'files: "a\\0b"' });
    refuses('too large', '--config "FILE": is larger than 1 MiB', { yaml: '#'.repeat(1 << 20) + '\n' });
    refuses('not there', '--config "/nowhere/weft.yaml": No such file or directory', { args: ['--config', '/nowhere/weft.yaml'] });
    refuses('not there, by a variable', 'WEFT_CONFIG "/nowhere": No such file or directory', { variables: { WEFT_CONFIG: '/nowhere' } });
    it('is not YAML', async (t) => {
        const config = file(t, 'history: 1\n\tlog: "\n');
        const [how, , stderr] = await weft(t, ['check-config', '--config', config]);
        assert.equal(how, 'status 2');
        assert.match(stderr, /^weft check-config: \S+\/weft\.yaml:[23]: [^\n]+\n$/);
    });
    for (const [name, text] of [['empty', ''], ['only comments', '# nothing\n'], ['an empty document', '---\n'], ['null', '~\n'], ['no settings', '{}']]) {
        it(`nothing said: ${name}`, async (t) => {
            assert.deepEqual(await weft(t, ['check-config', '--config', file(t, text)]), ['status 0', 'ok\n', '']);
        });
    }
    it('as people write it', async (t) => {
        const text = "%YAML 1.1\n---\nlisten:\n  - 8080   # mine\n  - 'unix:/run/weft sock'\nsubscribe: [\"*\"]\nhistory-age: 2h\nlog: off\n...\n";
        const all = await printed(t, ['--config', file(t, text)]);
        assert.deepEqual([all.listen.value, all['history-age'].value, all.log.value], ['["8080", "unix:/run/weft sock"]', '2h', 'off']);
    });
}

/* -------------------------------------------------------------------------------------------------------------- round trip */

const FULL = [
    '--files', 'a "b" \\ ü', '--listen=0.0.0.0:8080', '--listen', 'unix:/tmp/a b', '--host', 'a.example', '--trusted-proxy', '10.0.0.0/8', '--trusted-proxy=unix', '--admin', 'unix:/tmp/a b', '--origin', '*', '--subscribe', 'x/*', '--subscribe', '你好 "q"',
    '--client-publish', '*', '--presence=p/*', '--history=7', '--history-bytes=64k', '--history-age=never', '--slow=latest', '--max-message=2m', '--max-topics=5', '--max-messages-per-s=9', '--max-bytes-per-s=1k', '--max-address-connections=7', '--max-address-connects-per-s=8', '--head-timeout=5s', '--idle-timeout', '2m', '--min-body-bytes-per-s=2k', '--write-timeout=500ms', '--deflate=on',
    '--drain=500ms', '--loops=1', '--log=debug',
];

const valuesOf = (all) => Object.fromEntries(Object.entries(all).filter(([name]) => name !== 'config').map(([name, { value }]) => [name, value]));

function roundTrip() {
    for (const [name, args] of [['the defaults', []], ['everything', FULL], ['empty lists', ['--subscribe', '', '--client-publish=']]]) {
        it(`print-config as a file comes to the same: ${name}`, async (t) => {
            const [, text] = await weft(t, ['print-config', ...args]);
            const [, again] = await weft(t, ['print-config', '--config', file(t, text)]);
            assert.deepEqual(valuesOf(await printed(t, args)), valuesOf(await printed(t, ['--config', file(t, text)])));
            assert.equal(again.split('\n').length, text.split('\n').length);
        });
    }
    it('what depends on other settings does not become fast in a file', async (t) => {
        const [, text] = await weft(t, ['print-config']);
        const all = await printed(t, ['--config', file(t, text), '--listen', '0.0.0.0:1']);
        assert.equal(all['client-publish'].value, '', 'a file from one machine opens nothing on another');
    });
}

/* -------------------------------------------------------------------------------------------------------------- the key */

const KEY = 'a-key-that-nobody-may-see';

function key() {
    for (const [name, args, variables] of [['a flag', ['--publish-key', KEY], {}], ['a variable', [], { WEFT_PUBLISH_KEY: KEY }]]) {
        it(`is never printed: ${name}`, async (t) => {
            const [, text] = await weft(t, ['print-config', ...args], { variables });
            assert.ok(!text.includes(KEY));
            assert.match(text, /^# publish-key: \(set, and not shown\)  # (--publish-key|WEFT_PUBLISH_KEY)$/m);
            assert.deepEqual(await weft(t, ['check-config', '--config', file(t, text)]), ['status 0', 'ok\n', '']);
        });
    }
    it('is not printed when it is wrong', async (t) => {
        for (const [args, yamlText] of [[['--publish-key', 'wrong key']], [[], 'publish-key: wrong key']]) {
            const [how, stdout, stderr] = await weft(t, ['check-config', ...args, ...(yamlText ? ['--config', file(t, yamlText)] : [])]);
            assert.equal(how, 'status 2');
            assert.ok(!`${stdout}${stderr}`.includes('wrong key'), stderr);
        }
    });
    it('from a file', async (t) => {
        const folder = folderOf(t, { good: `${KEY}\n`, crlf: `${KEY}\r\n`, none: '', two: 'a\nb\n' });
        const check = (name, ...more) => weft(t, ['check-config', '--publish-key-file', path.join(folder, name), ...more]);
        for (const name of ['good', 'crlf']) assert.deepEqual(await check(name), ['status 0', 'ok\n', '']);
        for (const name of ['none', 'two']) {
            const problem = `--publish-key-file "${folder}/${name}" holds no key: one line of 1 to 1024 characters of ASCII without spaces`;
            assert.deepEqual(await check(name), ['status 2', '', `weft check-config: ${problem}\n`]);
        }
        writeFileSync(path.join(folder, 'weft.yaml'), 'log: off\npublish-key-file: /nowhere\n');
        const config = path.join(folder, 'weft.yaml');
        const sentence = `weft check-config: ${config}:2: publish-key-file "/nowhere" cannot be read: No such file or directory\n`;
        assert.deepEqual(await weft(t, ['check-config', '--config', config]), ['status 2', '', sentence]);
        assert.equal((await check('good', '--config', config))[1], 'ok\n', 'a flag counts before the file');
        assert.equal((await weft(t, ['check-config', '--config', config, '--publish-key', KEY]))[1], 'ok\n', 'so does the key itself');
    });
    refuses('said twice in one place', '--publish-key and --publish-key-file both say the key; one of them is enough', {
        args: ['--publish-key', KEY, '--publish-key-file', '/dev/null'],
    });
}

describe('settings', () => {
    describe('precedence', { concurrency: 2 }, precedence);
    describe('defaults', { concurrency: 2 }, defaults);
    describe('unknown', { concurrency: 2 }, unknown);
    describe('wrong', { concurrency: 2 }, wrong);
    describe('yaml', { concurrency: 2 }, yaml);
    describe('round trip', { concurrency: 2 }, roundTrip);
    describe('key', { concurrency: 2 }, key);
});
