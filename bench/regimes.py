"""What is measured, beside whom, and what has to be reached.

A regime is a load of wsload (`bench/wsload.c`) that several servers are put under in turn. A goal is a ratio to another
server, or a figure where `beside` is None. `unless` names a server that, where it is measured, makes this goal needless:
uWebSockets is not in Debian, and without it a goal that is a ratio to it becomes the ratio to a server that was measured
beside both (libwebsockets has 0.81 of its deliveries, npm's ws 0.06).
"""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Goal:
    beside: str | None
    must: float | None = None
    aim: float | None = None
    unless: str | None = None


@dataclasses.dataclass(frozen=True)
class Figure:
    """One figure of a regime: `what` the generator says (see figures() of servers.py), its unit and its goals."""
    what: str
    unit: str
    goals: tuple
    title: str = ''  # put behind the regime's name
    lower_is_better: bool = False


@dataclasses.dataclass(frozen=True)
class Regime:
    group: str
    name: str
    load: tuple
    figures: tuple
    peers: tuple  # those beside whom there is no goal
    ours: str = 'weft'
    short: bool = False  # also in a short run
    min_seconds: float = 0  # of a measurement, where a shorter one says little

    def besides(self, available):
        """The servers with goals that count, and the others: those of them that are here."""
        wanted = [goal.beside for figure in self.figures for goal in counting(figure.goals, available) if goal.beside]
        with_goals = [who for who in dict.fromkeys(wanted) if who in available]
        return with_goals, [who for who in self.peers if who in available and who not in with_goals]


def counting(goals, available):
    return [goal for goal in goals if goal.unless not in available]


GROUPS = {
    'echo': 'Echo',
    'broadcast': 'Broadcast over WebSocket',
    'fan-out': 'Fan-out of one topic, published by POST',
    'socketio': 'Socket.IO over WebSocket',
    'memory': 'Idle connections',
    'tls-deflate': 'TLS and compression',
    'loops': 'Two loops against one',
}
MESSAGES, DELIVERIES = 'messages per CPU-second', 'deliveries per CPU-second'
REGIMES = []


def regime(group, name, load, unit, goals, peers=(), **more):
    figure = Figure('cpu', unit, tuple(goals))
    REGIMES.append(Regime(group, name, tuple(load.split()), (figure,), tuple(peers), **more))


def echo():
    for name, load, goals in (
            ('100 x 20 B, depth 1', '-c 100 -s 20 -d 1', [Goal('raw', 0.97, 0.99)]),
            ('100 x 20 B, depth 16', '-c 100 -s 20 -d 16', [Goal('raw', 0.95), Goal('uws', aim=1.0)]),
            ('1000 x 1 KiB', '-c 1000 -s 1024', [Goal('raw', 0.96, 0.98)]),
            ('100 x 16 KiB', '-c 100 -s 16384', [Goal('raw', 0.94, 0.97)]),
            ('10 x 1 MiB', '-c 10 -s 1048576', [Goal('raw', 0.85, 0.95)])):
        regime('echo', 'echo ' + name, 'echo ' + load, MESSAGES, goals, ['uws', 'lws', 'beast', 'ws'], short=True,
               min_seconds=1 if 'MiB' in name else 0)


def broadcast():
    regime('broadcast', 'broadcast 1 -> 1000, window 1', 'broadcast -c 1000 -s 100 --window 1', DELIVERIES,
           [Goal('uws', 1.0, 1.1), Goal('lws', 1 / 0.81, 1.1 / 0.81, unless='uws')], ['lws', 'beast', 'ws'], short=True)
    regime('broadcast', 'broadcast 1 -> 1000, window 16', 'broadcast -c 1000 -s 100 --window 16', DELIVERIES,
           [Goal('uws', 1.0, 1.1), Goal('ws', 1 / 0.06, 1.1 / 0.06, unless='uws')], ['lws', 'beast', 'ws'], short=True)
    regime('broadcast', 'broadcast 1 -> 10,000, window 1', 'broadcast -c 10000 -s 100 --window 1', DELIVERIES,
           [Goal('uws', 1.1, 1.2)], ['lws', 'beast', 'ws'])


def fanout():
    piped = '--window 16 --pipeline 16'
    for name, via, flags, goals, short in (
            ('WebSocket', 'ws', '--window 1', [Goal('nchan', 1.0)], False),
            ('SSE', 'sse', '--window 1', [Goal('nchan', 1.3, 1.5), Goal('weft-ws', 0.9)], True),
            ('stream', 'stream', '--window 1', [Goal('nchan', 1.3, 1.5), Goal('weft-ws', 0.9)], False),
            ('SSE, 16 in flight', 'sse', piped, [Goal('nchan', 5, 10), Goal('weft-ws', 0.9)], True),
            ('stream, 16 in flight', 'stream', piped, [Goal('nchan', 5, 10), Goal('weft-ws', 0.9)], False),
            ('long poll', 'poll', '--window 1', [Goal('nchan', 1.2, 1.5)], True)):
        regime('fan-out', 'fan-out 1 -> 1000, ' + name, f'fanout --via {via} -c 1000 -s 100 {flags}', DELIVERIES, goals, short=short,
               min_seconds=0.6 if flags == piped else 0)


def socketio():
    regime('socketio', 'Socket.IO echo 100 x 20 B, depth 1', 'echo -c 100 -s 20 -d 1 --sio', MESSAGES,
           [Goal('socket.io', 2), Goal('weft-ws', aim=0.95)])
    regime('socketio', 'Socket.IO echo 100 x 20 B, depth 16', 'echo -c 100 -s 20 -d 16 --sio', MESSAGES,
           [Goal('socket.io', 12), Goal('weft-ws', aim=0.95)], short=True)
    regime('socketio', 'Socket.IO broadcast 1 -> 1000, window 16', 'broadcast -c 1000 -s 100 --window 16 --sio', DELIVERIES,
           [Goal('socket.io', 10, 20)])


def tls_deflate():
    for depth in (1, 16):
        regime('tls-deflate', f'TLS echo 100 x 20 B, depth {depth}', f'echo -c 100 -s 20 -d {depth} --tls', MESSAGES,
               [Goal('tls', 0.95)], ['uws'])
    for size, n, aim in (('1 KiB', 1024, 2), ('16 KiB', 16384, None)):
        regime('tls-deflate', f'deflate echo 100 x {size} JSON', f'echo -c 100 -s {n} --deflate', MESSAGES,
               [Goal('uws', 1.2, aim), Goal('context', 1.2, unless='uws')], ['context', 'ws'])


def idle():
    def one(name, load, must, aim, peers, handshakes=(), **more):
        figures = [Figure('memory', 'bytes per connection', (Goal(None, must, aim),), lower_is_better=True)]
        if handshakes:
            figures.append(Figure('handshake', 'µs of CPU time', handshakes, 'handshake', lower_is_better=True))
        REGIMES.append(Regime('memory', name, ('idle', *load.split()), tuple(figures), tuple(peers), **more))

    # uWebSockets had 16 µs where the goals were set, so that 14 µs are 0.875 of it.
    one('idle WebSocket', '-c 5000', 256, 160, ['uws', 'lws', 'beast', 'ws'],
        (Goal('uws', 1.0, 0.875), Goal(None, 16, 14, unless='uws')), short=True)
    one('idle event stream', '--via sse -c 5000', 512, 200, ['nchan'])
    one('waiting long poll', '--via poll -c 5000', 512, 200, ['nchan'])
    one('idle wss', '--tls -c 1000', 16384, 15360, ['uws'])
    one('idle Socket.IO', '--sio -c 15000', 1024, None, ['socket.io'])


def loops():
    for name, load, unit, short in (
            ('echo 100 x 20 B, depth 1', 'echo -c 100 -s 20 -d 1', MESSAGES, True),
            ('echo 100 x 20 B, depth 16', 'echo -c 100 -s 20 -d 16', MESSAGES, False),
            ('broadcast 1 -> 1000, window 1', 'broadcast -c 1000 -s 100 --window 1', DELIVERIES, False),
            ('broadcast 1 -> 1000, window 16', 'broadcast -c 1000 -s 100 --window 16', DELIVERIES, False)):
        figures = (Figure('cpu', unit, (Goal('weft', 0.9, 0.97),)),
                   Figure('wall', unit.replace('CPU-second', 'second'), (Goal('weft'),), 'wall'))
        REGIMES.append(Regime('loops', 'two loops, ' + name, tuple(load.split()), figures, (), ours='weft-two', short=short))


for add in (echo, broadcast, fanout, socketio, idle, tls_deflate, loops):
    add()
