"""What a detector says of one bucket."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Judgement:
    """Of S segments, arrays of shape (S,).

    expected, lower, upper: contacts in the bucket and its 95 % band. score: -log10 of the tail probability of the most
    telling window, 0 where the baseline is too young to tell. window_seconds: that window's length; window_observed,
    window_expected: contacts in it.
    """

    expected: Floats
    lower: Floats
    upper: Floats
    score: Floats
    window_seconds: Ints
    window_observed: Ints
    window_expected: Floats
