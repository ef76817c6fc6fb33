"""Owns the rules of topic names and topic filters, and which names a filter matches. It must not know what any topic
is for."""

from __future__ import annotations

from typing import Final

from idscope.protocols.mqtt.packets import ProtocolError

_MANY: Final = "#"
_ONE: Final = "+"


def check_topic_name(name: str) -> None:
    """Raises ProtocolError where the name is empty or has a wildcard [4.7.3-1, 3.3.2-2]."""
    if not name or _MANY in name or _ONE in name:
        raise ProtocolError("a topic name is empty or holds a wildcard")


def check_topic_filter(text: str) -> None:
    """Raises ProtocolError where the filter is empty, or a wildcard does not stand for whole levels [4.7.1-2, 4.7.1-3,
    4.7.3-1]."""
    if not text:
        raise ProtocolError("a topic filter is empty")
    if _MANY not in text and _ONE not in text:
        return
    *levels, last = text.split("/")
    if (_MANY in last and last != _MANY) or any(_MANY in level for level in levels):
        raise ProtocolError("a topic filter has a # that is not its whole last level")
    if any(_ONE in level and level != _ONE for level in (*levels, last)):
        raise ProtocolError("a topic filter has a + that is not a whole level")


def matches(text: str, name: str) -> bool:
    """Whether the topic name is one that the filter asks for; both are of the right form.

    A filter that begins with a wildcard matches no name that begins with `$` [4.7.2-1].
    """
    if text == name:
        return True
    if name.startswith("$") and text[:1] in (_MANY, _ONE):
        return False
    if text.endswith("/#") and _ONE not in text:
        return name.startswith(text[:-1]) or name == text[:-2]  # also the level above it [4.7.1.2]
    wanted, given = text.split("/"), name.split("/")
    if wanted[-1] == _MANY:
        wanted.pop()
        if len(given) < len(wanted):
            return False
        given = given[: len(wanted)]
    return len(wanted) == len(given) and all(one in (_ONE, level) for one, level in zip(wanted, given, strict=True))
