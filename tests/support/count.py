"""Counts the cases of test runs from their logs: count.py BUILD_FOLDER/meson-logs/NAME...

The last line is `N passed, N failed`; the exit status is 1 when one failed or none ran. Each case of a TAP test counts. A
test that failed without a failed case (it crashed, hung, or said nothing) counts as one more that failed.
"""
import json
import os
import re
import sys
import xml.etree.ElementTree as xml

BAD = {'FAIL', 'ERROR', 'TIMEOUT', 'INTERRUPT', 'UNEXPECTEDPASS'}
FORBIDDEN = re.compile('[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]')  # in XML; what a test prints may hold them


def cases(log):
    """{test: [passed, failed]} of one run."""
    with open(log + '.junit.xml', encoding='utf-8', errors='replace') as file:
        root = xml.fromstring(FORBIDDEN.sub('', file.read()))
    counts = {}
    for case in root.iter('testcase'):
        suite = case.get('classname')  # PROJECT.TEST of a TAP test, else PROJECT
        test = suite.partition('.')[2] or case.get('name')
        count = counts.setdefault(test, [0, 0])
        if case.find('failure') is not None or case.find('error') is not None:
            count[1] += 1
        elif case.find('skipped') is None:
            count[0] += 1
    return counts


def results(log):
    """{test: result} of one run."""
    with open(log + '.json', encoding='utf-8', errors='replace') as file:
        lines = [json.loads(line) for line in file if line.strip()]
    return {line['name']: line['result'] for line in lines}


def main(logs):
    passed = failed = 0
    for log in logs:
        if not os.path.exists(log + '.json'):
            print(f'failed: there are no tests in {log}')
            failed += 1
            continue
        counts = cases(log)
        for test, result in results(log).items():
            count = counts.setdefault(test, [0, 0])
            if result in BAD and count[1] == 0:
                count[1] = 1
                if count[0] == 1 and result == 'TIMEOUT':  # not a TAP test: the case itself, which JUnit counts as passed
                    count[0] = 0
        for test, (n_passed, n_failed) in sorted(counts.items()):
            passed += n_passed
            failed += n_failed
            if n_failed:
                print(f'failed: {test} ({n_failed} of {n_passed + n_failed}; {log}.txt)')
    print(f'{passed} passed, {failed} failed')
    return 1 if failed or not passed else 0


sys.exit(main(sys.argv[1:]))
