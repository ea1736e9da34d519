"""Medians of paired ratios and the rule of noise: bench/figures.py."""
import os
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../bench'))
import figures  # noqa: E402


class RatioOf(unittest.TestCase):
    def test_is_the_median_of_the_rounds_own_ratios(self):
        # The machine is half as fast in the last round; the ratio of the medians would be 1.05.
        found = figures.ratio_of([100, 90, 55], [100, 100, 50])
        self.assertEqual((found.median, found.n_rounds), (1.0, 3))

    def test_leaves_out_rounds_in_which_one_failed(self):
        found = figures.ratio_of([100, None, 300, 400], [50, 50, None, 100])
        self.assertEqual((found.median, found.n_rounds), (3.0, 2))

    def test_is_none_without_a_round(self):
        self.assertIsNone(figures.ratio_of([None, 1], [1, None]))
        self.assertIsNone(figures.ratio_of([], []))

    def test_spread_is_half_the_distance_of_the_quartiles(self):
        found = figures.ratio_of([0.8, 0.9, 1.0, 1.1, 1.4], [1] * 5)
        self.assertAlmostEqual(found.spread, 0.1)
        self.assertAlmostEqual(figures.ratio_of([8, 9, 10, 11, 14], [5] * 5).spread, 0.1)  # as a part of the median


class Noise(unittest.TestCase):
    def test_equal_rounds_are_certain(self):
        found = figures.ratio_of([97] * 5, [100] * 5)
        self.assertEqual(found.repeats_within, 0)
        self.assertFalse(found.noisy)

    def test_another_run_stays_within_what_the_spread_says(self):
        # 2 x sqrt(2) x 1.86 x (1 + 4 / 4) x 0.01 / sqrt(4)
        self.assertAlmostEqual(figures.Ratio(1, 0.01, 4).repeats_within, 0.0526087)

    def test_the_bound_divides(self):
        self.assertFalse(figures.Ratio(1, 0.0095, 4).noisy)
        self.assertTrue(figures.Ratio(1, 0.0096, 4).noisy)

    def test_more_rounds_make_the_same_spread_certain(self):
        self.assertTrue(figures.Ratio(1, 0.02, 5).noisy)
        self.assertFalse(figures.Ratio(1, 0.02, 10).noisy)

    def test_two_rounds_are_too_few(self):
        self.assertTrue(figures.ratio_of([1, 1], [1, 1]).noisy)
        self.assertFalse(figures.ratio_of([1, 1, 1], [1, 1, 1]).noisy)


class Verdicts(unittest.TestCase):
    def test_reached_at_the_goal_itself(self):
        self.assertIs(figures.reached(0.97, 0.97), True)
        self.assertIs(figures.reached(0.969, 0.97), False)
        self.assertIsNone(figures.reached(0.97, None))
        self.assertIsNone(figures.reached(None, 0.97))

    def test_less_memory_is_better(self):
        self.assertIs(figures.reached(256, 256, lower_is_better=True), True)
        self.assertIs(figures.reached(257, 256, lower_is_better=True), False)

    def test_a_run_says_how_much_of_it_was_too_noisy(self):
        self.assertIn('within 5%', figures.summary(20, 0))
        self.assertTrue(figures.summary(20, 4).startswith('4 of 20 rows too noisy'))
        self.assertTrue(figures.summary(20, 5).startswith('too noisy: 5 of 20 rows'))
        self.assertIn('nothing', figures.summary(0, 0))
