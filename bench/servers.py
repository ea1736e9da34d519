"""The servers that are measured: which are here, how each is started for a load, and what the generator says about it."""
import dataclasses
import glob
import json
import os
import re
import selectors
import shutil
import socket
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.path.dirname(HERE)
NCHAN_MODULE = '/usr/lib/nginx/modules/ngx_nchan_module.so'

# How each is called in a table, in the order of the tables and the plots.
NAMES = {
    'weft': 'Weft',
    'weft-two': 'Weft, two loops',
    'weft-ws': 'Weft, WebSocket',
    'raw': 'raw TCP echo',
    'tls': 'bare OpenSSL echo',
    'context': 'Weft, contexts',
    'uws': 'uWebSockets',
    'lws': 'libwebsockets',
    'beast': 'Boost.Beast',
    'ws': 'npm ws',
    'socket.io': 'npm socket.io',
    'nchan': 'nginx + Nchan',
}

NCHAN = """load_module {module};
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
    """A server process on its cores; `with` ends it, by its own process id."""

    def __init__(self, command, cores):
        self.process = subprocess.Popen(['taskset', '-c', ','.join(map(str, cores)), *command],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
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


@dataclasses.dataclass
class Start:
    """How a server is started for a load."""
    command: list
    more: list = dataclasses.field(default_factory=list)  # what the generator is told besides
    port: int = 0  # 0: it says
    without: str = ''  # a word that this server's load has not


def figures(line):
    """What wsload says in its line of results, by the names that regimes.py uses."""
    patterns = {
        'cpu': r'\| (\d+) \w+/cpu-s',
        'wall': r'  (\d+) \w+/s  ',
        'handshake': r'([\d.]+) us-cpu/handshake',
        'memory': r'RSS .*? = (-?\d+) B/conn',
    }
    found = {what: re.search(pattern, line) for what, pattern in patterns.items()}
    return {what: float(match[1]) for what, match in found.items() if match}


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def cores():
    """(the core of servers, those of a server with two loops, the generator's): nobody shares the generator's core."""
    ours = sorted(os.sched_getaffinity(0))
    return ours[:1], ours[:2] if len(ours) > 2 else ours[:1], ours[2] if len(ours) > 2 else ours[-1]


class Servers:
    def __init__(self, build, conformance=None):
        self.build = build
        self.conformance = conformance or os.path.join(build, 'tests/conformance/weft-conformance')
        self.weft = os.path.join(build, 'src/cli/weft')
        self.folder = tempfile.TemporaryDirectory(prefix='weft-bench-')
        self.cores, self.two_cores, self.load_core = cores()
        self.uws = None
        self.certificates = None

    def program(self, name):
        return os.path.join(self.build, 'bench', name)

    def find(self, say):
        """The names of those that are here; the others are said, each with what is missing."""
        missing = {}
        for who, file, package in (('lws', self.program('lws-echo'), 'libwebsockets-dev'),
                                   ('beast', self.program('beast-echo'), 'libboost-dev and g++'),
                                   ('ws', npm_package('ws'), 'npm\'s packages in tests/e2e'),
                                   ('socket.io', npm_package('socket.io'), 'npm\'s packages in tests/e2e'),
                                   ('nchan', NCHAN_MODULE, 'libnginx-mod-nchan')):
            if not os.path.exists(file):
                missing[who] = package
        if not shutil.which('nginx'):
            missing['nchan'] = 'nginx'
        if not os.environ.get('UWS_DIR'):
            missing['uws'] = 'UWS_DIR, a checkout of it with its uSockets'
        else:
            self.uws = build_uws(os.environ['UWS_DIR'], self.program('uws-echo'))
        for who, what in missing.items():
            say(f'not measured: {NAMES[who]} (missing: {what})')
        return [who for who in NAMES if who not in missing]

    def tls(self):
        """The folder with the certificate that TLS servers serve."""
        if not self.certificates:
            self.certificates = os.path.join(self.folder.name, 'certificates')
            subprocess.run([self.weft, 'cert', '--out', self.certificates], check=True, stdout=subprocess.DEVNULL)
        return ['--tls', self.certificates]

    def start(self, who, load):
        if '--via' in load:
            return self.start_topics(who, load)
        name = 'broadcast' if load[0] == 'broadcast' else 'echo'
        tls, deflate = self.tls() if '--tls' in load else [], ['--deflate'] if '--deflate' in load else []
        if who in ('weft', 'weft-two', 'weft-ws', 'context'):
            return self.start_ours(who, name, '--sio' in load, tls)
        if who in ('raw', 'tls'):
            port = free_port()
            return Start([self.program('tls-echo' if who == 'tls' else 'raw-echo'), str(port)], ['--raw'], port)
        return Start({
            'uws': lambda: [self.uws, name, *deflate, *tls],
            'lws': lambda: [self.program('lws-echo'), name],
            'beast': lambda: [self.program('beast-echo'), name],
            'ws': lambda: ['node', os.path.join(HERE, 'peers/ws.mjs'), name, *deflate],
            'socket.io': lambda: ['node', os.path.join(HERE, 'peers/socketio.mjs'), name],
        }[who]())

    def start_ours(self, who, name, socketio, tls):
        suite = 'broadcast' if name == 'broadcast' else 'ws'
        if socketio and who == 'weft':
            suite = 'socketio-others' if name == 'broadcast' else 'socketio-echo'
        if who == 'context':
            return Start([self.conformance, 'ws-context', '--port', '0'], ['--context'])
        loops = ['--loops', '2'] if who == 'weft-two' else []
        return Start([self.conformance, suite, '--port', '0', *loops, *tls], without='--sio' if who == 'weft-ws' else '')

    def start_topics(self, who, load):
        """A server with the topic t."""
        idle = load[0] == 'idle'
        if who != 'nchan':
            paths = ['--sub', '/topics/t'] + ([] if idle else ['--pub', '/topics/t'])
            return Start([self.weft, 'serve', '--listen', 'http://127.0.0.1:0', '--log', 'warning'], paths,
                         without='--via' if who == 'weft-ws' else '')
        port, folder = free_port(), tempfile.mkdtemp(dir=self.folder.name)
        config = os.path.join(folder, 'nginx.conf')
        with open(config, 'w', encoding='utf-8') as file:
            file.write(NCHAN.format(module=NCHAN_MODULE, folder=folder, port=port))
        paths = ['--sub', '/stream' if 'stream' in load else '/sub', '--poll-style', 'nchan']
        return Start(['nginx', '-p', folder, '-c', config], paths + ([] if idle else ['--pub', '/pub']), port)

    def measure(self, who, load, verbose=False):
        """The generator's figures about one server under a load, and '', or {} and what went wrong."""
        start = self.start(who, load)
        words = without(load, start.without)
        try:
            with Server(start.command, self.two_cores if who == 'weft-two' else self.cores) as server:
                port = server.wait_port(start.port) if start.port else server.wait_ready()
                command = [self.program('wsload'), *words, *start.more, '-p', str(port), '--pid', str(server.pid),
                           '--cpu', str(self.load_core), '--tag', who]
                ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        except (RuntimeError, subprocess.TimeoutExpired, OSError) as error:
            return {}, str(error)
        if verbose:
            print(f'  {" ".join(command)}\n  {ended.stdout.strip()} {ended.stderr.strip()}', flush=True)
        if ended.returncode:
            return {}, f'{" ".join(command)}: {ended.stdout.strip()} {ended.stderr.strip()}'
        return figures(ended.stdout), ''

    def versions(self, available):
        """Of each peer that is here, as one line."""
        asked = {
            'raw': lambda: 'bench/raw-echo.c',
            'tls': lambda: first_line('openssl', 'version'),
            'uws': lambda: first_line('git', '-C', os.environ['UWS_DIR'], 'describe', '--tags', '--always'),
            'lws': lambda: package_version('libwebsockets-dev'),
            'beast': lambda: 'Boost ' + package_version('libboost-dev'),
            'ws': lambda: f'{npm_version("ws")}, node {first_line("node", "--version")}',
            'socket.io': lambda: f'{npm_version("socket.io")}, node {first_line("node", "--version")}',
            'nchan': lambda: f'nginx {package_version("nginx")}, Nchan {package_version("libnginx-mod-nchan")}',
        }
        return {who: asked[who]() or 'unknown' for who in available if who in asked}


def without(load, word):
    """A load without an option; --via goes with its value, and what is left is a WebSocket's."""
    words = list(load)
    if word in words:
        at = words.index(word)
        del words[at:at + (2 if word == '--via' else 1)]
    return words


def npm_package(name):
    return os.path.join(TREE, 'tests/e2e/node_modules', name, 'package.json')


def npm_version(name):
    with open(npm_package(name), encoding='utf-8') as file:
        return json.load(file)['version']


def first_line(*command):
    """What a command prints first, or ''."""
    try:
        said = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False).stdout
    except OSError:
        return ''
    return said.strip().split('\n')[0]


def package_version(package):
    return first_line('dpkg-query', '-W', '-f', '${Version}', package)


def build_uws(tree, program):
    """peers/uws-echo.cc with uWebSockets and uSockets, with the options of their own build."""
    source = os.path.join(HERE, 'peers/uws-echo.cc')
    sockets = os.path.join(tree, 'uSockets/src')
    parts = [path for pattern in ('*.c', 'eventing/*.c', 'crypto/*.c', 'crypto/*.cpp', 'io_uring/*.c')
             for path in sorted(glob.glob(os.path.join(sockets, pattern)))]
    if not parts or not os.path.exists(os.path.join(tree, 'src/App.h')):
        raise SystemExit(f'UWS_DIR={tree} is no tree of uWebSockets with its uSockets: git clone --recurse-submodules')
    newest = max(map(os.path.getmtime, [source, *parts]))
    if os.path.exists(program) and os.path.getmtime(program) > newest:
        return program
    print(f'building {os.path.basename(program)} with {tree}', flush=True)
    options = ['-O3', '-march=native', '-flto=auto', '-w', '-DLIBUS_USE_OPENSSL', '-DUWS_USE_LIBDEFLATE', '-I', sockets]
    with tempfile.TemporaryDirectory() as folder:
        objects = []
        for path in [*parts, source]:
            objects.append(os.path.join(folder, f'{len(objects)}.o'))
            language = ['gcc', '-std=gnu11'] if path.endswith('.c') else ['g++', '-std=c++20', '-I', os.path.join(tree, 'src')]
            subprocess.run([*language, *options, '-c', path, '-o', objects[-1]], check=True)
        subprocess.run(['g++', *options, *objects, '-lssl', '-lcrypto', '-lz', '-ldeflate', '-o', program], check=True)
    return program
