"""What a thousand to a million connections cost, as lines for a terminal, as a page in Markdown and as plots by gnuplot."""
import os
import subprocess

from report import GREY

# Told apart with either kind of colour blindness, on white and on black.
BLUE, ORANGE, GREEN = '#0072b2', '#d55e00', '#009e73'


# ------------------------------------------------------------------------------------------------------------- in words
def number(value, digits=0):
    return '-' if value is None else f'{value:,.{digits}f}'


def duration(ms):
    if ms is None:
        return '-'
    return f'{ms / 1000:.1f} s' if ms >= 10_000 else f'{ms / 1000:.2f} s' if ms >= 1000 else f'{ms:.0f} ms' if ms >= 100 else f'{ms:.1f} ms'


def share(value):
    """Of a CPU."""
    return '-' if value is None else f'{value:.0%}' if value >= 0.1 else f'{value:.1%}' if value >= 0.01 else f'{value:.2%}'


# (title of a terminal, of the page, width, what stands there)
COLUMNS = [
    ('connections', 'connections', 11, lambda row: f'{row["connections"]:,}'),
    ('servers', 'server processes', 7, lambda row: f'{row["servers"]}'),
    ('connected', 'connected', 10, lambda row: f'{row["connected"]:,.0f}'),
    ('failures', 'failures', 8, lambda row: f'{row["failures"]:,.0f}'),
    ('a second', 'connected a second', 8, lambda row: number(row['connects_per_second'])),
    ('RSS B', 'RSS', 7, lambda row: number(row['rss_bytes'])),
    ('PSS B', 'PSS', 7, lambda row: number(row['pss_bytes'] or None)),
    ('kernel B', 'kernel', 8, lambda row: number(row['kernel_bytes'])),
    ('every', 'heartbeat every', 5, lambda row: f'{row["heartbeat_s"]:g} s'),
    ('us each', 'CPU each', 7, lambda row: number(row['heartbeat_us'], 1)),
    ('idle CPU', 'server CPU', 8, lambda row: share(row['idle_cpu'])),
    ('sent', 'broadcasts', 4, lambda row: f'{row["broadcasts"]:.0f}'),
    ('p50', 'p50', 8, lambda row: duration(row['p50_ms'])),
    ('p99', 'p99', 8, lambda row: duration(row['p99_ms'])),
    ('last', 'last', 8, lambda row: duration(row['last_ms'])),
]


def heading(found):
    on = found['machine']
    return (f'{on["processor"]}, {on["cores"]} cores, {found["memory_bytes"] / 2**30:.0f} GiB, {on["kernel"]}; Weft {found["version"]}, '
            f'{found["commit"]}\nmemory: bytes a connection, of the server and of the kernel (both ends); heartbeats: CPU time of the '
            f'server; broadcast: time until it is there\n')


def title():
    return '  '.join(f'{name:>{width}}' for name, _, width, _ in COLUMNS)


def line(row):
    if 'left_out' in row:
        return f'{row["connections"]:>11,}  left out: it {row["left_out"]}'
    said = '  '.join(f'{text(row):>{width}}' for _, _, width, text in COLUMNS)
    return said + (f'\n{"":>11}  failed: {row["failure"]}' if row['failure'] else '')


# ---------------------------------------------------------------------------------------------------------- as Markdown
def table(rows):
    made = ['| ' + ' | '.join(name for _, name, _, _ in COLUMNS) + ' |', '| ' + ' | '.join('---:' for _ in COLUMNS) + ' |']
    made += ['| ' + ' | '.join(text(row) for _, _, _, text in COLUMNS) + ' |' for row in rows if 'left_out' not in row]
    return '\n'.join(made)


def remarks(rows):
    """Of sizes that were left out, or failed."""
    made = [f'- {row["connections"]:,} connections were left out: that {row["left_out"]}.' for row in rows if 'left_out' in row]
    made += [f'- {row["connections"]:,} connections failed: {row["failure"]}' + '.' for row in rows if row.get('failure')]
    return '\n'.join(made) + '\n\n' if made else ''


PLOTS = {'scale-memory': 'Memory a connection', 'scale-cpu': 'CPU time of heartbeats', 'scale-reach': 'Time of a broadcast'}


def page(found):
    on = found['machine']
    plots = '\n\n'.join(f'![{name}]({file}.svg)' for file, name in PLOTS.items())
    return f"""# A thousand to a million connections

`./dev scale --write` took these figures and wrote this page on {found['date']}.

| | |
| --- | --- |
| processor | {on['processor']} |
| cores | {on['cores']} |
| memory | {found['memory_bytes'] / 2**30:.0f} GiB |
| kernel | {on['kernel']} |
| Weft | {found['version']}, commit {found['commit']} |

{table(found['rows'])}

{remarks(found['rows'])}{plots}

How they were taken:

- WebSockets over loopback, uncompressed, to `weft-conformance broadcast`, in one process with one loop as far as its descriptors go (`ulimit -Hn`, at most 20,000), then in as many as it takes, each on a port of its own. `weft bench idle` is the other end, with as many processes, from several source addresses. Servers and generator share all cores.
- Each server had 16 connections and a broadcast before, so that what it needs but once is not counted.
- `RSS` and `PSS` are bytes a connection that the server processes have more at the end than before the first connection. What libraries take counts for less in PSS once the generator has them too, so that it falls short in the small sizes, and may be nothing (`-`). `kernel` is what the slabs and socket buffers of the whole machine have grown by, a connection: both of its ends are in it, and whatever else the machine did meanwhile, which shows in the small sizes.
- First nothing happens but heartbeats: a ping of the server to each connection `every` so many seconds, and a pong. `CPU each` is CPU time of the servers then, a heartbeat, in µs, and `server CPU` what that comes to at this interval, of one CPU. (25 s is what Weft does unless told.)
- Then messages of 100 B go out by the clock, one connection a server process sending it to all others there, at the same moment. `p50` and `p99` are the time until a connection has it, over all connections and broadcasts, `last` until the last one has it, in the slowest broadcast.
- `failures` are connections lost or not made, and messages lost, altered, doubled or out of order.
"""


# ------------------------------------------------------------------------------------------------------------- as plots
def curve(rows, key, unit=1):
    """(connections, value) of the sizes in which it was taken."""
    return [(row['connections'], row[key] / unit) for row in rows if row.get(key)]


# Of each plot: (unit, [(name, colour, key)]).
CURVES = {
    'scale-memory': ('bytes a connection', [('kernel, both ends', ORANGE, 'kernel_bytes'), ('server, RSS', BLUE, 'rss_bytes'),
                                            ('server, PSS', GREEN, 'pss_bytes')]),
    'scale-cpu': ('µs of the server\'s CPU time a heartbeat', [('heartbeat', BLUE, 'heartbeat_us')]),
    'scale-reach': ('ms until a broadcast is there', [('last', ORANGE, 'last_ms'), ('p99', BLUE, 'p99_ms'), ('p50', GREEN, 'p50_ms')]),
}


def gnuplot(rows, plot, file):
    """A script that draws one plot: logarithmic both ways, but CPU time from zero."""
    unit, wanted = CURVES[plot]
    curves = [(name, colour, curve(rows, key)) for name, colour, key in wanted]
    curves = [one for one in curves if one[2]]
    data = '\n'.join(f'$curve{n} << END\n' + '\n'.join(f'{x} {y:g}' for x, y in points) + '\nEND' for n, (_, _, points) in enumerate(curves))
    drawn = ', \\\n    '.join(f'$curve{n} with linespoints lw 2 pt 7 ps 0.7 lc rgb "{colour}" title "{name}"'
                             for n, (name, colour, _) in enumerate(curves))
    axes = 'x' if plot == 'scale-cpu' else 'xy'
    sizes = sorted({x for _, _, points in curves for x, _ in points} or {1})
    return f"""set terminal svg noenhanced size 640,360 font "sans-serif,12"
set output "{file}"
set logscale {axes}
set xrange [{sizes[0] * 0.7:g}:{sizes[-1] * 1.4:g}]
{'set yrange [0:*]' if axes == 'x' else ''}
set xtics ({', '.join(f'"{n:,}" {n}' for n in sizes)})
set format y "%.0f"
set rmargin 6
set xlabel "connections" tc rgb "{GREY}"
set ylabel "{unit}" tc rgb "{GREY}"
set border 3 lc rgb "{GREY}"
set grid ytics lc rgb "{GREY}" lw 0.3
set tics nomirror tc rgb "{GREY}"
{f'set key left top tc rgb "{GREY}"' if len(curves) > 1 else 'unset key'}
set offsets graph 0, graph 0, graph 0.1, 0
{data}
plot {drawn}
""" if curves else ''


def write(folder, found):
    """scale.md and its plots."""
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, 'scale.md'), 'w', encoding='utf-8') as file:
        file.write(page(found))
    for plot in PLOTS:
        script = gnuplot(found['rows'], plot, os.path.join(folder, plot + '.svg'))
        if script:
            subprocess.run(['gnuplot'], input=script, text=True, check=True)
    print(f'wrote {folder}')
