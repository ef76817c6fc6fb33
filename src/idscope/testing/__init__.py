"""For tests, ours and other people's: fakes, contract suites, a test CA, a whole server in two lines."""

from idscope.testing.fake_hub import FakeHubConnector, FaultyHubConnector
from idscope.testing.memory_store import MemoryStore

__all__ = ["FakeHubConnector", "FaultyHubConnector", "MemoryStore"]
