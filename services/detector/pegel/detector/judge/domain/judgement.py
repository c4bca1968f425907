"""What a detector says of one bucket."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Judgement:
    """Of S segments and W windows that end with the bucket.

    expected, lower, upper: contacts in the bucket and its 95 % band, shape (S,). window_seconds: the windows' lengths,
    shortest first, shape (W,). scores: -log10 of each window's tail probability, 0 where the baseline is too young to
    tell, shape (W, S). window_observed, window_expected: contacts in them, shape (W, S).
    """

    expected: Floats
    lower: Floats
    upper: Floats
    window_seconds: Ints
    scores: Floats
    window_observed: Ints
    window_expected: Floats

    @property
    def score(self) -> Floats:
        """Of the most telling window, shape (S,)."""
        best: Floats = self.scores.max(axis=0)
        return best
