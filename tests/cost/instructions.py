#!/usr/bin/python3
"""How many instructions of ours a message costs: instructions.py WEFT CONFORMANCE

Callgrind counts the same on every machine and at every load, so these are tests where times could only be reported. Each case runs twice, the second time with
twice the messages: what the second run costs more, divided by the messages that it had more, is the cost of one, without the start and the end of the
server. The bounds lie a tenth above what was counted when they were set (gcc 12, -O2, x86-64); a change that goes above either costs what it should not, or
says in its message why it may, and sets a new one.
"""
import os
import re
import selectors
import socket
import subprocess
import sys
import tempfile

WEFT, CONFORMANCE = sys.argv[1:3]
HEAD = 'GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n'
UPGRADE = 'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'


def read_exactly(connection, n):
    while n:
        piece = connection.recv(n)
        if not piece:
            raise RuntimeError('the server ended a connection')
        n -= len(piece)


def read_until(connection, end, has=b''):
    """All up to an `end`, with `has` somewhere before it."""
    read = b''
    while not read.endswith(end) or has not in read:
        piece = connection.recv(65536)
        if not piece:
            raise RuntimeError(f'the server ended a connection after {read!r}')
        read += piece
    return read


def connect(port, path, rest=UPGRADE):
    connection = socket.create_connection(('127.0.0.1', port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.settimeout(60)
    connection.sendall((HEAD.format(path=path) + rest).encode())
    return connection


def websocket(port, path='/'):
    connection = connect(port, path)
    answer = read_until(connection, b'\r\n\r\n')
    assert answer.startswith(b'HTTP/1.1 101 '), answer
    return connection


def frame(payload):
    """A client's, under the mask 0."""
    n = len(payload)
    length = bytes([0x80 | n]) if n < 126 else bytes([0x80 | 126, n >> 8, n & 255])
    return b'\x81' + length + bytes(4) + payload


def frame_bytes(n):
    """Of a server's frame."""
    return n + (2 if n < 126 else 4)


def echo(size, depth):
    """`n` times `depth` messages in one piece, which all come back."""
    def run(port, n):
        connection = websocket(port)
        sent = frame(b'x' * size) * depth
        for _ in range(n):
            connection.sendall(sent)
            read_exactly(connection, depth * frame_bytes(size))
        connection.close()
        return n * depth
    return run


def broadcast(depth):
    """`n` times `depth` messages from one to 100 others."""
    def run(port, n):
        sender, *everybody = [websocket(port) for _ in range(101)]
        sent = frame(b'x' * 100) * depth
        for _ in range(n):
            sender.sendall(sent)
            for connection in everybody:
                read_exactly(connection, depth * frame_bytes(100))
        for connection in everybody + [sender]:
            connection.close()
        return n * depth * len(everybody)
    return run


def handshakes(port, n):
    for _ in range(n):
        websocket(port).close()
    return n


def events(port, n):
    """`n` messages, POSTed to a topic that 100 event streams follow."""
    everybody = [connect(port, '/topics/t', 'Accept: text/event-stream\r\n\r\n') for _ in range(100)]
    for connection in everybody:
        read_until(connection, b'\n\n\r\n', b'id: ')
    publisher = socket.create_connection(('127.0.0.1', port))
    for _ in range(n):
        publisher.sendall(b'POST /topics/t HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\n' + b'x' * 100)
        read_until(publisher, b'}')
        for connection in everybody:
            read_until(connection, b'\n\n\r\n')
    for connection in everybody + [publisher]:
        connection.close()
    return n * len(everybody)


def polls(port, n):
    """`n` long polls that wait, each answered with a message."""
    poller, publisher = (socket.create_connection(('127.0.0.1', port)) for _ in range(2))
    cursor = None
    for i in range(n + 1):
        poller.sendall((HEAD.format(path=f'/topics/t?wait=25&since={cursor}' if cursor else '/topics/t') + '\r\n').encode())
        if cursor:
            publisher.sendall(b'POST /topics/t HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\n' + b'x' * 100)
            read_until(publisher, b'}')
        cursor = re.search(rb'"cursor":"([^"]+)"', read_until(poller, b'}'))[1].decode()
    poller.close()
    publisher.close()
    return n


def socketio_echo(depth):
    def run(port, n):
        connection = connect(port, '/socket.io/?EIO=4&transport=websocket')
        read_until(connection, b'}', b'maxPayload')
        connection.sendall(frame(b'40'))
        read_until(connection, b'}')
        message = b'42["echo","' + b'x' * 20 + b'"]'
        for _ in range(n):
            connection.sendall(frame(message) * depth)
            read_exactly(connection, depth * frame_bytes(len(message)))
        connection.close()
        return n * depth
    return run


WEBSOCKET, SERVE = [CONFORMANCE, 'ws', '--port', '0', '--loops', '1'], [WEFT, 'serve', '--listen', '127.0.0.1:0', '--loops', '1', '--log', 'warning']
BROADCAST, SOCKETIO = [CONFORMANCE, 'broadcast', '--port', '0', '--loops', '1'], [CONFORMANCE, 'socketio-echo', '--port', '0', '--loops', '1']

# name, server, what is done, how often the first time, at most so many instructions for each message
CASES = [
    ('an echoed message of 20 B', WEBSOCKET, echo(20, 1), 500, 1420),
    ('an echoed message of 20 B among 16', WEBSOCKET, echo(20, 16), 100, 530),
    ('an echoed message of 1 KiB', WEBSOCKET, echo(1024, 1), 500, 1870),
    ('a handshake', WEBSOCKET, handshakes, 100, 17100),
    ('a delivery of 100 B to one of 100', BROADCAST, broadcast(1), 20, 770),
    ('a delivery of 100 B among 16 to one of 100', BROADCAST, broadcast(16), 10, 84),
    ('a delivery of 100 B to one of 100 event streams', SERVE, events, 20, 990),
    ('a message that a long poll waited for', SERVE, polls, 100, 34700),
    ('an echoed event of Socket.IO', SOCKETIO, socketio_echo(1), 200, 3170),
    ('an echoed event of Socket.IO among 16', SOCKETIO, socketio_echo(16), 50, 2260),
]


def wait_ready(process):
    """The port in the first address that it prints."""
    said = ''
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not (match := re.search(r'\w+://127[^/\s]*:(\d+)\D', said)):
            piece = os.read(process.stdout.fileno(), 4096) if selector.select(60) else b''
            if not piece:
                raise RuntimeError(f'no address from {process.args}: {said!r}')
            said += piece.decode()
    return int(match[1])


def count(server, run, n):
    """Instructions of the whole run, and its messages."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, 'counts')
        process = subprocess.Popen(['valgrind', '-q', '--tool=callgrind', '--callgrind-out-file=' + out, *server], stdout=subprocess.PIPE)
        try:
            messages = run(wait_ready(process), n)
        finally:
            process.terminate()
            process.wait(60)
            process.stdout.close()
        with open(out, encoding='utf-8') as file:
            return int(re.search(r'^totals: (\d+)', file.read(), re.M)[1]), messages


def main():
    print(f'1..{len(CASES)}')
    for number, (name, server, run, n, bound) in enumerate(CASES, 1):
        (less, few), (more, many) = count(server, run, n), count(server, run, 2 * n)
        cost = round((more - less) / (many - few))
        print(f'{"ok" if cost <= bound else "not ok"} {number} - {name} costs {cost} instructions, at most {bound}', flush=True)


main()
