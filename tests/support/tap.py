"""Runs one file of unittest tests and says how each case went in TAP: tap.py FILE"""
import importlib.util
import sys
import traceback
import unittest


class Tap(unittest.TestResult):
    def say(self, ok, test, more=''):
        print(f'{"ok" if ok else "not ok"} {self.testsRun} - {test.id().partition(".")[2]}{more}', flush=True)

    def complain(self, test, error):
        self.say(False, test)
        for line in ''.join(traceback.format_exception(*error)).splitlines():
            print('# ' + line, flush=True)

    def addSuccess(self, test):
        self.say(True, test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.complain(test, err)

    def addError(self, test, err):
        super().addError(test, err)
        self.complain(test, err)

    def addSkip(self, test, reason):
        self.say(True, test, f' # SKIP {reason}')


spec = importlib.util.spec_from_file_location('tests', sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
suite = unittest.defaultTestLoader.loadTestsFromModule(module)
print(f'1..{suite.countTestCases()}', flush=True)
result = Tap()
suite.run(result)
sys.exit(0 if result.wasSuccessful() else 1)
