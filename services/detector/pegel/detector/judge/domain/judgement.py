"""What a detector says of one bucket."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Lines(NamedTuple):
    """Of R roll-ups: observed and expected contacts in the bucket, and score, shape (R,)."""

    names: Sequence[tuple[str, ...]]
    observed: Floats
    expected: Floats
    score: Floats


class Windows(NamedTuple):
    """Sums that end with the bucket, of W windows, shape (W,). variance: of `observed` when nothing is wrong."""

    seconds: Ints
    observed: Ints
    expected: Floats
    variance: Floats


@dataclass(frozen=True, slots=True)
class Judgement:
    """Of S segments.

    expected, lower, upper: contacts in the bucket and its 95 % band, shape (S,). score: -log10 of the false pages a
    week that the whole installation would have if what is as unusual as this paged: 0 is one a week, 1 is one in ten
    weeks; -inf: no opinion, shape (S,). baseline_days: learnt, own: whether they are enough to stand on, else it is
    borrowed from others, shape (S,). windows: of one line, by its name (a segment's or a roll-up's).
    """

    expected: Floats
    lower: Floats
    upper: Floats
    score: Floats
    baseline_days: Floats
    own: NDArray[np.bool_]
    rollups: Lines
    windows: Callable[[tuple[str, ...]], Windows]
