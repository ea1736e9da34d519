#!/usr/bin/python3
"""The manual is well formed and agrees with the header and the examples: manual.py [TREE]

 - `mandoc -T lint` has nothing to say about a page;
 - weft(3) lists every function that <weft.h> declares, with what it includes, once, and no other; it names every WEFT_E_*;
 - its example is examples/readme.c.

That weft(1) names the options of the command is a test of the suite install, which has the command.
"""
import glob
import os
import re
import subprocess
import sys


def read(path):
    with open(path, encoding='utf-8') as file:
        return file.read()


def lint():
    pages = sorted(glob.glob('man/*.[0-9]'))
    if not pages:
        yield 'man: no pages'
    for page in pages:
        said = subprocess.run(['mandoc', '-T', 'lint', '-W', 'style', page], stdout=subprocess.PIPE, check=False, text=True)
        for line in said.stdout.splitlines():
            if 'referenced manual not found' not in line:  # on this machine
                yield line


def included(name, seen=()):
    """The header and those of ours that it includes, each once."""
    seen = [*seen, name]
    for other in re.findall(r'^#include <(weft/\w+\.h)>', read(f'include/{name}'), re.M):
        if other not in seen:
            seen = included(other, seen)
    return seen


def functions():
    whole = ''.join(read(f'include/{name}') for name in included('weft.h'))
    header = re.sub(r'/\*.*?\*/', '', whole, flags=re.S)
    declared = set(re.findall(r'^(?:WEFT_API|static inline)\s[^;{(]*?(\w+)\(', header, re.M))
    page = read('man/weft.3')
    listed = re.findall(r'^(?:\.It Fn|\.It\n\.Fn) (\w+)$', page, re.M)
    if not declared:
        yield 'include/weft.h: declares nothing'
    for name in sorted(declared - set(listed)):
        yield f'man/weft.3: {name} is not listed'
    for name in sorted(set(listed)):
        if name not in declared:
            yield f'man/weft.3: {name} is not in <weft.h>'
        elif listed.count(name) > 1:
            yield f'man/weft.3: {name} is listed twice'
    for name in sorted(set(re.findall(r'^ *(WEFT_E_\w+) =', header, re.M))):
        if not re.search(rf'\b{name}\b', page):
            yield f'man/weft.3: {name} is not named'


def example():
    block = re.search(r'^\.Sh EXAMPLES$.*?^\.Bd -literal$\n(.*?)^\.Ed$', read('man/weft.3'), re.M | re.S)
    if not block:
        yield 'man/weft.3: no example'
        return
    text = block[1].replace(r'\&', '').replace(r'\-', '-').replace(r'\e', '\\')
    if text != read('examples/readme.c'):
        yield 'man/weft.3: its example is not examples/readme.c'


os.chdir(sys.argv[1] if len(sys.argv) > 1 else '.')
complaints = [*lint(), *functions(), *example()]
print(*complaints, f'{len(complaints)} complaints', sep='\n')
sys.exit(1 if complaints else 0)
