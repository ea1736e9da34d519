"""What a run found, as lines for a terminal, as a page in Markdown and as plots by gnuplot."""
import os
import subprocess

import figures
import results
from regimes import GROUPS
from servers import NAMES

KEPT = '<!-- From here on written by hand: ./dev bench --write keeps it. -->'
FIRST_NOTES = KEPT + '\n\nNothing is noted yet.\n'

# Of bars; told apart with either kind of colour blindness, on white and on black.
COLOURS = dict(zip(NAMES, ['#0072b2', '#0072b2', '#56b4e9', '#8c8c8c', '#8c8c8c', '#56b4e9', '#d55e00', '#009e73', '#cc79a7',
                           '#b8860b', '#b8860b', '#009e73']))
GREY = '#767676'  # 4.5 to 1 on white, and nearly so on black


# ------------------------------------------------------------------------------------------------------------- in words
def number(value):
    if value is None:
        return '-'
    return f'{value:,.0f}' if abs(value) >= 100 else f'{value:.1f}'


def ratio(value):
    return '-' if value is None else f'{value:.2f}' if value < 10 else f'{value:.1f}'


def goal(row, name):
    value = row[name]
    return '' if value is None else ratio(value) if row['beside'] else number(value)


def verdict(row, name):
    """yes, no, or that it cannot be told."""
    if row[name + '_reached'] is None:
        return '' if row[name] is None else 'not measured'
    said = 'yes' if row[name + '_reached'] else 'no'
    if not row['noisy']:
        return said
    value = row['ratio'] if row['beside'] else row['figure']
    clear = row['n_rounds'] >= figures.MIN_ROUNDS and abs(value - row[name]) > value * row['repeats_within']
    return said + ', noisy' if clear else 'too noisy'


def within(row):
    return '' if row['repeats_within'] is None else f'{row["repeats_within"]:.1%}'


def heading(found):
    how, on = found['how'], found['machine']
    title = f'{"":<42}{"Weft":>11}  {"beside":<25}{"its":>11}{"ratio":>7}{"+-":>7}{"rounds":>7}     must reach           aims at'
    return (f'{on["processor"]}, {on["cores"]} cores, {on["kernel"]}; Weft {found["version"]}, {found["commit"]}\n'
            f'server on core {how["server_core"]}, generator on core {how["load_core"]}; about {how["rounds"]} rounds of '
            f'{how["seconds"]:g} s; per CPU-second of the server\n\n{title}')


def line(row, first):
    name, ours = (row['regime'], number(row['figure'])) if first else ('', '')
    beside = NAMES[row['beside']] if row['beside'] else ''
    theirs = number(row['theirs']) if row['beside'] else ''
    goals = [f'{goal(row, name):>7} {verdict(row, name):<13}' if row[name] is not None else ' ' * 21 for name in ('must', 'aim')]
    return (f'{name:<42}{ours:>11}  {beside:<25}{theirs:>11}{ratio(row["ratio"]) if row["beside"] else "":>7}{within(row):>7}'
            f'{row["n_rounds"]:>7}  {goals[0]}{goals[1]}').rstrip()


def lines(rows):
    before = [None, *(row['regime'] for row in rows)]
    return '\n'.join(line(row, row['regime'] != last) for row, last in zip(rows, before))


# ---------------------------------------------------------------------------------------------------------- as Markdown
def by_group(rows):
    return {group: [row for row in rows if row['group'] == group] for group in GROUPS if any(row['group'] == group for row in rows)}


def table(rows):
    units = list(dict.fromkeys(row['unit'] for row in rows))
    made = [f'In {units[0]}.\n'] if len(units) == 1 else []
    made += ['| regime | Weft | beside | its figure | ratio | ± | must reach | | aims at | |',
             '| --- | ---: | --- | ---: | ---: | ---: | ---: | --- | ---: | --- |']
    last = None
    for row in rows:
        name = row['regime'] if len(units) == 1 else f'{row["regime"]} ({row["unit"]})'
        cells = [name, number(row['figure'])] if name != last else ['', '']
        last = name
        cells += [NAMES[row['beside']], number(row['theirs']), ratio(row['ratio'])] if row['beside'] else ['', '', '']
        cells += [within(row), goal(row, 'must'), verdict(row, 'must'), goal(row, 'aim'), verdict(row, 'aim')]
        made.append('| ' + ' | '.join(cells) + ' |')
    return '\n'.join(made)


def missed(rows):
    """One line for each goal that has to be reached and is not, or cannot be told."""
    made = []
    for row in rows:
        said = verdict(row, 'must')
        if said and not said.startswith('yes'):
            value = f'{ratio(row["ratio"])} of {NAMES[row["beside"]]}' if row['beside'] else f'{number(row["figure"])} {row["unit"]}'
            what = {'too noisy': f': {value}, too noisy to tell', 'not measured': f' beside {NAMES.get(row["beside"], "")}: not measured'}
            made.append(f'- {row["regime"]}{what.get(said, ": " + value)}; it must be {goal(row, "must")}')
    return '\n'.join(made) or 'All that must be reached is.'


def page(found, notes=FIRST_NOTES):
    on, how = found['machine'], found['how']
    versions = '\n'.join(f'| {NAMES[who]} | {version} |' for who, version in found['versions'].items())
    judged = results.judged(found['rows'])
    sections = '\n\n'.join(f'## {GROUPS[group]}\n\n![{GROUPS[group]}]({group}.svg)\n\n{table(rows)}'
                           for group, rows in by_group(found['rows']).items())
    return f"""# Side by side

`./dev bench{' --short' if how['short'] else ''} --write` took these figures and wrote this page on {found['date']}.

| | |
| --- | --- |
| processor | {on['processor']} |
| cores | {on['cores']} |
| kernel | {on['kernel']} |
| Weft | {found['version']}, commit {found['commit']} |
{versions}

How they were taken:

- Over loopback: the server on core {how['server_core']}, the generator (`bench/wsload.c`) on core {how['load_core']}. A server with two loops has two cores; where there are no three, both loops run on the one, so that only their cost shows and not what they gain.
- The unit is messages or deliveries divided by the CPU time of the server's process, so that it holds where the generator is the bottleneck. Of memory (resident, of the server's process) and of CPU time less is better.
- A round went through all regimes before the next began. The servers of a regime ran in turn, each started anew, {how['seconds']:g} s of measurement each (1 MiB: 1 s at least, 16 in flight: 0.6 s at least), in {how['rounds']} rounds, or more as below, or 3 where time was short. A figure is the median of the rounds; a ratio, ours to theirs, is the median of the rounds' own ratios.
- ± is what the median of another run should stay within, 19 times of 20, by the spread of the rounds' ratios: 2√2 · 1.86 · (1 + 4 / rounds) · half their interquartile range / √rounds. Where that was more than {figures.REPEATS_WITHIN:.0%}, more rounds were taken while there was time; where it still is, a goal within ± counts as `too noisy` to judge and one beyond it as `yes, noisy` or `no, noisy`.

This run: {figures.summary(len(judged), sum(row['noisy'] for row in judged))}.

{sections}

## What is not reached

{missed(found['rows'])}

{notes}"""


def kept_notes(text):
    """What somebody wrote into an earlier page."""
    return text[text.index(KEPT):] if KEPT in text else FIRST_NOTES


# ------------------------------------------------------------------------------------------------------------- as plots
def label(value):
    return f'{value:,.0f}' if value >= 100 else f'{value:.3g}'


# From which value on a plot counts in what.
SCALES = [(1e6, 1e6, 'million '), (1e4, 1e3, 'thousand '), (0, 1, '')]


def bars(rows):
    """(name, figure, colour) of each server of one regime."""
    made = {row['ours']: row['figure'] for row in rows[:1]}
    made |= {row['beside']: row['theirs'] for row in rows if row['beside']}
    return [(NAMES[who], value, COLOURS[who]) for who, value in made.items() if value is not None]


def panel(rows, n):
    """Linear from zero, a bar a server."""
    drawn = bars(rows)
    largest = max(value for _, value, _ in drawn)
    _, size, word = next(scale for scale in SCALES if abs(largest) >= scale[0])
    data = '\n'.join(f'{at} {value / size:g} 0x{colour[1:]} "{name}" "{label(value / size)}"' for at, (name, value, colour) in enumerate(drawn))
    return f"""$regime{n} << END
{data}
END
set title "{rows[0]['regime']}"
set ylabel "{word}{rows[0]['unit']}"
plot [-0.6:{len(drawn) - 0.4:g}] [0:*] $regime{n} using 1:2:3:xticlabels(4) with boxes lc rgb variable, \\
    '' using 1:2:5 with labels offset 0,0.6 tc rgb "{GREY}"
"""


def gnuplot(rows, file):
    """A script that draws one group: a panel a regime."""
    names = list(dict.fromkeys(row['regime'] for row in rows))
    panels = [[row for row in rows if row['regime'] == name] for name in names]
    panels = [rows for rows in panels if bars(rows)]
    columns = min(3, len(panels)) or 1
    height = -(-len(panels) // columns)
    return f"""set terminal svg noenhanced size {columns * 340},{height * 320} font "sans-serif,11"
set output "{file}"
set multiplot layout {height},{columns}
set boxwidth 0.7
set style fill solid 1 noborder
set border 3 lc rgb "{GREY}"
set grid ytics lc rgb "{GREY}" lw 0.3
set tics nomirror tc rgb "{GREY}"
set xtics rotate by -35 scale 0
set title tc rgb "{GREY}"
set ylabel tc rgb "{GREY}"
set rmargin 5
set bmargin 6
set offsets graph 0, graph 0, graph 0.12, 0
unset key
""" + '\n'.join(panel(rows, n) for n, rows in enumerate(panels)) + 'unset multiplot\n'


def write(folder, found):
    """README.md, of which the notes stay, and a plot a group."""
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, 'README.md')
    notes = FIRST_NOTES
    if os.path.exists(path):
        with open(path, encoding='utf-8') as file:
            notes = kept_notes(file.read())
    with open(path, 'w', encoding='utf-8') as file:
        file.write(page(found, notes))
    for group, rows in by_group(found['rows']).items():
        subprocess.run(['gnuplot'], input=gnuplot(rows, os.path.join(folder, group + '.svg')), text=True, check=True)
    print(f'wrote {folder}')
