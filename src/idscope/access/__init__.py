"""Who calls, and may he."""

from idscope.access.caller import Caller

__all__ = ["Caller"]
