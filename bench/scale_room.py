"""What so many connections need, and whether a machine has it. Nothing is started here."""
import dataclasses
import math
import os
import re
import resource

MOST_A_SERVER = 20_000  # connections; fewer where a process may open fewer files
SPARE_FILES = 100  # of a process, beside its connections
MOST_SERVERS = 64  # that weft bench takes
MOST_SOURCES = 64
KERNEL_BYTES = 10_300  # a connection: both of its ends are here
USER_BYTES = 1_500  # the server's and the generator's part
PROCESS_BYTES = 6 << 20  # a server and its share of the generator, before the first connection
KEPT_FREE = 0.08  # of what is available


@dataclasses.dataclass(frozen=True)
class Machine:
    files_a_process: int
    files: int  # that all processes may still open
    ports: int  # of one address to one server
    tracked: int  # connections that a firewall would still take; 0: none looks
    memory_bytes: int


@dataclasses.dataclass(frozen=True)
class Room:
    """How a size is laid out here; `lacks` is '' or why it cannot be, with the way out."""
    servers: int
    sources: int
    lacks: str


def room_for(n, machine, servers=1):
    """For n connections over at least so many servers."""
    most = min(MOST_A_SERVER, machine.files_a_process - SPARE_FILES)
    if most < 1:
        return Room(0, 0, f'a process may open {machine.files_a_process:,} files: raise ulimit -Hn')
    servers = max(servers, math.ceil(n / most))
    sources = math.ceil(math.ceil(n / servers) / max(1, machine.ports // 2))  # the second half of the ports is found slowly
    return Room(servers, sources, lack(n, machine, servers, sources))


def lack(n, machine, servers, sources):
    bytes_needed = n * (KERNEL_BYTES + USER_BYTES) + servers * PROCESS_BYTES
    if servers > MOST_SERVERS:
        return (f'{servers:,} server processes with {machine.files_a_process:,} files each, and {MOST_SERVERS} is the most: '
                f'ulimit -Hn of {math.ceil(n / MOST_SERVERS) + SPARE_FILES:,} would do')
    if 2 * n > machine.files:
        return f'{2 * n:,} files, and the machine has {machine.files:,} left: raise fs.file-max'
    if sources > MOST_SOURCES:
        return f'{sources:,} source addresses with {machine.ports:,} ports each: widen net.ipv4.ip_local_port_range'
    if machine.tracked and n > machine.tracked:
        return (f'{n:,} entries in the firewall\'s table, which takes {machine.tracked:,} more: raise net.netfilter.nf_conntrack_max, '
                'or track nothing on lo')
    if bytes_needed > machine.memory_bytes * (1 - KEPT_FREE):
        return f'{size(bytes_needed)} of memory, and {size(machine.memory_bytes)} are available: end other programs'
    return ''


def size(n_bytes):
    return f'{n_bytes / 2**30:.1f} GiB' if n_bytes >= 2**30 else f'{n_bytes / 2**20:.0f} MiB'


# -------------------------------------------------------------------------------------------------------- this machine
def numbers(path):
    """The numbers in a small file; none where it is not."""
    try:
        with open(path, encoding='ascii') as file:
            return [int(word) for word in file.read().split() if word.isdigit()]
    except OSError:
        return []


def this_machine():
    opened, _, most = (numbers('/proc/sys/fs/file-nr') or [0, 0, 1 << 62])[:3]
    first, last = numbers('/proc/sys/net/ipv4/ip_local_port_range') or [32768, 60999]
    tracked = numbers('/proc/sys/net/netfilter/nf_conntrack_count')
    return Machine(
        files_a_process=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        files=most - opened,
        ports=last - first + 1,
        tracked=numbers('/proc/sys/net/netfilter/nf_conntrack_max')[0] - tracked[0] if tracked and tracked[0] else 0,
        memory_bytes=available_bytes(),
    )


def available_bytes():
    """Of the machine, or what is left of the group's share where that is less."""
    with open('/proc/meminfo', encoding='ascii') as file:
        available = int(re.search(r'^MemAvailable: *(\d+) kB', file.read(), re.M)[1]) * 1024
    group = '/sys/fs/cgroup'
    most, used = (numbers(os.path.join(group, name)) for name in ('memory.max', 'memory.current'))
    return min(available, most[0] - used[0]) if most and used else available
