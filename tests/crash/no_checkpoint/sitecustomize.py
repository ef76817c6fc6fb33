"""Lets no store of this process checkpoint before it is closed, so that every fsync of a log is that of a commit.

Python imports it at start when this folder is on PYTHONPATH; idscope itself has no such switch.
"""

from __future__ import annotations

from idscope.storage.sql.checkpoint import CheckpointThread

assert CheckpointThread.__init__.__kwdefaults__
CheckpointThread.__init__.__kwdefaults__["period"] = 3600.0
