#!/usr/bin/python3
"""Measures what a thousand to a million connections cost: ./dev scale [options]

For each size so many WebSockets come to server processes of their own (weft-conformance broadcast, one loop each), over
loopback, and stay. First nothing happens but heartbeats, then messages go to all of them. weft bench idle is the other
end. A size that this machine has no room for is left out, with the reason; each has a time limit.
"""
import argparse
import contextlib
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True  # the tree stays as it is

import machine
import scale_report
from scale_room import room_for, this_machine
from servers import Server, TREE

SIZES = [1_000, 5_000, 15_000, 100_000, 1_000_000]
QUICK = SIZES[:2]
FIRST_EACH = 16  # connections that each server has before it is measured: what it needs but once is not counted
END_S = 10  # for what has been told to end
BOUND_TO_US = ['setpriv', '--pdeathsig', 'KILL']  # whatever becomes of us


@dataclasses.dataclass(frozen=True)
class Schedule:
    most: int  # connections
    heartbeat_s: float
    quiet_s: float
    broadcasts: int
    period_s: float  # from one to the next
    limit_s: float  # for all of it


# A heartbeat is two messages and some 15 µs of CPU time of both ends: the more connections, the longer the interval.
SCHEDULES = [
    Schedule(most=20_000, heartbeat_s=2, quiet_s=5, broadcasts=10, period_s=0.25, limit_s=20),
    Schedule(most=200_000, heartbeat_s=5, quiet_s=8, broadcasts=4, period_s=1.5, limit_s=50),
    Schedule(most=10_000_000, heartbeat_s=25, quiet_s=25, broadcasts=2, period_s=15, limit_s=175),
]


def schedule_for(n):
    return next(schedule for schedule in SCHEDULES if n <= schedule.most)


# --------------------------------------------------------------------------------------------------------- what runs
class Scale:
    def __init__(self, options):
        self.conformance = options.conformance or os.path.join(options.build, 'tests/conformance/weft-conformance')
        self.weft = options.weft or os.path.join(options.build, 'src/cli/weft')
        self.cores = sorted(os.sched_getaffinity(0))
        self.verbose = options.verbose

    @contextlib.contextmanager
    def servers(self, n, heartbeat_s):
        """So many server processes, as (process id, URL)."""
        command = [*BOUND_TO_US, self.conformance, 'broadcast', '--port', '0', '--loops', '1', '--ping', str(int(heartbeat_s * 1000))]
        with contextlib.ExitStack() as stack:
            started = []
            try:
                started = [stack.enter_context(Server(command, self.cores)) for _ in range(n)]
                yield [(server.pid, f'ws://127.0.0.1:{server.wait_ready()}/') for server in started]
            finally:
                for server in started:  # all at once; the stack waits for each
                    server.process.terminate()

    def load(self, servers, n, sources, options, limit_s):
        """The report of weft bench, or {}, and '' or what went wrong."""
        command = [self.weft, 'bench', 'idle', *(url for _, url in servers)]
        for pid, url in servers:
            command += ['--publish', url, '--pid', str(pid)]
        command += ['-c', str(n), '-p', str(len(servers)), '--source', f'127.0.0.2-127.0.0.{sources + 1}', '--json', '--quiet',
                    '--timeout', '20', *options]
        if self.verbose:
            print('+ ' + ' '.join(command), file=sys.stderr)
        with subprocess.Popen([*BOUND_TO_US, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                out, said = process.communicate(timeout=limit_s)
            except subprocess.TimeoutExpired:
                end(process)
                out, said = process.communicate()
                said = f'not done within {limit_s:.0f} s; ' + said
            finally:
                end(process)
        if self.verbose:
            print(out + said, file=sys.stderr)
        if process.returncode or said.startswith('not done'):
            return read(out), sentence(said) or f'exit status {process.returncode}'
        return read(out), ''

    def measure(self, n, room, how):
        """The report of weft bench, and '' or what went wrong."""
        ends = time.monotonic() + how.limit_s
        try:
            with self.servers(room.servers, how.heartbeat_s) as servers:
                options = ['--warm-up', '0', '-t', '200ms', '--rate', '10']
                report, failure = self.load(servers, FIRST_EACH * len(servers), room.sources, options, how.limit_s)
                if failure:
                    return report, failure
                options = ['--warm-up', ms(how.quiet_s), '-t', ms((how.broadcasts + 0.1) * how.period_s), '--rate', str(1 / how.period_s)]
                return self.load(servers, n, room.sources, options, ends - time.monotonic())
        except (RuntimeError, OSError) as error:
            return {}, str(error)

    def run(self, sizes, least_servers):
        rows, began = [], time.monotonic()
        print(scale_report.title(), flush=True)
        for at, n in enumerate(sizes):
            room = room_for(n, this_machine(), least_servers)
            if room.lacks:
                rows.append({'connections': n, 'left_out': 'needs ' + room.lacks})
            else:
                clock = divmod(int(time.monotonic() - began), 60)
                print(f'[{at + 1}/{len(sizes)}, {clock[0]}:{clock[1]:02}] {n:,} connections', file=sys.stderr, flush=True)
                how = schedule_for(n)
                rows.append(row(n, room, how, *self.measure(n, room, how)))
            print(scale_report.line(rows[-1]), flush=True)
        return rows


def ms(seconds):
    return f'{seconds * 1000:.0f}ms'


def end(process):
    """Of a generator: SIGINT lets it close its connections with a reset, so that no port waits."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()


def read(out):
    return json.loads(out) if out else {}


def sentence(said):
    return said.strip().replace('weft bench: ', '').replace('\n', '; ')


def row(n, room, how, report, failure):
    """What a run has shown, by the names that scale_report.py uses; a figure that was not taken is None."""
    made = {'connections': n, 'servers': room.servers, 'sources': room.sources, 'heartbeat_s': how.heartbeat_s, 'failure': failure,
            'connected': report.get('connected', 0)}
    server, errors = report.get('server', {}), report.get('errors', {})
    made['failures'] = sum(errors.get(name, 0) for name in ('lost_connections', 'missing', 'wrong', 'doubled', 'misordered'))
    made['connects_per_second'] = report.get('connects_per_second')
    for name in ('rss', 'pss'):
        made[name + '_bytes'] = server.get(name + '_bytes_per_connection')
    made['kernel_bytes'] = kernel_bytes(report)
    beats, cpu_s = report.get('warm_up_heartbeats', 0), server.get('warm_up_cpu_seconds', 0)
    made['heartbeats'] = beats
    made['heartbeat_us'] = cpu_s * 1e6 / beats if beats and cpu_s else None
    made['idle_cpu'] = made['heartbeat_us'] * made['connected'] / how.heartbeat_s / 1e6 if made['heartbeat_us'] else None
    reached, all_of_them = report.get('latency_us', {}), report.get('to_all_us', {})
    made['broadcasts'] = all_of_them.get('count', 0)
    for name, value in (('p50_ms', reached.get('p50')), ('p99_ms', reached.get('p99')), ('last_ms', all_of_them.get('max'))):
        made[name] = value / 1e3 if made['broadcasts'] else None
    return made


def kernel_bytes(report):
    """Of both ends; None where the kernel's files say nothing."""
    parts = [report.get(f'kernel_{name}_bytes_per_connection', 0) for name in ('slab', 'socket')]
    return sum(parts) or None


# --------------------------------------------------------------------------------------------------------- command line
def read_sizes(text):
    sizes = []
    for word in text.split(','):
        match = re.fullmatch(r'(\d+)([kM]?)', word)
        if not match or not int(match[1]):
            raise argparse.ArgumentTypeError(f'"{word}" is not a number of connections: 500, 15k, 1M')
        sizes.append(int(match[1]) * {'': 1, 'k': 1_000, 'M': 1_000_000}[match[2]])
    if max(sizes) > SCHEDULES[-1].most:
        raise argparse.ArgumentTypeError('10M is the most')
    return sizes


def parse():
    parser = argparse.ArgumentParser(prog='./dev scale', description=__doc__.split('\n', 1)[0])
    parser.add_argument('--quick', action='store_true', help='a thousand and five thousand, in under 30 seconds')
    parser.add_argument('--sizes', type=read_sizes, metavar='LIST', help='numbers of connections (1k,5k,15k,100k,1M)')
    parser.add_argument('--servers', type=int, default=1, metavar='N', help='at least so many server processes')
    parser.add_argument('--write', nargs='?', const='docs/benchmarks', metavar='FOLDER', help='a table and plots (to docs/benchmarks)')
    parser.add_argument('--from', dest='kept', metavar='FILE', help='measure nothing: the results of an earlier run')
    parser.add_argument('--build', default='build/release', metavar='FOLDER', help='where weft and weft-conformance are')
    parser.add_argument('--weft', metavar='FILE', help='another weft')
    parser.add_argument('--conformance', metavar='FILE', help='another weft-conformance')
    parser.add_argument('--verbose', action='store_true', help='each command and what it says')
    options = parser.parse_args()
    options.sizes = options.sizes or (QUICK if options.quick else SIZES)
    return options


def measure(options):
    """The results of a run, which are kept in the build folder as well."""
    found = machine.describe(TREE) | {'memory_bytes': os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')}
    print(scale_report.heading(found))
    found['rows'] = Scale(options).run(options.sizes, options.servers)
    if os.path.isdir(os.path.join(options.build, 'bench')):
        with open(os.path.join(options.build, 'bench/scale.json'), 'w', encoding='utf-8') as file:
            json.dump(found, file, indent=1, ensure_ascii=False)
    return found


def main():
    options = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended on the way out
    if options.kept:
        with open(options.kept, encoding='utf-8') as file:
            found = json.load(file)
        print(scale_report.heading(found), scale_report.title(), *map(scale_report.line, found['rows']), sep='\n')
    else:
        found = measure(options)
    if options.write:
        scale_report.write(options.write, found)
    return 1 if any(one.get('failure') for one in found['rows']) else 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
