"""What is written on the log for a valid item."""

from datetime import datetime
from typing import Final

from pegel.ingest.domain.pseudonyms import Pseudonymise
from pegel.schemas.contact import Amendment, AmendmentRecord, Contact

_HEAD: Final = b'{"kind":"contact","v":1,'
_encoded = Contact.__pydantic_serializer__.to_json


def contact_record(contact: Contact, source: str, pseudonymise: Pseudonymise) -> bytes:
    """The bytes of the ContactRecord (a test holds them against its encode()). Uses up the contact.

    Building a second model of 24 fields costs three times what validation did. The contact was just made from a body
    and nobody else has it, so its values are changed in place although it is frozen for everybody else.
    """
    values = contact.__dict__
    values["source"] = source
    pseudonymise(values, contact.occurred_at)
    return _HEAD + _encoded(contact, exclude_none=True)[1:]


def amendment_record(amendment: Amendment, source: str, pseudonymise: Pseudonymise, now: datetime) -> bytes:
    """The bytes of the AmendmentRecord.

    An amendment that does not say when its contact occurred gets pseudonyms of the period of `now`: ingest stores
    nothing, so it can't know. A repeated one may come out with others; its amendment_id says that it is the same.
    """
    values = amendment.model_dump(exclude_none=True)
    values["source"] = source
    if "set" in values:
        pseudonymise(values["set"], values["set"].get("occurred_at", now))
    return AmendmentRecord.model_validate(values).encode()
