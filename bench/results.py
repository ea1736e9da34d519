"""The rows of a regime: each figure beside each other server, with its goal and whether it is reached. Nothing is measured here.

A row is a dict of plain values, so that a run can be kept as JSON and its tables and plots be made again from that.
"""
from figures import median, ratio_of, reached
from regimes import counting


def rows(one, rounds, available):
    """`rounds` has for each server a list with the generator's figures of each round, {} where it was not measured."""
    made = []
    for figure in one.figures:
        goals = {goal.beside: goal for goal in counting(figure.goals, available)}
        with_goals, others = one.besides(available)
        besides = [*goals, *(who for who in (*with_goals, *others) if who in rounds)]
        for beside in dict.fromkeys(besides or [None]):
            made.append(row(one, figure, beside, goals.get(beside), rounds))
    return made


def row(one, figure, beside, goal, rounds):
    ours = [said.get(figure.what) for said in rounds[one.ours]]
    theirs = [said.get(figure.what) for said in rounds.get(beside, [])] if beside else [1.0] * len(ours)
    ratio = ratio_of(ours, theirs)
    made = {
        'group': one.group,
        'regime': one.name + (', ' + figure.title if figure.title else ''),
        'unit': figure.unit,
        'lower_is_better': figure.lower_is_better,
        'ours': one.ours,
        'figure': median(ours),
        'beside': beside,
        'theirs': median(theirs) if beside else None,
        'ratio': None, 'spread': None, 'repeats_within': None, 'n_rounds': 0, 'noisy': False,
        'must': goal and goal.must, 'aim': goal and goal.aim, 'must_reached': None, 'aim_reached': None,
    }
    if ratio:
        value = ratio.median
        made |= {'ratio': value if beside else None, 'spread': ratio.spread, 'repeats_within': ratio.repeats_within,
                 'n_rounds': ratio.n_rounds, 'noisy': ratio.noisy,
                 'must_reached': reached(value, made['must'], figure.lower_is_better),
                 'aim_reached': reached(value, made['aim'], figure.lower_is_better)}
    return made


def judged(made):
    """Rows that were measured and have a goal: noise matters there."""
    return [one for one in made if one['n_rounds'] and (one['must'] is not None or one['aim'] is not None)]


def noisy_besides(made):
    return {one['beside'] for one in judged(made) if one['noisy']}
