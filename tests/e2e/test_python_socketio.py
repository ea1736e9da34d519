"""Python's socketio (Debian's python3-socketio) against `weft-conformance`: run by tests/support/tap.py, or by itself.

Its two clients: the one that blocks, on requests and websocket-client, and the one of asyncio, on aiohttp.
"""
import asyncio
import functools
import logging
import os
import queue
import re
import subprocess
import threading
import unittest

import socketio

READY_DEADLINE_S = 20
STOP_DEADLINE_S = 20
TALK_DEADLINE_S = 20
REPORT = re.compile(r'AddressSanitizer|LeakSanitizer|MemorySanitizer|ThreadSanitizer|UndefinedBehavior|runtime error:')
TRANSPORTS = [['polling'], ['websocket'], ['polling', 'websocket']]
TEXTS = ['てすと', 'Я Б Г Д Ж Й', 'Ä ä Ü ü ß', 'utf8 — string', 'utf8 — string']
VALUES = [0, -0.5, 'text', '', 'пойду €😀', True, [], {}, {'a': [1, {'b': []}]}, 'x' * 100_000]
BINARY = [b'asdfasdf', bytes(range(256)), b'weft' * 50_000, {'a': [b'one', {'b': b'two'}], 'c': 'text'}]


def by_each_transport(case):
    """Makes a test for each transport of each method that takes one."""
    for name, act in list(vars(case).items()):
        if name.startswith('by_transport_'):
            for transports in TRANSPORTS:
                test = functools.partialmethod(act, transports)
                setattr(case, f'test_{name.removeprefix("by_transport_")}_by_{"_and_".join(transports)}', test)
    return case


class Server:
    """A conformance server, on a free port unless it is told which; stop() demands status 0 and no sanitizer's report."""

    def __init__(self, name, port='0'):
        binary = os.environ.get('WEFT_CONFORMANCE')
        if not binary:
            raise RuntimeError('WEFT_CONFORMANCE must name the conformance server, as build/test/weft-conformance')
        self.process = subprocess.Popen([binary, name, '--port', port], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.lines = queue.Queue()
        self.errors = []
        self.readers = [
            self.read(self.process.stdout, self.lines.put), self.read(self.process.stderr, self.errors.append),
        ]
        try:
            line = self.lines.get(timeout=READY_DEADLINE_S)
            match = re.match(r'ready (\S+)', line)
            if not match:
                raise RuntimeError(f'no ready line but {line!r}; it said: {"".join(self.errors)}')
            self.url = match[1]
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


class Served(unittest.TestCase):
    """A server for each class; `name` says which."""

    name = None

    @classmethod
    def setUpClass(cls):
        cls.server = Server(cls.name)

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def client(self, **options):
        client = socketio.Client(**options)
        self.addCleanup(client.disconnect)
        return client

    def connected(self, transports, namespaces=('/',), **options):
        client = self.client()
        client.connect(self.server.url, transports=transports, namespaces=list(namespaces), wait_timeout=TALK_DEADLINE_S, **options)
        return client

    @staticmethod
    def heard(client, name, namespace='/'):
        """A queue of what the event brings from now on, always as a tuple."""
        events = queue.Queue()
        client.on(name, lambda *args: events.put(args), namespace=namespace)
        return events

    @staticmethod
    def take(events):
        return events.get(timeout=TALK_DEADLINE_S)

    def event(self, events):
        """What an event brought, but for the offset that recovery puts behind it."""
        *args, offset = self.take(events)
        self.assertIsInstance(offset, str)
        return args


@by_each_transport
class ClientTest(Served):
    name = 'socketio-client'

    def by_transport_connects_and_knows_its_id(self, transports):
        client = self.connected(transports)
        self.assertEqual(client.call('getId', timeout=TALK_DEADLINE_S), client.get_sid())
        self.assertEqual(client.transport(), transports[-1])

    def by_transport_events_there_and_back(self, transports):
        client = self.connected(transports)
        events = self.heard(client, 'hi')
        client.emit('hi')
        self.assertEqual(self.event(events), [])
        events = self.heard(client, 'false')
        client.emit('false')
        self.assertEqual(self.event(events), [False])

    def by_transport_any_json(self, transports):
        client = self.connected(transports)
        for value in VALUES:
            self.assertEqual(client.call('echo', value, timeout=TALK_DEADLINE_S), value)

    def by_transport_binary(self, transports):
        client = self.connected(transports)
        for value in BINARY:
            self.assertEqual(client.call('echo', value, timeout=TALK_DEADLINE_S), value)
        events = self.heard(client, 'doge')
        client.emit('doge')
        self.assertEqual(self.event(events), [b'asdfasdf'])
        events = self.heard(client, 'jsonbuff-ack')
        client.emit('jsonbuff', {'hello': 'lol', 'message': b'howdy', 'goodbye': 'gotcha'})
        self.assertEqual(self.event(events), [])

    def by_transport_texts_in_order(self, transports):
        client = self.connected(transports)
        events = self.heard(client, 'takeUtf8')
        client.emit('getUtf8')
        self.assertEqual([self.event(events) for _ in TEXTS], [[text] for text in TEXTS])

    def by_transport_acknowledges_what_the_server_asks(self, transports):
        client = self.connected(transports)
        events = self.heard(client, 'got it')
        client.on('ack', lambda: (5, {'test': True}))
        client.emit('ack')
        self.assertEqual(self.event(events), [])

    def by_transport_acknowledgements_in_order(self, transports):
        client = self.connected(transports)
        answers = queue.Queue()
        for i in range(200):
            client.emit('echo', i, callback=answers.put)
            if i % 10 == 9:  # this client takes no more than 16 packets in a payload
                self.assertEqual([self.take(answers) for _ in range(10)], list(range(i - 9, i + 1)))

    def by_transport_namespaces(self, transports):
        client = self.connected(transports, ['/', '/foo', '/asd'])
        self.assertEqual(client.call('getId', namespace='/foo', timeout=TALK_DEADLINE_S), client.get_sid('/foo'))
        self.assertEqual(client.call('getId', timeout=TALK_DEADLINE_S), client.get_sid('/'))
        self.assertNotEqual(client.get_sid('/foo'), client.get_sid('/'))

    def by_transport_refusals(self, transports):
        for namespace, message in [('/no', 'Auth failed (custom namespace)'), ('/nowhere', 'Invalid namespace')]:
            client = self.client()
            errors = self.heard(client, 'connect_error', namespace)
            client.connect(self.server.url, transports=transports, namespaces=[namespace], wait=False)
            self.assertEqual(self.take(errors), ({'message': message},))

    def by_transport_authorises_itself(self, transports):
        client = self.connected(transports, auth={'token': 'abc'}, headers={'X-Custom': 'my token'})
        handshake = client.call('getHandshake', timeout=TALK_DEADLINE_S)
        self.assertEqual(handshake['auth'], {'token': 'abc'})
        self.assertEqual(handshake['headers']['x-custom'], 'my token')

    def by_transport_disconnects(self, transports):
        client = self.connected(transports)
        gone = self.heard(client, 'disconnect')
        client.disconnect()
        self.take(gone)
        self.assertFalse(client.connected)

    def by_transport_outlives_a_heartbeat(self, transports):
        client = self.connected(transports)
        gone = self.heard(client, 'disconnect')
        with self.assertRaises(queue.Empty):
            gone.get(timeout=3)
        self.assertEqual(client.call('echo', 1, timeout=TALK_DEADLINE_S), 1)

    def by_transport_comes_back_to_a_server_that_was_started_again(self, transports):
        first = Server('socketio-client')
        self.addCleanup(first.kill)
        client = self.client(reconnection_delay=0.05, reconnection_delay_max=0.2)
        gone, back = self.heard(client, 'disconnect'), self.heard(client, 'connect')
        client.connect(first.url, transports=transports, wait_timeout=TALK_DEADLINE_S)
        self.take(back)
        first.kill()  # one that stops says so to whoever polls, and this client takes that for good
        self.take(gone)
        second = Server('socketio-client', first.url.rpartition(':')[2])
        self.addCleanup(second.kill)
        self.take(back)
        self.assertEqual(client.call('echo', 'again', timeout=TALK_DEADLINE_S), 'again')
        client.disconnect()
        second.stop()


@by_each_transport
class EchoTest(Served):
    name = 'socketio'

    def by_transport_greets_with_what_the_client_brought(self, transports):
        for auth in [None, {'token': 'abc'}]:
            client = self.client()
            greetings = self.heard(client, 'auth')
            client.connect(self.server.url, transports=transports, auth=auth, wait_timeout=TALK_DEADLINE_S)
            self.assertEqual(self.take(greetings), (auth or {},))

    def by_transport_echoes_many_arguments(self, transports):
        client = self.connected(transports)
        events = self.heard(client, 'message-back')
        args = (1, '2', {'3': [True, b'four']}, b'five', None)
        client.emit('message', args)
        self.assertEqual(self.take(events), args)
        self.assertEqual(client.call('message-with-ack', args, timeout=TALK_DEADLINE_S), args)


@by_each_transport
class AsyncTest(unittest.IsolatedAsyncioTestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server('socketio-client')

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    async def asyncSetUp(self):
        asyncio.get_running_loop().set_debug(False)
        logging.getLogger('asyncio').setLevel(logging.CRITICAL)  # the client leaves sessions of aiohttp open

    @staticmethod
    async def leave(client):
        await client.disconnect()
        await client.eio.http.close()

    async def connected(self, transports):
        client = socketio.AsyncClient()
        self.addAsyncCleanup(self.leave, client)
        await client.connect(self.server.url, transports=transports, wait_timeout=TALK_DEADLINE_S)
        return client

    async def by_transport_echoes(self, transports):
        client = await self.connected(transports)
        for value in [*VALUES, *BINARY]:
            self.assertEqual(await client.call('echo', value, timeout=TALK_DEADLINE_S), value)

    async def by_transport_fifty_at_once(self, transports):
        clients = await asyncio.gather(*(self.connected(transports) for _ in range(50)))
        ids = await asyncio.gather(*(client.call('getId', timeout=TALK_DEADLINE_S) for client in clients))
        self.assertEqual(ids, [client.get_sid() for client in clients])
        self.assertEqual(len(set(ids)), 50)


if __name__ == '__main__':
    unittest.main()
