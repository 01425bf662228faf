#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Wrong, missing, added and late words count against a speaker."""

import pathlib
import unittest

from words import Prompt, Spoken, compare, judge, words


def spoken(text: str, begin: float, end: float) -> Spoken:
    return Spoken(Prompt("test", pathlib.Path(), text, b"", end - begin), begin, end)


class Compare(unittest.TestCase):
    def counts(self, written: str, heard: str) -> tuple[int, int, int]:
        share = compare(written, heard)
        return share.right, share.written, share.added

    def test_spelling(self) -> None:
        self.assertEqual(words("Press 1, re-enter Don't."), ["press", "one", "re", "enter", "don't"])

    def test_counts(self) -> None:
        self.assertEqual(self.counts("one two three", "One, two, three."), (3, 3, 0))
        self.assertEqual(self.counts("one two three", "one too three"), (2, 3, 0))
        self.assertEqual(self.counts("one two three", "one three"), (2, 3, 0))
        self.assertEqual(self.counts("one two three", "one two three and four"), (3, 3, 2))
        self.assertEqual(self.counts("one two three", ""), (0, 3, 0))


class Judge(unittest.TestCase):
    def setUp(self) -> None:
        self.said = [spoken("one two", 1, 2), spoken("three four", 4, 5)]

    def test_good(self) -> None:
        verdict = judge(self.said, [(3, "one two"), (5.5, "three"), (6.25, "four")])
        self.assertEqual((verdict.share.percent, verdict.latest), (100, 1.25))
        self.assertTrue(verdict.holds(95, 1.5))
        self.assertFalse(verdict.holds(95, 1))

    def test_late_words_count_for_the_next_prompt(self) -> None:
        self.assertFalse(judge(self.said, [(4.5, "one two"), (6, "three four")]).holds(95, 9))

    def test_end_noticed_late(self) -> None:
        verdict = judge([spoken("one two", 1, 4)], [(2.5, "one two")])
        self.assertEqual((verdict.share.percent, verdict.latest), (100, 0))

    def test_last_words_missing(self) -> None:
        self.assertFalse(judge([spoken("one two", 1, 4)], [(2.5, "one")]).holds(0, 1e9))

    def test_nothing_heard(self) -> None:
        self.assertFalse(judge(self.said, []).holds(0, 1e9))

    def test_nothing_said(self) -> None:
        self.assertFalse(judge([], []).holds(95, 1.5))


if __name__ == "__main__":
    unittest.main()
