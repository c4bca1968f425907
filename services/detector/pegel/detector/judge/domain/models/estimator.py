"""The detector that pages as an estimator of river, for one series: the kernel with one row.

pegel = Pegel(bucket_seconds=300, zone="Europe/Madrid")
for x in records:                  # {"start": a bucket's begin, "count": its contacts}, in order of time
    score = pegel.score_one(x)
    pegel.learn_one(x)
"""

import copy
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from river import base

from pegel.detector.judge.domain.judgement import Judgement
from pegel.detector.judge.domain.models.kernel import Kernel
from pegel.detector.judge.domain.seasons import Zones


class Pegel(base.AnomalyDetector):
    """Implements river.base.AnomalyDetector on bucket records, mappings of which two keys are read:

    start: the bucket's begin, an aware datetime or seconds since 1970; count: contacts in it, 0 or more. Others, such
    as the segment's values, are left alone: one estimator is one segment. Buckets come in order; one that is left out
    was observed by nobody, so a quiet bucket must come with its 0.
    A record that is none raises KeyError, TypeError, ValueError.
    """

    def __init__(self, bucket_seconds: int = 300, zone: str = "UTC", country: str = "") -> None:
        """zone: IANA zone of the local day and week. country: ISO 3166 code, for its holidays; '' has none.

        Raises ValueError.
        """
        if bucket_seconds < 1 or 3600 % bucket_seconds:
            raise ValueError(f"buckets of {bucket_seconds} s do not divide an hour")
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"{zone} is no zone: {error}") from error
        self.bucket_seconds, self.zone, self.country = bucket_seconds, zone, country
        self._kernel = Kernel(bucket_seconds, Zones({country: zone}, 0))
        self._kernel.add_segments([(country,)])
        self._end: int | None = None

    def learn_one(self, x: Mapping[Any, Any]) -> None:
        start, count = self._read(x)
        self._kernel.judge(start, np.array([count], dtype=np.int64))
        self._end = start + self.bucket_seconds

    def score_one(self, x: Mapping[Any, Any]) -> float:
        """-log10 of the false pages a week that one series would have if what is as unusual as this paged.

        0 is one a week, 1 is one in ten weeks; -inf: no opinion. Nothing is learnt.
        """
        return float(self._judged(x).score[0])

    def expect_one(self, x: Mapping[Any, Any]) -> float:
        """Contacts expected in the bucket. Nothing is learnt."""
        return float(self._judged(x).expected[0])

    def _judged(self, x: Mapping[Any, Any]) -> Judgement:
        """By a copy: a kernel learns a bucket in the step in which it judges it, and of one row it is small."""
        start, count = self._read(x)
        return copy.deepcopy(self._kernel).judge(start, np.array([count], dtype=np.int64))

    def _read(self, x: Mapping[Any, Any]) -> tuple[int, int]:
        start, count = x["start"], x["count"]
        if isinstance(start, datetime):
            if start.tzinfo is None:
                raise ValueError(f"start {start} has no zone")
            start = start.timestamp()
        if start % self.bucket_seconds:
            raise ValueError(f"start {x['start']} is no begin of a bucket of {self.bucket_seconds} s")
        if self._end is not None and start < self._end:
            raise ValueError(f"start {x['start']} lies before the end of what was learnt")
        if count < 0 or count != int(count):
            raise ValueError(f"count {count} is no number of contacts")
        return int(start), int(count)
