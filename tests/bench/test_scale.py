"""Where a size has room, what is said about it, and how it is drawn: bench/scale*.py."""
import contextlib
import io
import os
import subprocess
import sys
import tempfile
import unittest
import unittest.mock

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../bench'))
import scale  # noqa: E402
import scale_report  # noqa: E402
from scale_room import Machine, Room, room_for, this_machine  # noqa: E402

LARGE = Machine(files_a_process=20_000, files=1 << 62, ports=28_232, tracked=0, memory_bytes=64 << 30)

REPORT = {
    'connected': 1000, 'connects_per_second': 20000.4, 'warm_up_heartbeats': 2000,
    'errors': {'lost_connections': 1, 'missing': 2, 'wrong': 0, 'doubled': 0, 'misordered': 0, 'foreign': 5, 'unsent': 0},
    'server': {'rss_bytes_per_connection': 684.4, 'pss_bytes_per_connection': 612, 'warm_up_cpu_seconds': 0.018},
    'kernel_slab_bytes_per_connection': 10000, 'kernel_socket_bytes_per_connection': 300,
    'latency_us': {'p50': 7500, 'p99': 33800}, 'to_all_us': {'count': 10, 'max': 1234567},
}


def measured(n, report=REPORT, failure=''):
    return scale.row(n, Room(1, 1, ''), scale.schedule_for(n), report, failure)


def found(rows):
    return {'machine': {'processor': 'Z80', 'cores': 2, 'kernel': 'Linux 6.1'}, 'memory_bytes': 24 << 30, 'date': '2026-11-20',
            'version': '0.1.0', 'commit': 'abc', 'rows': rows}


class TestRoom(unittest.TestCase):
    def laid_out(self, n, servers=1, **limits):
        room = room_for(n, Machine(**(vars(LARGE) | limits)), servers)
        return room.servers, room.sources, room.lacks

    def test_one_server_as_far_as_its_files_go(self):
        self.assertEqual(self.laid_out(15_000), (1, 2, ''))
        self.assertEqual(self.laid_out(19_900), (1, 2, ''))
        self.assertEqual(self.laid_out(19_901), (2, 1, ''))
        self.assertEqual(self.laid_out(1_000_000), (51, 2, ''))

    def test_at_most_20000_a_server_and_at_least_so_many_servers(self):
        self.assertEqual(self.laid_out(100_000, files_a_process=1 << 20), (5, 2, ''))
        self.assertEqual(self.laid_out(200, servers=2), (2, 1, ''))

    def test_what_is_lacking_is_said_with_the_way_out(self):
        for limits, words in (({'files_a_process': 4096}, '251 server processes with 4,096 files each, and 64 is the most: ulimit -Hn of 15,725 would do'),
                              ({'files': 1_900_000}, '2,000,000 files, and the machine has 1,900,000 left: raise fs.file-max'),
                              ({'ports': 100}, '393 source addresses with 100 ports each: widen net.ipv4.ip_local_port_range'),
                              ({'tracked': 262_144}, '1,000,000 entries in the firewall\'s table, which takes 262,144 more: raise '
                                                     'net.netfilter.nf_conntrack_max, or track nothing on lo'),
                              ({'memory_bytes': 8 << 30}, '11.3 GiB of memory, and 8.0 GiB are available: end other programs')):
            self.assertEqual(self.laid_out(1_000_000, **limits)[2], words)
        self.assertEqual(self.laid_out(10, files_a_process=64)[2], 'a process may open 64 files: raise ulimit -Hn')

    def test_this_machine(self):
        self.assertEqual(room_for(100, this_machine()).servers, 1)


class TestRow(unittest.TestCase):
    def test_figures(self):
        self.assertEqual(measured(1000), {
            'connections': 1000, 'servers': 1, 'sources': 1, 'heartbeat_s': 2, 'failure': '', 'connected': 1000, 'failures': 3,
            'connects_per_second': 20000.4, 'rss_bytes': 684.4, 'pss_bytes': 612, 'kernel_bytes': 10300, 'heartbeats': 2000, 'heartbeat_us': 9.0,
            'idle_cpu': 0.0045, 'broadcasts': 10, 'p50_ms': 7.5, 'p99_ms': 33.8, 'last_ms': 1234.567})

    def test_line(self):
        self.assertEqual(scale_report.line(measured(1000)).split(), ['1,000', '1', '1,000', '3', '20,000', '684', '612', '10,300', '2', 's', '9.0',
                                                                     '0.45%', '10', '7.5', 'ms', '33.8', 'ms', '1.23', 's'])

    def test_nothing_was_taken(self):
        self.assertEqual(scale_report.line(measured(1000, {}, 'not done within 20 s')).split(),
                         ['1,000', '1', '0', '0', '-', '-', '-', '-', '2', 's', '-', '-', '0', '-', '-', '-', 'failed:', 'not', 'done', 'within', '20', 's'])

    def test_left_out(self):
        self.assertEqual(scale_report.line({'connections': 1000000, 'left_out': 'needs 11.3 GiB of memory'}),
                         '  1,000,000  left out: it needs 11.3 GiB of memory')

    def test_columns_stand_below_their_titles(self):
        self.assertEqual(len(scale_report.title()), len(scale_report.line(measured(1000))))


class TestPage(unittest.TestCase):
    def test_rows_and_remarks(self):
        page = scale_report.page(found([measured(1000), measured(5000, failure='2 messages never came'),
                                        {'connections': 1000000, 'left_out': 'needs more'}]))
        self.assertIn('| 1,000 | 1 | 1,000 | 3 | 20,000 | 684 | 612 | 10,300 | 2 s | 9.0 | 0.45% | 10 | 7.5 ms | 33.8 ms | 1.23 s |', page)
        self.assertNotIn('| 1,000,000 |', page)
        self.assertIn('- 1,000,000 connections were left out: that needs more.\n- 5,000 connections failed: 2 messages never came.\n', page)

    def test_plots_hold_what_was_taken(self):
        rows = [measured(1000), measured(5000, {}, 'failed'), {'connections': 1000000, 'left_out': 'needs more'}]
        script = scale_report.gnuplot(rows, 'scale-memory', 'a.svg')
        self.assertIn('$curve0 << END\n1000 10300\nEND\n$curve1 << END\n1000 684.4\nEND', script)
        self.assertEqual(scale_report.gnuplot(rows[1:], 'scale-memory', 'a.svg'), '')

    def test_write(self):
        def draw(command, **options):
            self.assertEqual(command, ['gnuplot'])
            scripts.append(options['input'])
        scripts = []
        quiet = contextlib.redirect_stdout(io.StringIO())
        with tempfile.TemporaryDirectory() as folder, unittest.mock.patch.object(subprocess, 'run', draw), quiet:
            scale_report.write(folder, found([measured(1000), measured(15000)]))
            self.assertEqual(os.listdir(folder), ['scale.md'])
        self.assertEqual(len(scripts), 3)


class TestSizes(unittest.TestCase):
    def test_read(self):
        self.assertEqual(scale.read_sizes('200,15k,1M'), [200, 15_000, 1_000_000])
        for text in ('', '0', '1.5k', '-1', '1G', '11M'):
            with self.assertRaises(scale.argparse.ArgumentTypeError):
                scale.read_sizes(text)
