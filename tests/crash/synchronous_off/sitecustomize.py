"""Turns the durability of every store of this process off, so that a durability test can be seen to fail.

Python imports it at start when this folder is on PYTHONPATH; idscope itself has no such switch.
"""

from __future__ import annotations

from idscope.storage.sql import dialect_sqlite

dialect_sqlite.SYNCHRONOUS = "OFF"
