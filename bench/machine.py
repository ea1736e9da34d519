"""What a run was taken on, and of what: processor, cores, kernel, date, version, commit."""
import datetime
import os
import platform
import re

from servers import first_line


def describe(tree):
    with open(os.path.join(tree, 'include/weft.h'), encoding='utf-8') as file:
        version = re.search(r'WEFT_VERSION "(.*)"', file.read())[1]
    changed = first_line('git', '-C', tree, 'status', '--porcelain', '--untracked-files=no')
    return {
        'machine': {'processor': processor(), 'cores': os.cpu_count(), 'kernel': f'{platform.system()} {platform.release()}'},
        'date': datetime.datetime.now(datetime.timezone.utc).strftime('%Y-%m-%d'),
        'version': version,
        'commit': first_line('git', '-C', tree, 'rev-parse', '--short=12', 'HEAD') + (' with changes' if changed else ''),
    }


def processor():
    with open('/proc/cpuinfo', encoding='utf-8') as file:
        found = re.search(r'^(?:model name|Model|Hardware)\s*: (.*)$', file.read(), re.M)
    return found[1].strip() if found else platform.machine()
