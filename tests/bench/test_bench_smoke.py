"""Every benchmark runs at smoke size: both servers start, each answer is the expected one, the report is whole.
No figure is judged: at this size there is none."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent.parent
ROWS = {
    "https_connections": (
        "connection, first registration",
        "connection, repeated registration",
        "connection, first registration, client certificate",
    ),
    "x509_connections": (
        "connection, first registration, X.509 group, chain of three",
        "connection, repeated registration, X.509 group, chain of three",
    ),
    "enrollments": (
        "connection, first registration, 200 enrollments",
        "connection, first registration, 300 enrollments",
    ),
    "groups": (
        "connection, first registration, last of 10 groups",
        "connection, first registration, last of 100 groups",
    ),
    "keep_alive": ("kept connection, PUT enrollment", "kept connection, GET enrollment"),
    "mqtt_connections": ("MQTT connection, first registration", "MQTT connection, repeated registration"),
    "amqp_connections": ("AMQP connection, first registration", "AMQP connection, repeated registration"),
}
IDLE = ("idle MQTT connection, provisioning", "idle MQTT connection, embedded hub")
NEIGHBOURS = {
    "https_connections": "nginx stores nothing; idscope's answer is durable.",
    "x509_connections": "nginx stores nothing; idscope's answer is durable.",
    "enrollments": "The neighbour is idscope itself",
    "groups": "The neighbour is idscope itself",
    "keep_alive": "nginx stores nothing; idscope's answer is durable.",
    "mqtt_connections": "mosquitto stores nothing and checks no password; idscope's answer is durable",
    "amqp_connections": "The neighbour is idscope itself",
}
FACTS = {
    *("date", "commit", "cpu", "cores", "kernel", "python", "idscope_openssl", "nginx", "mosquitto", "file_system"),
    *("fdatasync_median_us", "rounds"),
}


def run_bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("bench", ROWS)
def test_bench_runs_and_reports(bench: str, tmp_path: Path) -> None:
    file = tmp_path / "results.json"

    done = run_bench("--smoke", "--json", str(file), bench)

    assert done.returncode == 0, done.stderr
    results = json.loads(file.read_text())
    assert FACTS <= results["machine"].keys()
    assert tuple(row["name"] for row in results["rows"]) == ROWS[bench]
    for row in results["rows"]:
        assert row["name"] in done.stdout
        assert row["ratio"] > 0
        assert row["tls"].startswith("TLSv1.3, ")
        # The neighbour's answer is as long as ours, but for a few digits of times and lengths.
        ours, theirs = row["answer_bytes"]
        assert abs(ours - theirs) < 40 or row["beside"].startswith("idscope ")
    assert NEIGHBOURS[bench] in done.stdout


def test_idle_connections_are_weighed(tmp_path: Path) -> None:
    file = tmp_path / "results.json"

    done = run_bench("--smoke", "--json", str(file), "idle_connections")

    assert done.returncode == 0, done.stderr
    rows = json.loads(file.read_text())["rows"]
    assert tuple(row["name"] for row in rows) == IDLE
    for row in rows:
        assert row["name"] in done.stdout
        assert row["connections"] == 200
        assert row["idscope_kb"] > 0 < row["neighbour_kb"]


def test_a_directory_in_memory_is_refused() -> None:
    if not Path("/dev/shm").is_dir():
        pytest.fail("this test needs /dev/shm, which every Linux has")

    done = run_bench("--smoke", "--directory", "/dev/shm")

    assert done.returncode == 1
    assert "choose a directory on a disk" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_name_is_refused() -> None:
    done = run_bench("no-such-bench")

    assert done.returncode == 2
    assert "there is no bench called no-such-bench" in done.stderr
