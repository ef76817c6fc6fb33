"""What tests of commands share: a listener to ask, and a data directory that names it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from operator_listener import TOKEN, Operator


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    server = Operator(tmp_path)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def data(tmp_path: Path, operator: Operator) -> Path:
    directory = tmp_path / "data"
    (directory / "control").mkdir(parents=True)
    (directory / "admin.token").write_text(TOKEN + "\n")
    described = {
        "operator_url": operator.url,
        "ca_file": str(operator.ca_file),
        "admin_token_file": str(directory / "admin.token"),
    }
    (directory / "control" / "server.json").write_text(json.dumps(described))
    return directory
