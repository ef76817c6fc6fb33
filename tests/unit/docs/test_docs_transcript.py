"""The transcripts show what the server prints: banner and first steps, with the keys shortened."""

from __future__ import annotations

from pathlib import Path

import pytest
from markdown_pages import DOCS, ROOT, text_of

from idscope.app.banner import Started, banner
from idscope.app.first_steps import Target, enrollment_create, hub_monitor, python_device, python_service
from idscope.secret import Secret

PAGES = (ROOT / "README.md", DOCS / "tutorials" / "first-device.md")

DATA = Path("/home/you/idscope/idscope-data")
SHORTENED_KEY = "g39aRDlD…"


def connection_string(policy: str) -> Secret:
    return Secret(f"HostName=127.0.0.1;SharedAccessKeyName={policy};SharedAccessKey=…")


STARTED = Started(
    id_scope="0ne00B7A7F6",
    host_name="127.0.0.1",
    https_port=443,
    mqtt_port=8883,
    amqp_port=5671,
    hub_host_name="127.0.0.1",
    ca_file=DATA / "ca.pem",
    service_connection_string=connection_string("provisioningserviceowner"),
    hub_connection_string=connection_string("iothubowner"),
    operator_url="https://127.0.0.1:9443",
    admin_token=Secret("…"),
    admin_token_file=DATA / "admin.token",
    data_directory=DATA,
)
TARGET = Target(
    host_name=STARTED.host_name,
    id_scope=STARTED.id_scope,
    ca_file=STARTED.ca_file,
    service_connection_string=STARTED.service_connection_string,
    data_directory=DATA,
    command="/home/you/idscope/.venv/bin/idscope",
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_transcript_has_the_servers_facts(page: Path) -> None:
    facts, _, _ = banner(STARTED).partition("\n\n# ")

    assert facts.strip() in text_of(page)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_transcript_has_the_servers_lines(page: Path) -> None:
    for lines in (
        enrollment_create(TARGET),
        python_service(TARGET),
        python_device(TARGET),
        hub_monitor(TARGET),
    ):
        assert f"$ {lines.replace('the key printed above', SHORTENED_KEY)}\n" in text_of(page)
