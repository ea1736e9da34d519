#!/usr/bin/python3
"""What the pages say in C compiles: docs.py [TREE]

Each block of C in docs/*.md is a file of its own, in front of which the headers are included that every program has.
"""
import glob
import os
import re
import subprocess
import sys

HEADERS = '#include <stdio.h>\n#include <string.h>\n#include <weft.h>\n'
OPTIONS = ['-std=c17', '-Wall', '-Wextra', '-Werror', '-Wno-unused-function', '-Wno-unused-const-variable', '-Iinclude', '-fsyntax-only']


def blocks(path):
    with open(path, encoding='utf-8') as file:
        return re.findall(r'^```c\n(.*?)^```$', file.read(), re.M | re.S)


def usable(block):
    return 'weft/json.h' not in block or os.path.exists('/usr/include/jansson.h')


def complaints(path):
    for n, block in enumerate(filter(usable, blocks(path)), 1):
        said = subprocess.run(['gcc', *OPTIONS, '-x', 'c', '-'], input=HEADERS + block, stderr=subprocess.PIPE, check=False, text=True)
        if said.returncode:
            yield f'{path}: its block {n} of C does not compile\n{said.stderr}'


os.chdir(sys.argv[1] if len(sys.argv) > 1 else '.')
pages = sorted(glob.glob('docs/*.md'))
found = [line for page in pages for line in complaints(page)]
if not any(blocks(page) for page in pages):
    found.append('docs: no C')
print(*found, f'{len(found)} complaints', sep='\n')
sys.exit(1 if found else 0)
