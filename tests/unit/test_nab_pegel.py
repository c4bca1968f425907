"""The product's detector on a series as NAB has them: a score a row, and the rows in which a page leaves."""

import numpy as np

from support.nab_pegel import SETTINGS, scores_and_pages

START = 1_424_986_973
"""2015-02-26T21:42:53Z: NAB's rows don't begin with a bucket of the clock."""
DAY = 288
BURST = 3 * DAY + 7


def test_a_burst_has_the_highest_score_and_pages_once_whatever_is_set() -> None:
    # 0 ......... 1 day ............. 3 days, burst of 30 min ...... 3.5 days
    # no opinion  | scores            | a page at every setting       | none
    values = np.random.default_rng(7).poisson(20, 3 * DAY + DAY // 2).astype(float)
    values[BURST : BURST + 6] *= 6
    scores, pages = scores_and_pages([START + row * 300 for row in range(len(values))], values)
    assert (scores[: DAY // 2] == 0).all()
    assert BURST <= scores.argmax() < BURST + 12
    assert [np.flatnonzero(rows)[-1] - BURST < 6 for rows in pages] == [True] * len(SETTINGS)
    assert pages[-1].sum() == 1
