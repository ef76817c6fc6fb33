"""The composition root: builds the server from its settings, runs its workers, stops them."""

from idscope.app.run import run

__all__ = ["run"]
