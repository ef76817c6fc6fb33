"""Owns the grammar of registration ids and enrollment group ids. It must not know who carries one."""

from __future__ import annotations

import re
from typing import Final

from idscope.errors import InvalidRegistrationId

MAX_LENGTH: Final = 128

# The widest published form: the last character may also be a hyphen (D:concepts-service), ids are case-insensitive.
_GRAMMAR: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._:-]{0,126}[A-Za-z0-9-])?\Z", re.ASCII)


def check_registration_id(text: str) -> str:
    """The id as it was spelled; raises InvalidRegistrationId where it is not of the published form."""
    if not _GRAMMAR.match(text):
        raise InvalidRegistrationId
    return text


def registration_key(text: str) -> str:
    """The key under which all spellings of an id are one: ASCII lower case."""
    return check_registration_id(text).lower()
