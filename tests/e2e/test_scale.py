"""bench/scale.py with the built programs: a small size over two servers, and that nothing is left of it however it ends."""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

TREE = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../..')
COMMAND = [sys.executable, os.path.join(TREE, 'bench/scale.py'), '--weft', os.environ['WEFT'], '--conformance', os.environ['WEFT_CONFORMANCE']]


def words(pid):
    try:
        with open(f'/proc/{pid}/cmdline', encoding='utf-8') as file:
            return file.read().split('\0')
    except OSError:
        return []


def descendants(pid):
    """Processes that it started, and that those did."""
    try:
        with open(f'/proc/{pid}/task/{pid}/children', encoding='ascii') as file:
            children = [int(word) for word in file.read().split()]
    except OSError:
        return []
    return children + [one for child in children for one in descendants(child)]


def wait_until(condition, what):
    ends = time.monotonic() + 60
    while not (found := condition()):
        if time.monotonic() > ends:
            raise AssertionError(what)
        time.sleep(0.02)
    return found


class TestScale(unittest.TestCase):
    def start(self, *options):
        process = subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def test_two_servers(self):
        with tempfile.TemporaryDirectory() as folder:
            os.mkdir(os.path.join(folder, 'bench'))
            process = self.start('--sizes', '200', '--servers', '2', '--build', folder)
            out, said = process.communicate(timeout=120)
            self.assertEqual(process.returncode, 0, out + said)
            with open(os.path.join(folder, 'bench/scale.json'), encoding='utf-8') as file:
                found = json.load(file)
        row, = found['rows']
        self.assertEqual((row['servers'], row['connected'], row['failures'], row['broadcasts']), (2, 200, 0, 10), row)
        self.assertGreaterEqual(row['heartbeats'], 200)
        self.assertTrue(row['heartbeat_us'] > 0 and row['rss_bytes'] > 0, row)
        self.assertTrue(0 < row['p50_ms'] <= row['p99_ms'] <= row['last_ms'], row)

    def test_left_out_where_there_is_no_room(self):
        limited = ['sh', '-c', 'ulimit -n 150; exec "$@"', 'sh', *COMMAND, '--sizes', '5k', '--build', '/nowhere']
        ended = subprocess.run(limited, capture_output=True, text=True, check=False, timeout=60)
        self.assertEqual(ended.returncode, 0, ended.stderr)
        self.assertIn('5,000  left out: it needs 100 server processes with 150 files each, and 64 is the most: ulimit -Hn of 179 would do\n', ended.stdout)

    def test_a_server_that_does_not_start(self):
        ended = subprocess.run([*COMMAND, '--sizes', '10', '--conformance', '/bin/false', '--build', '/nowhere'], capture_output=True, text=True,
                               check=False, timeout=60)
        self.assertEqual(ended.returncode, 1, ended.stderr)
        self.assertIn('failed: no address from ', ended.stdout)

    def ends_with(self, number, status):
        process = self.start('--sizes', '200', '--servers', '2', '--build', '/nowhere')

        def all_there():
            """Two servers, and the generator with its two processes."""
            pids = descendants(process.pid)
            return pids if sum('bench' in words(pid) for pid in pids) == 3 else None
        started = wait_until(all_there, 'does not begin')
        process.send_signal(number)
        process.wait(60)
        self.assertEqual(process.returncode, status)
        wait_until(lambda: not any(words(pid) for pid in started), 'something is left')

    def test_sigint(self):
        self.ends_with(signal.SIGINT, 130)

    def test_sigterm(self):
        self.ends_with(signal.SIGTERM, 143)

    def test_sigkill(self):
        self.ends_with(signal.SIGKILL, -signal.SIGKILL)
