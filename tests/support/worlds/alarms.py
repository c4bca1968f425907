"""From scores to alarms: when one opens, closes and is raised anew."""

from dataclasses import dataclass

import numpy as np

from support.worlds.options import Ints, Singles


@dataclass(frozen=True)
class Alarms:
    """A alarms, ordered by stream and time: buckets [start, end) of a stream; each [A]."""

    stream: Ints
    start: Ints
    end: Ints

    def __len__(self) -> int:
        return len(self.stream)


def alarms(scores: Singles, threshold: float, hour: int) -> Alarms:
    """The alarms of scores [Q,N], `hour` being the buckets of one.

    One opens when the score reaches the threshold, closes when it has been below it for more than an hour, and is
    raised anew at the first high score 24 h or more after it was raised. NaN is below every threshold.
    """
    # One axis for all streams, with more than an hour between them: no alarm goes from one stream into the next.
    stride = scores.shape[1] + hour + 1
    stream, bucket = np.nonzero(scores >= np.float32(threshold))
    high = stream * stride + bucket
    if not len(high):
        none = np.zeros(0, np.int64)
        return Alarms(none, none, none)
    first = np.flatnonzero(np.r_[True, np.diff(high) > hour])
    last = np.r_[first[1:], len(high)] - 1
    firsts, lasts = [], []
    while len(first):
        again = np.searchsorted(high, high[first] + 24 * hour)
        goes_on = again <= last
        firsts.append(first)
        lasts.append(np.where(goes_on, again - 1, last))
        first, last = again[goes_on], last[goes_on]
    start, end = np.concatenate(firsts), np.concatenate(lasts)
    order = np.argsort(start)
    start, end = high[start[order]], high[end[order]]
    return Alarms(stream=start // stride, start=start % stride, end=end % stride + 1)
