#!/usr/bin/python3
"""SECURITY.md tells of what is there: security.py [TREE]

 - each row of its table names tests, and each test that it names exists;
 - each limit that is counted under the name of a setting (src/base/limits.c) stands in it, and reaches a test by that name's limit_id.
"""
import glob
import os
import re
import sys


def read(path):
    with open(path, encoding='utf-8') as file:
        return file.read()


def rows(text):
    """The cells of each row, without the two lines of the head."""
    lines = [line.strip().strip('|').split(' | ') for line in text.splitlines() if line.startswith('|')]
    return [[cell.strip() for cell in line] for line in lines[2:]]


def tests():
    unit = {name for path in glob.glob('tests/*/test_*.c') for name in re.findall(r'^static void (\w+__\w+)\(', read(path), re.M)}
    return unit | {os.path.basename(path) for path in glob.glob('tests/e2e/*.test.mjs')}


def table(text):
    known = tests()
    if not rows(text) or not known:
        yield 'SECURITY.md: no rows, or no tests'
    for row in rows(text):
        if len(row) != 4:
            yield f'SECURITY.md: "{row[0]}" has {len(row)} cells, not 4'
            continue
        named = re.findall(r'`([^`]+)`', row[3])
        if not named:
            yield f'SECURITY.md: "{row[0]}" names no test'
        for name in named:
            if not name.startswith('./dev ') and name not in known:
                yield f'SECURITY.md: there is no test {name} ("{row[0]}")'


def limits(text):
    names = re.findall(r'\[(LIMIT_\w+)\] = "([^"]*)"', read('src/base/limits.c'))
    reached = read('tests/app/test_limits_each.c')
    if not names:
        yield 'src/base/limits.c: no names'
    for limit, name in names:
        if re.fullmatch(r'[a-z]+(_[a-z]+)+', name) and f'`{name}`' not in text:
            yield f'SECURITY.md: {name} is not named'
        if not re.search(rf'\b{limit}\b', reached):
            yield f'tests/app/test_limits_each.c: {limit} is not reached'


os.chdir(sys.argv[1] if len(sys.argv) > 1 else '.')
security = read('SECURITY.md')
complaints = [*table(security), *limits(security)]
print(*complaints, f'{len(complaints)} complaints', sep='\n')
sys.exit(1 if complaints else 0)
