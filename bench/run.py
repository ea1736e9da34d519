#!/usr/bin/python3
"""Measures Weft beside a raw TCP echo, npm's `ws` and nginx with Nchan: ./dev bench [options]

The unit is messages per server-CPU-second: what the server did divided by the CPU time of its process, which holds where
the generator is the bottleneck. Servers run one at a time on the first core, the generator on the second. As a machine's
speed drifts within minutes, two servers are measured in alternating rounds, and the ratio is the median of the rounds' own.
"""
import argparse
import collections
import os
import re
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = CORES[0], CORES[-1] if len(CORES) < 3 else CORES[1]

# What is measured, beside what, and what must be reached: the ratio, or a figure of our own. `unit` is of that figure.
Regime = collections.namedtuple('Regime', 'name load beside ratio figure unit note')


def regime(name, load, beside, ratio=None, figure=None, unit='', note=''):
    return Regime(name, load.split(), beside, ratio, figure, unit, note)


REGIMES = [
    regime('echo 100 x 20 B, depth 1', 'echo -c 100 -s 20 -d 1', 'raw', 0.97),
    regime('echo 100 x 20 B, depth 16', 'echo -c 100 -s 20 -d 16', 'raw', 0.95),
    regime('echo 1000 x 1 KiB', 'echo -c 1000 -s 1024', 'raw', 0.96),
    regime('echo 100 x 16 KiB', 'echo -c 100 -s 16384', 'raw', 0.94),
    regime('echo 10 x 1 MiB', 'echo -c 10 -s 1048576', 'raw', 0.85),
    regime('TLS echo 100 x 20 B, depth 1', 'echo -c 100 -s 20 -d 1 --tls', 'tls', 0.95, note='beside bare OpenSSL'),
    regime('TLS echo 100 x 20 B, depth 16', 'echo -c 100 -s 20 -d 16 --tls', 'tls', 0.95, note='beside bare OpenSSL'),
    regime('broadcast 1 -> 1000, window 1', 'broadcast -c 1000 -s 100 --window 1', 'ws', None, 291e3, '/cpu-s',
           'uWebSockets where the target was set'),
    regime('broadcast 1 -> 1000, window 1 / raw', 'broadcast -c 1000 -s 100 --window 1', 'push', 0.95, note='beside one send a subscriber'),
    regime('broadcast 1 -> 1000, window 16', 'broadcast -c 1000 -s 100 --window 16', 'ws', 1 / 0.06, None, '',
           'uWebSockets is 1 / 0.06 of ws'),
]
# Without contexts, beside a context for each connection at zlib's default level in the same server.
REGIMES += [regime(f'deflate echo 100 x {size}', f'echo -c 100 -s {n} --deflate', 'context', ratio, note='JSON')
            for size, n, ratio in (('1 KiB', 1024, 1.2), ('16 KiB', 16384, 1.2))]

# One topic, one publisher that POSTs, 1000 subscribers on a transport. `weft-ws` is our own WebSocket fan-out.
FANOUT = '-c 1000 -s 100'
for _name, _via, _beside, _ratio, _flags in (
        ('WebSocket', 'ws', 'nchan', 1.0, '--window 1'),
        ('SSE', 'sse', 'nchan', 1.3, '--window 1'),
        ('SSE', 'sse', 'weft-ws', 0.9, '--window 1'),
        ('stream', 'stream', 'nchan', 1.3, '--window 1'),
        ('stream', 'stream', 'weft-ws', 0.9, '--window 1'),
        ('SSE, 16 in flight', 'sse', 'nchan', 5, '--window 16 --pipeline 16'),
        ('SSE, 16 in flight', 'sse', 'weft-ws', 0.9, '--window 16 --pipeline 16'),
        ('stream, 16 in flight', 'stream', 'nchan', 5, '--window 16 --pipeline 16'),
        ('long poll', 'poll', 'nchan', 1.2, '--window 1')):
    REGIMES.append(regime(f'fanout {_name} / {_beside}', f'fanout --via {_via} {FANOUT} {_flags}', _beside, _ratio))

# Beside npm's server, over WebSocket.
REGIMES += [
    regime('Socket.IO echo 100 x 20 B, depth 1', 'echo -c 100 -s 20 -d 1 --sio', 'socket.io', 2),
    regime('Socket.IO echo 100 x 20 B, depth 1', 'echo -c 100 -s 20 -d 1 --sio', 'weft-ws', 0.95, note='our plain echo: an aim'),
    regime('Socket.IO echo 100 x 20 B, depth 16', 'echo -c 100 -s 20 -d 16 --sio', 'socket.io', 12),
    regime('Socket.IO echo 100 x 20 B, depth 16', 'echo -c 100 -s 20 -d 16 --sio', 'weft-ws', 0.95, note='our plain echo: an aim'),
    regime('Socket.IO broadcast 1 -> 1000, window 16', 'broadcast -c 1000 -s 100 --window 16 --sio', 'socket.io', 10),
]

N_IDLE = 5000
IDLE_BYTES, HANDSHAKE_US = 256, 16
IDLE_PUSH_BYTES = 512  # of an event stream or a waiting poll
N_IDLE_TLS, IDLE_TLS_BYTES = 1000, 16384
N_IDLE_SOCKETIO, IDLE_SOCKETIO_BYTES = 15000, 1024

NCHAN = """load_module /usr/lib/nginx/modules/ngx_nchan_module.so;
daemon off; master_process off; worker_processes 1; worker_rlimit_nofile 20000; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 19000; }}
http {{
    access_log off; keepalive_requests 1000000000; keepalive_timeout 1h;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = /stream {{ nchan_subscriber http-raw-stream; nchan_channel_id t; nchan_subscriber_first_message newest;
                             nchan_subscriber_http_raw_stream_separator "\\n"; nchan_subscriber_timeout 1h; }}
        location = /pub {{ nchan_publisher; nchan_channel_id t; nchan_message_buffer_length 100; nchan_message_timeout 5m; }}
        location = /sub {{ nchan_subscriber; nchan_channel_id t; nchan_subscriber_first_message newest;
                           nchan_subscriber_timeout 1h; }}
    }}
}}
"""


class Server:
    """A server process on its core; `with` ends it, by its own process id."""

    def __init__(self, command):
        self.process = subprocess.Popen(['taskset', '-c', str(SERVER_CORE), *command], stdout=subprocess.PIPE)
        self.pid = self.process.pid  # taskset becomes the server

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def wait_ready(self):
        """The port in the first address that it prints."""
        said = ''
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while not (match := re.search(r'\w+://127[^/\s]*:(\d+)\D', said)):
                piece = os.read(self.process.stdout.fileno(), 4096) if selector.select(10) else b''
                if not piece:
                    raise RuntimeError(f'no address from {self.process.args}: {said!r}')
                said += piece.decode()
        return int(match[1])

    def wait_port(self, port):
        for _ in range(500):
            try:
                socket.create_connection(('127.0.0.1', port)).close()
                return port
            except OSError:
                time.sleep(0.01)
        raise RuntimeError(f'{self.process.args} does not listen')


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


class Bench:
    def __init__(self, options):
        self.options = options
        self.failed = False
        self.certificate = None

    def program(self, name):
        return os.path.join(self.options.build, 'bench', name)

    def load(self, server, port, arguments):
        """Runs the generator; its line of results, or None when it failed."""
        command = [self.program('wsload'), *arguments, '-p', str(port), '--pid', str(server.pid), '--cpu', str(LOAD_CORE)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=300)
        if self.options.verbose or result.returncode:
            print(f'  {" ".join(command)}\n  {result.stdout.strip()} {result.stderr.strip()}', flush=True)
        if result.returncode:
            self.failed = True
            return None
        return result.stdout

    def tls(self):
        """The arguments with which weft-conformance serves over TLS."""
        if not self.certificate:
            self.certificate = tempfile.TemporaryDirectory()
            subprocess.run([self.weft(), 'cert', '--out', self.certificate.name], check=True, stdout=subprocess.DEVNULL)
        return ['--tls', self.certificate.name]

    def fanout_server(self, who, via, folder):
        """A server with the topic t: its command, where to listen and to publish, and its port (0: it says)."""
        if who != 'nchan':
            return [self.weft(), 'serve', '--listen', 'http://127.0.0.1:0', '--log', 'warning'], ['--sub', '/topics/t', '--pub', '/topics/t'], 0
        port = free_port()
        config = os.path.join(folder, 'nginx.conf')
        with open(config, 'w', encoding='utf-8') as file:
            file.write(NCHAN.format(folder=folder, port=port))
        sub = '/stream' if via == 'stream' else '/sub'
        return ['nginx', '-p', folder, '-c', config], ['--sub', sub, '--pub', '/pub', '--poll-style', 'nchan'], port

    def weft(self):
        return os.path.join(self.options.build, 'src/cli/weft')

    def fanout(self, who, load):
        """The generator's line about one kind of server."""
        with tempfile.TemporaryDirectory() as folder:
            command, paths, port = self.fanout_server(who, load[2], folder)
            if who == 'weft-ws':
                load = ['ws' if word in ('sse', 'stream', 'poll') else word for word in load]
            with Server(command) as server:
                port = server.wait_port(port) if port else server.wait_ready()
                return self.load(server, port, [*load, *paths])

    def load_server(self, who, load):
        """A server for echo or broadcast: its command, what the generator is told besides, and its port (0: it says)."""
        broadcasts, socketio = load[0] == 'broadcast', '--sio' in load
        if who == 'context':
            return [self.options.conformance, 'ws-context', '--port', '0'], ['--context'], 0
        if who in ('weft', 'weft-ws'):
            name = 'broadcast' if broadcasts else 'ws'
            if socketio and who == 'weft':
                name = 'socketio-others' if broadcasts else 'socketio-echo'
            return [self.options.conformance, name, '--port', '0', *(self.tls() if '--tls' in load else [])], [], 0
        if who == 'ws':
            return ['node', os.path.join(HERE, 'ws-broadcast.mjs')], [], 0
        if who == 'socket.io':
            return ['node', os.path.join(HERE, 'socketio.mjs'), load[0]], [], 0
        port = free_port()
        if who == 'push':
            return [self.program('raw-push'), str(port)], [], port
        return [self.program('tls-echo' if who == 'tls' else 'raw-echo'), str(port)], ['--raw'], port

    def measure(self, who, one):
        """Messages per server-CPU-second of one round, or None."""
        if one.load[0] == 'fanout':
            line = self.fanout(who, [*one.load, '-t', str(self.options.seconds), '-w', str(self.options.warm_up), '--tag', who])
            return self.per_second(line)
        arguments = [*one.load, '-t', str(self.options.seconds), '-w', str(self.options.warm_up), '--tag', who]
        command, more, port = self.load_server(who, one.load)
        if who == 'weft-ws':
            arguments.remove('--sio')
        with Server(command) as server:
            port = server.wait_port(port) if port else server.wait_ready()
            line = self.load(server, port, [*arguments, *more])
        return self.per_second(line)

    @staticmethod
    def per_second(line):
        match = line and re.search(r'\| (\d+) \w+/cpu-s', line)
        return float(match[1]) if match and float(match[1]) > 0 else None

    def compare(self, one):
        rounds = []
        for _ in range(self.options.rounds):
            pair = self.measure('weft', one), self.measure(one.beside, one)
            if all(pair):
                rounds.append(pair)
        if not rounds:
            print(f'{one.name:<32} failed', flush=True)
            return
        ours, theirs = (statistics.median(column) for column in zip(*rounds))
        ratio = statistics.median(a / b for a, b in rounds)
        if one.ratio:
            target, reached = f'{one.ratio:.2f} {one.beside}', ratio >= one.ratio
        else:
            target, reached = f'{one.figure:,.0f}{one.unit}', ours >= one.figure
        self.row(one.name, f'{ours:,.0f}', f'{theirs:,.0f} {one.beside}', f'{ratio:.2f}', target, reached, one.note)

    def idle(self):
        with Server([self.options.conformance, 'ws', '--port', '0']) as server:
            line = self.load(server, server.wait_ready(), ['idle', '-c', str(N_IDLE), '--tag', 'weft'])
        match = line and re.search(r'([\d.]+) us-cpu/handshake.*?= (-?\d+) B/conn', line)
        if not match:
            print('idle failed', flush=True)
            return
        handshake_us, idle_bytes = float(match[1]), int(match[2])
        self.row(f'handshake, {N_IDLE} connections', f'{handshake_us:.1f} us', '', '', f'{HANDSHAKE_US} us',
                 handshake_us <= HANDSHAKE_US, 'CPU time')
        self.row('idle connection, user memory', f'{idle_bytes} B', '', '', f'{IDLE_BYTES} B', idle_bytes <= IDLE_BYTES, '')

    def idle_tls(self):
        with Server([self.options.conformance, 'ws', '--port', '0', *self.tls()]) as server:
            line = self.load(server, server.wait_ready(), ['idle', '--tls', '-c', str(N_IDLE_TLS), '--tag', 'weft'])
        match = line and re.search(r'([\d.]+) us-cpu/handshake.*?= (-?\d+) B/conn', line)
        if not match:
            print('idle wss failed', flush=True)
            return
        self.row('handshake over TLS', f'{float(match[1]):.1f} us', '', '', '', None, 'CPU time')
        idle_bytes = int(match[2])
        self.row('idle wss, user memory', f'{idle_bytes} B', '', '', f'{IDLE_TLS_BYTES} B', idle_bytes <= IDLE_TLS_BYTES, '')

    def idle_socketio(self):
        with Server([self.options.conformance, 'socketio-echo', '--port', '0']) as server:
            line = self.load(server, server.wait_ready(), ['idle', '--sio', '-c', str(N_IDLE_SOCKETIO), '--tag', 'weft'])
        match = line and re.search(r'= (-?\d+) B/conn', line)
        if not match:
            print('idle Socket.IO failed', flush=True)
            return
        idle_bytes = int(match[1])
        self.row('idle Socket.IO, user memory', f'{idle_bytes} B', '', '', f'{IDLE_SOCKETIO_BYTES} B', idle_bytes <= IDLE_SOCKETIO_BYTES, '')

    def idle_push(self, via):
        with tempfile.TemporaryDirectory() as folder:
            command, paths, _ = self.fanout_server('weft', via, folder)
            with Server(command) as server:
                line = self.load(server, server.wait_ready(), ['idle', '--via', via, '-c', str(N_IDLE), *paths[:2], '--tag', 'weft'])
        match = line and re.search(r'= (-?\d+) B/conn', line)
        if not match:
            print(f'idle {via} failed', flush=True)
            return
        idle_bytes = int(match[1])
        self.row(f'idle {via}, user memory', f'{idle_bytes} B', '', '', f'{IDLE_PUSH_BYTES} B', idle_bytes <= IDLE_PUSH_BYTES, '')

    def codecs(self):
        for name in ('frame_bench', 'head_bench'):
            print(f'\n{name}, without a socket:', flush=True)
            subprocess.run(['taskset', '-c', str(LOAD_CORE), self.program(name)], check=True)

    @staticmethod
    def row(name, ours, theirs, ratio, target, reached, note):
        verdict = {True: 'yes', False: 'NO', None: ''}[reached]
        print(f'{name:<32}{ours:>12}{theirs:>16}{ratio:>8}{target:>16}  {verdict:<4}{note}'.rstrip(), flush=True)

    def run(self):
        print(f'server on core {SERVER_CORE}, generator on core {LOAD_CORE}; {self.options.rounds} rounds of '
              f'{self.options.seconds:g} s; messages or deliveries per server-CPU-second\n')
        self.row('', 'weft', 'beside', 'ratio', 'must reach', None, '')
        for one in REGIMES:
            if re.search(self.options.only, one.name):
                self.compare(one)
        if re.search(self.options.only, 'idle'):
            self.idle()
            self.idle_tls()
            self.idle_socketio()
            for via in ('sse', 'poll'):
                self.idle_push(via)
        if re.search(self.options.only, 'codecs'):
            self.codecs()
        return 1 if self.failed else 0


def main():
    parser = argparse.ArgumentParser(prog='./dev bench', description=__doc__.split('\n', 1)[0])
    parser.add_argument('--seconds', type=float, default=2, help='of each round (2)')
    parser.add_argument('--warm-up', type=float, default=0.5, help='seconds before each round (0.5)')
    parser.add_argument('--rounds', type=int, default=3, help='of each pair (3)')
    parser.add_argument('--only', default='', metavar='PATTERN', help='regimes whose name it is found in, as "echo.*KiB"; also: idle, codecs')
    parser.add_argument('--build', default='build/release', metavar='FOLDER', help='where wsload and raw-echo are')
    parser.add_argument('--conformance', metavar='FILE', help='another weft-conformance, as of an older build')
    parser.add_argument('--verbose', action='store_true', help='each command and its result')
    options = parser.parse_args()
    options.conformance = options.conformance or os.path.join(options.build, 'tests/conformance/weft-conformance')
    return Bench(options).run()


if __name__ == '__main__':
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
