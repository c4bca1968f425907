"""What schemathesis can't know of our formats; it loads this by name (support.openapi)."""

from datetime import UTC, datetime, timedelta

import schemathesis
from hypothesis import strategies as st

_NOW = datetime.now(UTC).replace(tzinfo=None)

schemathesis.openapi.format(
    # Contacts are taken up to 35 days old: of all times only these are valid wherever a time is sent.
    "date-time",
    st.datetimes(_NOW - timedelta(days=30), _NOW - timedelta(minutes=1)).map(
        lambda moment: moment.replace(tzinfo=UTC).isoformat()
    ),
)
