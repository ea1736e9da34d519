"""From the generator's lines to rows with goals, and who is measured when: bench/results.py, servers.py, run.py."""
import os
import sys
import unittest
import unittest.mock

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../bench'))
import results  # noqa: E402
import run  # noqa: E402
import servers  # noqa: E402
from regimes import REGIMES, Figure, Goal, Regime, counting  # noqa: E402

ECHO = ('uws            echo      c=100 s=20 d=16  1296508 msg/s  | 2912949 msg/cpu-s  0.343 us/msg  srv-cpu 45% (u4% s40%) gen-cpu 43% '
        '| us p50 700 p99 900 p99.9 1000 | 57 MB/s in | checked 14183 bad 0 err 0')
IDLE = ('weft           idle c=5000 ok=5000 err=0  13436 conn/s  14.46 us-cpu/handshake (69145 handshakes/cpu-s) | server RSS 5532 -> '
        '6792 KiB = 258 B/conn, PSS 257 B/conn | kernel both ends: slab 8500 B/pair, tcp mem 0 B/pair')
GOALS = (Goal('raw', 0.95), Goal('uws', aim=1.0), Goal('lws', 1.2, unless='uws'))
REGIME = Regime('echo', 'echo 16', ('echo', '-d', '16'), (Figure('cpu', 'messages per CPU-second', GOALS),), ('lws', 'ws'))


def said(*values):
    return [{'cpu': value} if value else {} for value in values]


class Figures(unittest.TestCase):
    def test_of_an_echo(self):
        self.assertEqual(servers.figures(ECHO), {'cpu': 2912949, 'wall': 1296508})

    def test_of_idle_connections(self):
        found = servers.figures(IDLE)
        self.assertEqual((found['handshake'], found['memory']), (14.46, 258))

    def test_a_load_without_an_option(self):
        self.assertEqual(servers.without(('echo', '-c', '1', '--sio'), '--sio'), ['echo', '-c', '1'])
        self.assertEqual(servers.without(('fanout', '--via', 'sse', '-c', '1'), '--via'), ['fanout', '-c', '1'])
        self.assertEqual(servers.without(('echo',), ''), ['echo'])


class Rows(unittest.TestCase):
    def test_one_a_server_with_its_goal(self):
        rounds = {'weft': said(96, 97, 98), 'raw': said(100, 100, 100), 'uws': said(98, 98, 98), 'ws': said(10, 10, 10)}
        found = results.rows(REGIME, rounds, ['raw', 'uws', 'ws'])
        self.assertEqual([row['beside'] for row in found], ['raw', 'uws', 'ws'])
        self.assertEqual([row['must_reached'] for row in found], [True, None, None])
        self.assertEqual([row['aim_reached'] for row in found], [None, False, None])
        self.assertEqual([row['figure'] for row in found], [97] * 3)
        self.assertEqual([row['theirs'] for row in found], [100, 98, 10])
        self.assertEqual(len(results.judged(found)), 2)

    def test_a_goal_that_stands_in_counts_only_alone(self):
        self.assertEqual([goal.beside for goal in counting(GOALS, ['raw', 'uws', 'lws'])], ['raw', 'uws'])
        self.assertEqual([goal.beside for goal in counting(GOALS, ['raw', 'lws'])], ['raw', 'uws', 'lws'])

    def test_a_goal_beside_what_is_not_here_is_said_and_not_judged(self):
        found = results.rows(REGIME, {'weft': said(96, 97, 98), 'raw': said(100, 100, 100), 'lws': said(80, 80, 80)}, ['raw', 'lws'])
        self.assertEqual([(row['beside'], row['n_rounds']) for row in found], [('raw', 3), ('uws', 0), ('lws', 3)])
        self.assertEqual([row['beside'] for row in results.judged(found)], ['raw', 'lws'])
        self.assertTrue(found[2]['must_reached'])

    def test_a_figure_of_our_own(self):
        idle = Regime('memory', 'idle', ('idle',), (Figure('memory', 'bytes', (Goal(None, 256, 160),), lower_is_better=True),), ())
        found, = results.rows(idle, {'weft': [{'memory': n} for n in (200, 201, 250)]}, [])
        self.assertEqual((found['figure'], found['must_reached'], found['aim_reached'], found['theirs']), (201, True, False, None))

    def test_a_server_that_fails_every_time_is_not_measured(self):
        found = results.rows(REGIME, {'weft': said(96, 97, 98), 'raw': said(None, None, None), 'uws': said(98, 98, 98)}, ['raw', 'uws'])
        self.assertEqual((found[0]['theirs'], found[0]['must_reached'], found[0]['n_rounds']), (None, None, 0))

    def test_noise_is_of_those_with_a_goal(self):
        rounds = {'weft': said(100, 100, 100), 'raw': said(50, 100, 200), 'uws': said(98, 98, 98), 'ws': said(1, 2, 4)}
        self.assertEqual(results.noisy_besides(results.rows(REGIME, rounds, ['raw', 'uws', 'ws'])), {'raw'})


class Rounds(unittest.TestCase):
    def test_ours_stands_beside_those_that_judge_it(self):
        self.assertEqual(run.order('weft', ['raw', 'uws'], ['ws'], False), ['raw', 'weft', 'uws', 'ws'])
        self.assertEqual(run.order('weft', ['raw', 'uws'], ['ws'], True), ['ws', 'uws', 'weft', 'raw'])
        self.assertEqual(run.order('weft', [], [], False), ['weft'])

    def rounds_of(self, figures_of, minutes=1.0, short=False, rounds=3):
        """The servers in the order in which they were measured, and the rows."""
        measured = []

        class Fake:
            def measure(self, who, _load, _verbose):
                measured.append(who)
                return {'cpu': figures_of(who, measured.count(who))}, ''

        options = type('Options', (), {'seconds': 1, 'warm_up': 0, 'rounds': rounds, 'minutes': minutes, 'verbose': False, 'short': short})
        bench = run.Bench(options, Fake(), ['raw', 'uws', 'ws'])
        with unittest.mock.patch('builtins.print'):
            rows = bench.run([REGIME])
        return measured, rows

    def test_agreeing_rounds_are_enough(self):
        measured, rows = self.rounds_of(lambda who, n: 100)
        self.assertEqual(measured, ['raw', 'weft', 'uws', 'ws', 'ws', 'uws', 'weft', 'raw', 'raw', 'weft', 'uws', 'ws'])
        self.assertFalse(any(row['noisy'] for row in rows))

    def test_rounds_are_added_for_what_disagrees(self):
        measured, rows = self.rounds_of(lambda who, n: 50 * n if who == 'raw' and n < 4 else 100)
        self.assertGreater(measured.count('raw'), 3)
        self.assertEqual(measured.count('weft'), measured.count('raw'))
        self.assertEqual((measured.count('uws'), measured.count('ws')), (3, 3))
        self.assertFalse(rows[0]['noisy'])

    def test_none_is_added_when_the_time_is_over(self):
        measured, rows = self.rounds_of(lambda who, n: 50 * n if who == 'raw' else 100, minutes=-1)
        self.assertEqual(measured.count('raw'), 3)
        self.assertTrue(rows[0]['noisy'])

    def test_three_are_taken_in_any_case(self):
        self.assertEqual(self.rounds_of(lambda who, n: 100, minutes=-1, rounds=5)[0].count('raw'), 3)
        self.assertEqual(self.rounds_of(lambda who, n: 100, rounds=5)[0].count('raw'), 5)

    def test_there_is_an_end(self):
        measured, rows = self.rounds_of(lambda who, n: (1, 100)[n % 2] if who == 'raw' else 100)
        self.assertEqual(measured.count('raw'), run.MAX_ROUNDS)
        self.assertTrue(rows[0]['noisy'])

    def test_a_short_run_leaves_out_those_without_a_goal(self):
        self.assertNotIn('ws', self.rounds_of(lambda who, n: 100, short=True)[0])


class Regimes(unittest.TestCase):
    def test_every_server_has_a_name_and_every_regime_one_of_its_own(self):
        for one in REGIMES:
            beside = [goal.beside for figure in one.figures for goal in figure.goals if goal.beside]
            for who in (one.ours, *one.peers, *beside):
                self.assertIn(who, servers.NAMES)
        self.assertEqual(len({one.name for one in REGIMES}), len(REGIMES))
