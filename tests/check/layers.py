#!/usr/bin/python3
"""Folders are layers and includes go down only: layers.py [TREE]"""
import os
import re
import sys

# What each layer may include, beside itself and <weft.h>.
BASE = {'base'}
NET = BASE | {'loop', 'proto', 'net'}
BELOW = {
    'base': set(),
    'loop': BASE,
    'proto': BASE,
    'net': BASE | {'loop', 'proto'},
    'http': NET,
    'hub': NET,
    'client': NET | {'http', 'hub'},
    'transport': NET | {'http', 'hub', 'client'},
    'app': NET | {'http', 'hub', 'client', 'transport'},
    'bench': BASE | {'loop', 'proto'},
    'cli': {'bench'},
}
OUTSIDE = ['examples', 'tests/conformance']  # see <weft.h> and their own folder
GENERATED = {'cli': {'demo_chatroom.h', 'demo_page.h', 'demo_progress.h', 'demo_script.h', 'demo_sendmsg.h', 'demo_style.h'}, 'transport': {'weft_js.h'}}
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)


def sources(folder):
    for at, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            if name.endswith(('.c', '.h')):
                yield os.path.join(at, name)


def includes(path):
    with open(path, encoding='utf-8') as file:
        text = file.read()
    for match in INCLUDE.finditer(text):
        yield text.count('\n', 0, match.start()) + 1, match[1], match[2]


def complaint(path, layer, quote, name):
    """What is wrong with an include in a file of src/LAYER, or None."""
    if name == 'weft.h':
        return None if quote == '<' else 'write <weft.h>'
    other = name.split('/')[0]
    if '/' in name and other in BELOW:
        if other != layer and other not in BELOW[layer]:
            return f'{layer} may not see {other}'
        return None if quote == '"' and os.path.exists(os.path.join('src', name)) else 'no such header of ours'
    if quote == '"' and name not in GENERATED.get(layer, ()):
        return None if layer == 'cli' and os.path.exists(os.path.join('src/cli', name)) else 'write "LAYER/NAME.h"'
    return None


def complaint_outside(path, quote, name):
    if quote == '<':
        return 'sees <weft.h> only' if os.path.exists(os.path.join('src', name)) else None
    return None if os.path.exists(os.path.join(os.path.dirname(path), name)) and '..' not in name else 'sees <weft.h> only'


def main():
    os.chdir(sys.argv[1] if len(sys.argv) > 1 else '.')
    wrong = n = 0
    for path in [path for folder in ['src'] + OUTSIDE for path in sources(folder)]:
        parts = path.split('/')
        layer = parts[1] if parts[0] == 'src' else None
        n += 1
        if layer and layer not in BELOW:
            print(f'{path}: src/{layer} is no layer')
            wrong += 1
            continue
        for line, quote, name in includes(path):
            what = complaint(path, layer, quote, name) if layer else complaint_outside(path, quote, name)
            if what:
                print(f'{path}:{line}: {name}: {what}')
                wrong += 1
    print(f'{n} files, {wrong} wrong includes')
    return 1 if wrong or not n else 0


sys.exit(main())
