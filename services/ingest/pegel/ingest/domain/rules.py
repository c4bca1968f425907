"""What a valid item must obey beside its schema: who may send it, and when it may have arrived."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pegel.ingest.domain.refusals import Reason, Refusal
from pegel.schemas.contact import Amendment, Contact
from pegel.schemas.rejected import FieldError

LOCAL: Final = "local"
"""The source of what names none, where there are no tokens."""


@dataclass(frozen=True, slots=True)
class Rules:
    """For the items of one request. source: of the token; None: where there are no tokens, the item's own or LOCAL.

    oldest, newest: bounds of occurred_at in wall mode; None in data mode, whose files are of the past.
    old, ahead: why an item beyond them is refused.
    """

    source: str | None
    oldest: datetime | None = None
    newest: datetime | None = None
    old: str = "is too old"
    ahead: str = "lies too far ahead"

    def source_of(self, item: Contact | Amendment) -> str:
        """Whose item it is."""
        return self.source or item.source or LOCAL

    def refuse(self, index: int, item: Contact | Amendment) -> Refusal | None:
        """None when the item may pass."""
        when = item.occurred_at if type(item) is Contact else _amended_time(item)
        foreign = self.source is not None and item.source is not None and item.source != self.source
        ahead = when is not None and self.newest is not None and when > self.newest
        old = when is not None and self.oldest is not None and when < self.oldest
        if not (foreign or ahead or old):
            return None
        reason: Reason = "source" if foreign else "time"
        errors = []
        if ahead or old:
            path = "occurred_at" if isinstance(item, Contact) else "set.occurred_at"
            errors.append(FieldError(field=path, reason=self.ahead if ahead else self.old))
        if foreign:
            errors.append(FieldError(field="source", reason="is not the source that the token is for"))
        faulty = {error.field for error in errors}
        return Refusal(index, reason, tuple(errors), item.model_dump(mode="json", exclude_none=True, exclude=faulty))


def _amended_time(item: Contact | Amendment) -> datetime | None:
    return item.set.occurred_at if isinstance(item, Amendment) and item.set else None
