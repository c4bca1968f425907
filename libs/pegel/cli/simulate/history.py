"""The bank's past, for the judge to learn from: weeks of counts on the stream `counts`, once in a log's life."""

import numpy as np

from pegel.cli.history import encoded
from pegel.cli.simulate.world import SEGMENTS, STEP_SECONDS, WEEK_SECONDS, World
from pegel.eventlog.identity import Identity


def records(world: World, identity: Identity, weeks: int) -> list[bytes]:
    """The history's records. The last step ends before the log was made."""
    end = identity.made_at_ms // 1000 // STEP_SECONDS * STEP_SECONDS
    starts = np.arange(end - weeks * WEEK_SECONDS, end, STEP_SECONDS)
    return encoded(int(starts[0]), STEP_SECONDS, SEGMENTS, world.counts(starts))
