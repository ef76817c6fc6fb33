"""Whole-path measurements against something real that runs beside the server in the same call.

`python -m bench` runs all of them; how they are read: docs/reference/performance.md.
"""
