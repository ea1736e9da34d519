#!/usr/bin/python3
"""Functions that have no place in this tree: banned.py [TREE]. Calls only; comments and strings are not looked at."""
import glob
import os
import re
import sys

UNSAFE = ('strcpy strncpy strcat strncat stpcpy sprintf vsprintf gets strtok atoi atol atoll atof alloca system popen '
          'rand srand random tmpnam mktemp gmtime localtime ctime asctime')
MEMORY = 'malloc calloc realloc reallocarray free strdup strndup asprintf vasprintf aligned_alloc posix_memalign'
OUTPUT = 'printf fprintf vprintf vfprintf dprintf puts fputs putchar perror exit _exit quick_exit abort'

# (functions, what to say, where it holds, files it does not hold for)
RULES = [
    (UNSAFE, 'is unsafe', ['include/*.h', 'src/*/*.[ch]', 'examples/*.c', 'tests/conformance/*.[ch]'], ''),
    (MEMORY, 'is called by src/base/mem.c alone: use mem_new() and its like', ['src/*/*.[ch]'], r'src/(base/mem\.c|cli/.*)'),
    (OUTPUT, 'has no place in a library: it never prints and never ends the process', ['src/*/*.[ch]'], r'src/(cli/.*|bench/(bench|crew|report)\.c)'),
]

TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def code(path):
    """The text with comments and literals blanked, line for line."""
    with open(path, encoding='utf-8') as file:
        return TOKEN.sub(lambda match: re.sub(r'[^\n]', ' ', match[0]), file.read())


def main():
    os.chdir(sys.argv[1] if len(sys.argv) > 1 else '.')
    wrong = 0
    seen = set()
    for names, what, patterns, excepted in RULES:
        call = re.compile(r'(?<![\w.])(?<!->)(' + '|'.join(names.split()) + r')\s*\(')
        for path in sorted(path for pattern in patterns for path in glob.glob(pattern)):
            seen.add(path)
            if re.fullmatch(excepted, path):
                continue
            text = code(path)
            for match in call.finditer(text):
                print(f'{path}:{text.count(chr(10), 0, match.start()) + 1}: {match[1]}() {what}')
                wrong += 1
    print(f'{len(seen)} files, {wrong} banned calls')
    return 1 if wrong or not seen else 0


sys.exit(main())
