"""Python's websockets (Debian's python3-websockets) against `weft-conformance ws`: run by tests/support/tap.py, or by itself."""
import asyncio
import contextlib
import itertools
import os
import queue
import re
import subprocess
import sys
import threading
import unittest

import websockets
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

READY_DEADLINE_S = 20
STOP_DEADLINE_S = 20
TALK_DEADLINE_S = 30
MAX_SIZE = 64 << 20
REPORT = re.compile(r'AddressSanitizer|LeakSanitizer|MemorySanitizer|ThreadSanitizer|UndefinedBehavior|runtime error:')


class Server:
    """A conformance server on a free port; stop() demands status 0 and no sanitizer's report."""

    def __init__(self, name):
        binary = os.environ.get('WEFT_CONFORMANCE')
        if not binary:
            raise RuntimeError('WEFT_CONFORMANCE must name the conformance server, as build/test/weft-conformance')
        self.process = subprocess.Popen([binary, name, '--port', '0'], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.lines = queue.Queue()
        self.errors = []
        self.readers = [self.read(self.process.stdout, self.lines.put), self.read(self.process.stderr, self.errors.append)]
        try:
            self.url = self.wait_until_ready()
        except BaseException:
            self.kill()
            raise

    @staticmethod
    def read(stream, put):
        def run():
            with stream:
                for line in stream:
                    put(line)
            put('')

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def wait_until_ready(self):
        line = self.lines.get(timeout=READY_DEADLINE_S)
        match = re.match(r'ready (\S+)', line)
        if not match:
            raise RuntimeError(f'no ready line but {line!r}; it said: {"".join(self.errors)}')
        return match[1]

    def stop(self):
        died = self.process.poll()
        try:
            self.process.terminate()
            status = self.process.wait(STOP_DEADLINE_S)
        finally:
            self.kill()
        said = ''.join(self.errors)
        if died is not None or status != 0 or REPORT.search(said):
            raise RuntimeError(f'the server {"died" if died is not None else "ended"} with status {status}; it said: {said}')

    def kill(self):
        self.process.kill()
        self.process.wait()
        for reader in self.readers:
            reader.join(STOP_DEADLINE_S)


def connect(**options):
    return websockets.connect(EchoTest.server.url + '/chat', max_size=MAX_SIZE, ping_interval=None, **options)


async def pieces(parts):
    for part in parts:
        yield part


class EchoTest(unittest.IsolatedAsyncioTestCase):
    server = None

    @classmethod
    def setUpClass(cls):
        cls.server = Server('ws')

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    async def asyncSetUp(self):
        asyncio.get_running_loop().set_debug(False)

    async def echo(self, ws, message, answer=None):
        await ws.send(message)
        got = await self.soon(ws.recv())
        self.assertTrue(got == (message if answer is None else answer), f'the echo differs: {got[:80]!r}')

    async def soon(self, awaitable):
        return await asyncio.wait_for(awaitable, TALK_DEADLINE_S)

    async def assert_closed(self, ws, code):
        await self.soon(ws.wait_closed())
        self.assertEqual(ws.close_code, code)

    async def test_text(self):
        async with connect() as ws:
            for text in ['', 'Hello', 'aé€😀', 'nul \0 inside', 'x' * 125, 'x' * 126, 'é' * 40_000]:
                await self.echo(ws, text)

    async def test_binary(self):
        async with connect() as ws:
            for size in [0, 1, 125, 126, 65535, 65536]:
                await self.echo(ws, os.urandom(size))

    async def test_large(self):
        async with connect() as ws:
            await self.echo(ws, os.urandom(1 << 20))
            await self.echo(ws, 'aé€😀-Δ' * (1 << 20))
            await self.echo(ws, bytes(range(256)) * (1 << 16))

    async def test_messages_keep_their_order_and_kind(self):
        async with connect() as ws:
            sent = [f'message {i}' if i % 3 else b'message %d' % i for i in range(300)]
            for message in sent:
                await ws.send(message)
            self.assertEqual([await self.soon(ws.recv()) for _ in sent], sent)

    async def test_fragmented_text(self):
        async with connect() as ws:
            await self.echo(ws, pieces(['one ', 'two ', '', 'drei é€😀']), 'one two drei é€😀')
            await self.echo(ws, ['a', 'b', 'c'], 'abc')

    async def test_fragmented_binary(self):
        parts = [os.urandom(i * 37) for i in range(200)]
        async with connect() as ws:
            await self.echo(ws, pieces(parts), b''.join(parts))

    async def test_fragments_with_pings_between(self):
        async def with_pings(ws):
            for i in range(20):
                pongs.append(await ws.ping(b'between %d' % i))
                yield f'{i},'

        pongs = []
        async with connect() as ws:
            await self.echo(ws, with_pings(ws), ''.join(f'{i},' for i in range(20)))
            await self.soon(asyncio.gather(*pongs))

    async def test_ping(self):
        async with connect() as ws:
            for payload in [b'', b'x', b'\xff' * 125]:
                await self.soon(await ws.ping(payload))

    async def test_pings_at_once(self):
        async with connect() as ws:
            await self.soon(asyncio.gather(*[await ws.ping() for _ in range(50)]))

    async def test_unsolicited_pong(self):
        async with connect() as ws:
            await ws.pong(b'unasked')
            await self.echo(ws, 'fine')

    async def test_keepalive(self):
        async with websockets.connect(self.server.url, ping_interval=0.05, ping_timeout=TALK_DEADLINE_S) as ws:
            await self.soon(self.measured(ws))
            await self.echo(ws, 'still here')

    @staticmethod
    async def measured(ws):
        while ws.latency == 0:
            await asyncio.sleep(0.01)

    async def test_our_close_codes(self):
        for code in [1000, 1001, 1003, 1008, 1011, 3000, 4000, 4999]:
            ws = await connect()
            await self.soon(ws.close(code, 'bye'))
            await self.assert_closed(ws, code)

    async def test_close_comes_behind_the_echoes(self):
        ws = await connect()
        for i in range(50):
            await ws.send(f'{i}')
        closing = asyncio.ensure_future(ws.close())
        with contextlib.suppress(websockets.ConnectionClosed):
            for i in range(50):
                self.assertEqual(await self.soon(ws.recv()), f'{i}')
        await self.soon(closing)
        self.assertEqual(ws.close_code, 1000)

    async def test_its_close_codes(self):
        violations = {
            1002: b'\x83\x80\0\0\0\0',
            1007: b'\x81\x81\0\0\0\0\xff',
            1009: b'\x82\xff\0\0\x01\0\0\0\0\0\0\0\0\0',
        }
        for code, frame in violations.items():
            ws = await connect()
            ws.transport.write(frame)
            await self.assert_closed(ws, code)

    async def test_abandoned_connection(self):
        ws = await connect()
        await ws.send('unread')
        ws.transport.abort()
        async with connect() as other:
            await self.echo(other, 'still served')

    async def test_compression(self):
        for server_bits in (None, 9, 12, 15):
            for client_bits in (None, True, 9, 15):
                for contexts in itertools.product((False, True), repeat=2):
                    factory = ClientPerMessageDeflateFactory(*contexts, server_bits, client_bits)
                    with self.subTest(server_bits=server_bits, client_bits=client_bits, contexts=contexts):
                        async with connect(compression=None, extensions=[factory]) as ws:
                            self.assertEqual([each.name for each in ws.extensions], ['permessage-deflate'])
                            self.assertTrue(ws.extensions[0].remote_no_context_takeover)
                            for n in (0, 1, 63, 64, 600, 5000, 70000):
                                await self.echo(ws, 'weft und warp ✓ ' * (n // 16) + 'x' * (n % 16))
                                await self.echo(ws, bytes(i * i % 251 for i in range(n)))
                                await self.echo(ws, os.urandom(n))

    async def test_compression_by_default(self):
        async with connect(compression='deflate') as ws:
            self.assertEqual([each.name for each in ws.extensions], ['permessage-deflate'])
            for _ in range(20):
                await self.echo(ws, 'the same again, and longer than what goes as it is: ' * 20)

    async def test_unknown_subprotocol(self):
        async with connect(subprotocols=['chat', 'superchat']) as ws:
            self.assertIsNone(ws.subprotocol)
            await self.echo(ws, 'fine')

    async def test_twenty_clients(self):
        async def talk(i):
            async with connect() as ws:
                for n in range(50):
                    await self.echo(ws, f'client {i} message {n}')
                    await self.echo(ws, bytes([i]) * (n * 100))

        await self.soon(asyncio.gather(*map(talk, range(20))))


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1], verbosity=2)
