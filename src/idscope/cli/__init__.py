"""The command line: a file per noun."""

from idscope.cli.root import main

__all__ = ["main"]
