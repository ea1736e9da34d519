#!/usr/bin/python3
"""The tree agrees with itself: tree.py [TREE]

 - the README's first C block is examples/readme.c, which is compiled and run, and each further one stands in one of the examples;
 - every source and every test is named by its meson.build, so that none is forgotten;
 - no file names a package registry's host, a download address in a lock file, or a folder of somebody's own machine.
"""
import glob
import os
import re
import sys

SKIPPED = {'.git', 'build', 'node_modules'}

# Spelled in pieces, as this file is looked at as well.
HOSTS = ['registry.' + 'npmjs', 'registry.' + 'yarnpkg', 'py' + 'pi.org', 'files.' + 'pythonhosted', 'deb.' + 'debian.org',
         'security.' + 'debian.org', 'proxy.' + 'golang', 'crates' + '.io', 'unpkg' + '.com', 'jsdelivr' + '.net']
FORBIDDEN = re.compile('|'.join(re.escape(host) for host in HOSTS) + '|"resolved": *"http' +
                       r'|(?<![\w.~$)}*-])/(?:work|root|home/\w+)/')


def read(path):
    with open(path, encoding='utf-8', errors='replace') as file:
        return file.read()


def files():
    for at, folders, names in os.walk('.'):
        folders[:] = sorted(set(folders) - SKIPPED)
        for name in sorted(names):
            yield os.path.relpath(os.path.join(at, name), '.')


def readme():
    """The example stands in the README word for word."""
    for path in ('README.md', 'examples/readme.c'):
        if not os.path.exists(path):
            yield f'{path}: missing'
            return
    block = re.search(r'^```c\n(.*?)^```$', read('README.md'), re.M | re.S)
    if not block:
        yield 'README.md: no C block'
    elif block[1] != read('examples/readme.c'):
        yield 'README.md: its first C block is not examples/readme.c'
    examples = [read(path) for path in sorted(glob.glob('examples/*.c'))]
    for further in re.findall(r'^```c\n(.*?)^```$', read('README.md'), re.M | re.S)[1:]:
        if not any(further in example for example in examples):
            yield f'README.md: a C block stands in no example: {further.splitlines()[0]}'


def listed():
    """Each file to be built or run is named where its kind is listed."""
    def layer_lists(path):
        return {layer: set(re.findall(r"'([^']+)'", names))
                for layer, names in re.findall(r"'(\w+)': *\[([^\]]*)\]", read(path))}

    for path, patterns in [('src/meson.build', 'src/*/*.c'), ('tests/meson.build', 'tests/*/test_*.c')]:
        lists = layer_lists(path)
        for source in sorted(glob.glob(patterns)):
            layer, name = source.split('/')[1:]
            if path.startswith('src') and layer in ('bench', 'cli'):
                continue  # they have a list of their own: see below
            if re.sub(r'^test_|\.c$', '', name) not in lists.get(layer, ()):
                yield f'{source}: not listed in {path}'
    for pattern in ['src/bench/*.c', 'src/cli/*.c', 'examples/*.c', 'bench/*.c', 'tests/conformance/*.c', 'tests/fuzz/fuzz_*.c',
                    'tests/e2e/*.test.mjs', 'tests/e2e/test_*.py',
                    'tests/install/test_*.py']:
        for source in sorted(glob.glob(pattern)):
            folder, name = os.path.split(source)
            stem = re.sub(r'^fuzz_|\.c$', '', name)
            if not re.search(rf"'(?:{re.escape(name)}|{re.escape(stem)})'", read(os.path.join(folder, 'meson.build'))):
                yield f'{source}: not listed in {folder}/meson.build'


def foreign():
    """Nothing ties the tree to one machine or one registry."""
    for path in files():
        text = read(path)
        for match in FORBIDDEN.finditer(text):
            yield f'{path}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]}'


os.chdir(sys.argv[1] if len(sys.argv) > 1 else '.')
complaints = [*readme(), *listed(), *foreign()]
print(*complaints, f'{len(complaints)} complaints', sep='\n')
sys.exit(1 if complaints else 0)
