"""What rounds of measurements amount to: medians, how far they can be trusted, and whether a goal is reached.

The ratio of two servers is the median of the rounds' own ratios. Half the distance between their quartiles is the spread.
For n rounds of normal noise the median is then known to 1.86 x spread / sqrt(n), one standard error, and the medians of
two runs of n rounds differ by more than 2 x sqrt(2) of that in one run of twenty. The spread of few rounds is a guess
itself, for which 1 + 4 / n is added: `repeats_within`. That is what has to stay under REPEATS_WITHIN, so more rounds help,
and a row that promises less than that is too noisy to be judged.
"""
import dataclasses
import math
import statistics

REPEATS_WITHIN = 0.05
MIN_ROUNDS = 3  # fewer have no quartiles to speak of


@dataclasses.dataclass(frozen=True)
class Ratio:
    median: float
    spread: float  # half of the interquartile range, as a part of the median
    n_rounds: int

    @property
    def repeats_within(self):
        """What another run's median stays within, as a part of this one, 19 times of 20."""
        return 2 * math.sqrt(2) * 1.86 * (1 + 4 / self.n_rounds) * self.spread / math.sqrt(self.n_rounds)

    @property
    def noisy(self):
        return self.n_rounds < MIN_ROUNDS or self.repeats_within > REPEATS_WITHIN


def ratio_of(ours, theirs):
    """Of figures that were taken in the same rounds, in the order of the rounds; None stands for one that failed."""
    ratios = [a / b for a, b in zip(ours, theirs) if a and b]
    if not ratios:
        return None
    median = statistics.median(ratios)
    return Ratio(median, spread(ratios) / median, len(ratios))


def spread(values):
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method='inclusive')
    return (high - low) / 2


def median(values):
    there = [value for value in values if value]
    return statistics.median(there) if there else None


def reached(value, goal, lower_is_better=False):
    """None where there is no goal."""
    if goal is None or value is None:
        return None
    return value <= goal if lower_is_better else value >= goal


def summary(n_rows, n_noisy):
    """One sentence about a whole run; a fifth of its rows too noisy is a noisy machine."""
    if not n_rows:
        return 'nothing was measured that has a goal'
    if not n_noisy:
        return f'{n_rows} rows; another run should give ratios within {REPEATS_WITHIN:.0%} of these'
    if n_noisy * 5 > n_rows:
        return f'too noisy: {n_noisy} of {n_rows} rows; it takes a quieter machine, or more rounds (--minutes)'
    return f'{n_noisy} of {n_rows} rows too noisy; another run should give ratios within {REPEATS_WITHIN:.0%} of the others'
