#!/usr/bin/python3
"""Measures Weft beside a raw TCP echo and other people's servers: ./dev bench [options]

The unit is messages per server-CPU-second: what the server did divided by the CPU time of its process, which holds where
the generator is the bottleneck. Servers run one at a time on the first core, the generator on another. As a machine's
speed drifts within minutes, servers are measured in alternating rounds, and a ratio is the median of the rounds' own.
A round goes through all regimes before the next begins. Where the rounds disagree, more of them are taken while there is
time, and a row that is still uncertain says so.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import time

sys.dont_write_bytecode = True  # the tree stays as it is

import figures
import machine
import report
import results
from regimes import REGIMES
from servers import Servers, TREE

LONG = {'seconds': 1.0, 'warm_up': 0.3, 'rounds': 5, 'minutes': 28.0}
SHORT = {'seconds': 0.3, 'warm_up': 0.2, 'rounds': 5, 'minutes': 2.6}
MAX_ROUNDS = 25
WARM_UP_S = {'ws': 1.0, 'socket.io': 1.0}  # until node has compiled what it runs
HOLD_S = '0.5'  # between the last handshake and the reading of memory


def order(ours, with_goals, others, backwards):
    """Who is measured when in a round: ours beside those that it is judged by; every other round the other way about."""
    whole = [*with_goals[:1], ours, *with_goals[1:], *others]
    return whole[::-1] if backwards else whole


class Sheet:
    """What is known of a regime so far."""

    def __init__(self, one, available, short):
        self.one = one
        self.with_goals, self.others = one.besides(available)
        if short:
            self.others = []
        self.rounds = {who: [] for who in (one.ours, *self.with_goals, *self.others)}
        self.rows = []
        self.took_s = 0.0  # the last round

    @property
    def n_rounds(self):
        return len(self.rounds[self.one.ours])


class Bench:
    def __init__(self, options, servers, available):
        self.options, self.servers, self.available = options, servers, available
        self.failures = []

    def load(self, one, who):
        if one.load[0] == 'idle':
            return [*one.load, '--hold', HOLD_S]
        warm_up = max(self.options.warm_up, WARM_UP_S.get(who, 0))
        return [*one.load, '-t', str(max(self.options.seconds, one.min_seconds)), '-w', str(warm_up)]

    def round(self, sheet):
        """One more round of a regime: of all its servers, and when there were enough of those, of what is still uncertain."""
        one, n = sheet.one, sheet.n_rounds
        with_goals, others = sheet.with_goals, sheet.others
        if n >= self.options.rounds:
            with_goals, others = [who for who in with_goals if who in results.noisy_besides(sheet.rows)], []
        whom = order(one.ours, with_goals, others, n % 2)
        began = time.monotonic()
        for who in whom:
            said, failure = self.servers.measure(who, self.load(one, who), self.options.verbose)
            sheet.rounds[who].append(said)
            if failure:
                self.failures.append(f'{one.name}: {failure}')
        for who in set(sheet.rounds) - set(whom):
            sheet.rounds[who].append({})
        sheet.rows = results.rows(one, sheet.rounds, self.available)
        sheet.took_s = time.monotonic() - began

    def passes(self, sheets):
        """Each regime once, then each again: what drifts slowly is seen in the spread of the rounds, too."""
        began = time.monotonic()
        ends = began + self.options.minutes * 60
        for n in range(max(MAX_ROUNDS, self.options.rounds)):
            due = [sheet for sheet in sheets if n < self.options.rounds or results.noisy_besides(sheet.rows)]
            for sheet in due:
                now = time.monotonic()
                if n >= min(figures.MIN_ROUNDS, self.options.rounds) and now + sheet.took_s > ends:
                    return
                self.round(sheet)
                said = ', '.join(report.ratio(row['ratio']) for row in sheet.rows if row['ratio'])
                print(f'[{int(now - began) // 60}:{int(now - began) % 60:02}, round {n + 1}] {sheet.one.name}: {said}', file=sys.stderr, flush=True)

    def run(self, chosen):
        sheets = [Sheet(one, self.available, self.options.short) for one in chosen]
        self.passes(sheets)
        return [row for sheet in sheets for row in sheet.rows]


def codecs(servers):
    for name in ('frame_bench', 'head_bench'):
        print(f'\n{name}, without a socket:', flush=True)
        subprocess.run(['taskset', '-c', str(servers.load_core), servers.program(name)], check=True)


def parse():
    parser = argparse.ArgumentParser(prog='./dev bench', description=__doc__.split('\n', 1)[0])
    parser.add_argument('--short', action='store_true', help='the regimes and servers that matter most, in under three minutes')
    parser.add_argument('--only', default='', metavar='PATTERN', help='regimes whose name it is found in, as "echo.*KiB"; also: codecs')
    parser.add_argument('--seconds', type=float, help='of each measurement (1; short: 0.3)')
    parser.add_argument('--warm-up', type=float, help='seconds before each measurement (0.3; short: 0.2)')
    parser.add_argument('--rounds', type=int, help=f'of each regime (5); where they disagree up to {MAX_ROUNDS}, where time is short 3')
    parser.add_argument('--minutes', type=float, help='for all of it, in more rounds or fewer (28; short: 2.6)')
    parser.add_argument('--write', nargs='?', const='docs/benchmarks', metavar='FOLDER', help='a table and plots (to docs/benchmarks)')
    parser.add_argument('--from', dest='kept', metavar='FILE', help='measure nothing: the results of an earlier run')
    parser.add_argument('--build', default='build/release', metavar='FOLDER', help='where wsload and raw-echo are')
    parser.add_argument('--conformance', metavar='FILE', help='another weft-conformance, as of an older build')
    parser.add_argument('--verbose', action='store_true', help='each command and its result')
    options = parser.parse_args()
    for name, value in (SHORT if options.short else LONG).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


def measure(options):
    """The results of a run, which are kept in the build folder as well."""
    servers = Servers(options.build, options.conformance)
    available = servers.find(print)
    bench = Bench(options, servers, available)
    chosen = [one for one in REGIMES if re.search(options.only, one.name) and (one.short or not options.short)]
    how = {'seconds': options.seconds, 'rounds': options.rounds, 'short': options.short, 'server_core': servers.cores[0],
           'load_core': servers.load_core}
    found = machine.describe(TREE) | {'how': how, 'versions': servers.versions(available)}
    found['rows'] = bench.run(chosen)
    found['failures'] = bench.failures
    if re.search(options.only or '^$', 'codecs') and not options.short:
        codecs(servers)
    with open(os.path.join(options.build, 'bench/results.json'), 'w', encoding='utf-8') as file:
        json.dump(found, file, indent=1, ensure_ascii=False)
    return found


def main():
    options = parse()
    if options.kept:
        with open(options.kept, encoding='utf-8') as file:
            found = json.load(file)
    else:
        found = measure(options)
    print(report.heading(found), report.lines(found['rows']), sep='\n')
    judged = results.judged(found['rows'])
    print('\n' + figures.summary(len(judged), sum(one['noisy'] for one in judged)))
    for failure in found['failures']:
        print('failed: ' + failure)
    if options.write:
        report.write(options.write, found)
    return 1 if found['failures'] else 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
