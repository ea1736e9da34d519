"""Tables and plots of a fixed input: bench/report.py."""
import os
import sys
import tempfile
import unittest
import unittest.mock

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../bench'))
import report  # noqa: E402


def row(regime, beside, figure, theirs, **more):
    made = {'group': 'echo', 'regime': regime, 'unit': 'messages per CPU-second', 'lower_is_better': False, 'ours': 'weft',
            'figure': figure, 'beside': beside, 'theirs': theirs, 'ratio': theirs and figure / theirs, 'spread': 0.004,
            'repeats_within': 0.0094, 'n_rounds': 5, 'noisy': False, 'must': None, 'aim': None, 'must_reached': None,
            'aim_reached': None}
    return made | more


ROWS = [
    row('echo, depth 1', 'raw', 196000, 200000, must=0.97, aim=0.99, must_reached=True, aim_reached=False),
    row('echo, depth 1', 'uws', 196000, 198000),
    row('echo, 1 MiB', 'raw', 3600, 5000, must=0.85, must_reached=False),
    row('echo, 1 MiB', 'lws', 3600, 1440, must=2, aim=1, must_reached=True, aim_reached=True, noisy=True, repeats_within=0.31),
    row('echo, 1 MiB', 'ws', 3600, None, must=3, n_rounds=0, repeats_within=None),
    row('idle', None, 251.0, None, group='memory', unit='bytes per connection', must=256, aim=160, must_reached=True, aim_reached=False),
    row('idle, handshake', 'uws', 15.5, 16.0, group='memory', unit='µs of CPU time', must=1.0, must_reached=True),
]
FOUND = {
    'machine': {'processor': 'Z80', 'cores': 2, 'kernel': 'Linux 6.1'}, 'date': '2026-11-20', 'version': '0.1.0', 'commit': 'abc',
    'how': {'seconds': 1, 'rounds': 5, 'short': False, 'server_core': 0, 'load_core': 1}, 'versions': {'uws': 'v20'},
    'rows': ROWS, 'failures': [],
}

TABLE = """\
In messages per CPU-second.

| regime | Weft | beside | its figure | ratio | ± | must reach | | aims at | |
| --- | ---: | --- | ---: | ---: | ---: | ---: | --- | ---: | --- |
| echo, depth 1 | 196,000 | raw TCP echo | 200,000 | 0.98 | 0.9% | 0.97 | yes | 0.99 | no |
|  |  | uWebSockets | 198,000 | 0.99 | 0.9% |  |  |  |  |
| echo, 1 MiB | 3,600 | raw TCP echo | 5,000 | 0.72 | 0.9% | 0.85 | no |  |  |
|  |  | libwebsockets | 1,440 | 2.50 | 31.0% | 2.00 | too noisy | 1.00 | yes, noisy |
|  |  | npm ws | - | - |  | 3.00 | not measured |  |  |"""

MEMORY = """\
| idle (bytes per connection) | 251 |  |  |  | 0.9% | 256 | yes | 160 | no |
| idle, handshake (µs of CPU time) | 15.5 | uWebSockets | 16.0 | 0.97 | 0.9% | 1.00 | yes |  |  |"""

PANELS = """\
$regime0 << END
0 196 0x0072b2 "Weft" "196"
1 200 0x8c8c8c "raw TCP echo" "200"
2 198 0xd55e00 "uWebSockets" "198"
END
set title "echo, depth 1"
set ylabel "thousand messages per CPU-second"
plot [-0.6:2.6] [0:*] $regime0 using 1:2:3:xticlabels(4) with boxes lc rgb variable, \\
    '' using 1:2:5 with labels offset 0,0.6 tc rgb "#767676"

$regime1 << END
0 3600 0x0072b2 "Weft" "3,600"
1 5000 0x8c8c8c "raw TCP echo" "5,000"
2 1440 0x009e73 "libwebsockets" "1,440"
END
set title "echo, 1 MiB"
set ylabel "messages per CPU-second"
plot [-0.6:2.6] [0:*] $regime1 using 1:2:3:xticlabels(4) with boxes lc rgb variable, \\
    '' using 1:2:5 with labels offset 0,0.6 tc rgb "#767676"
unset multiplot
"""


class Tables(unittest.TestCase):
    maxDiff = None

    def test_a_line_a_server_and_the_regime_once(self):
        self.assertEqual(report.table(ROWS[:5]), TABLE)

    def test_units_stand_in_the_rows_where_they_differ(self):
        self.assertTrue(report.table(ROWS[5:]).endswith(MEMORY), report.table(ROWS[5:]))
        self.assertNotIn('In bytes', report.table(ROWS[5:]))

    def test_lines_for_a_terminal_say_the_same(self):
        said = report.lines(ROWS).split('\n')
        self.assertEqual(said[0].split(), 'echo, depth 1 196,000 raw TCP echo 200,000 0.98 0.9% 5 0.97 yes 0.99 no'.split())
        self.assertEqual(said[3].split(), 'libwebsockets 1,440 2.50 31.0% 5 2.00 too noisy 1.00 yes, noisy'.split())
        self.assertEqual(said[5].split(), 'idle 251 0.9% 5 256 yes 160 no'.split())
        self.assertEqual(len(said), len(ROWS))

    def test_two_rounds_judge_nothing(self):
        self.assertEqual(report.verdict(ROWS[3] | {'n_rounds': 2, 'repeats_within': 0}, 'must'), 'too noisy')

    def test_noise_of_a_figure_of_our_own(self):
        noisy = ROWS[5] | {'noisy': True, 'repeats_within': 0.1}
        self.assertEqual([report.verdict(noisy, 'must'), report.verdict(noisy, 'aim')], ['too noisy', 'no, noisy'])

    def test_what_is_missed_is_listed(self):
        self.assertEqual(report.missed(ROWS).split('\n'), [
            '- echo, 1 MiB: 0.72 of raw TCP echo; it must be 0.85',
            '- echo, 1 MiB: 2.50 of libwebsockets, too noisy to tell; it must be 2.00',
            '- echo, 1 MiB beside npm ws: not measured; it must be 3.00'])
        self.assertEqual(report.missed(ROWS[:2]), 'All that must be reached is.')


class Pages(unittest.TestCase):
    def test_say_on_what_and_when(self):
        page = report.page(FOUND)
        for words in ('Z80', 'Linux 6.1', '2026-11-20', 'commit abc', '| uWebSockets | v20 |', '![Echo](echo.svg)', '![Idle connections](memory.svg)'):
            self.assertIn(words, page)
        self.assertNotIn('socketio.svg', page)  # which was not measured

    def test_keep_what_is_written_by_hand(self):
        with tempfile.TemporaryDirectory() as folder, unittest.mock.patch('report.subprocess.run'), unittest.mock.patch('builtins.print'):
            path = os.path.join(folder, 'README.md')
            report.write(folder, FOUND)
            with open(path, encoding='utf-8') as file:
                first = file.read()
            self.assertTrue(first.endswith(report.FIRST_NOTES))
            with open(path, 'w', encoding='utf-8') as file:
                file.write(first.replace('Nothing is noted yet.', 'The kernel does this.'))
            report.write(folder, FOUND | {'date': '2027-01-01'})
            with open(path, encoding='utf-8') as file:
                second = file.read()
        self.assertEqual(second, first.replace('Nothing is noted yet.', 'The kernel does this.').replace('2026-11-20', '2027-01-01'))


class Plots(unittest.TestCase):
    maxDiff = None

    def test_have_a_panel_a_regime_and_a_bar_a_server(self):
        script = report.gnuplot(ROWS[:5], 'echo.svg')
        self.assertTrue(script.endswith(PANELS), script)
        self.assertIn('set output "echo.svg"', script)
        self.assertIn('layout 1,2', script)

    def test_leave_out_what_was_not_measured(self):
        self.assertNotIn('$regime', report.gnuplot([row('echo', 'raw', None, None)], 'echo.svg'))
