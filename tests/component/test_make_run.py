"""``make run``: both services in the foreground, without Docker."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.daemon import IPV6_BIND

ROOT = Path(__file__).parents[2]
Run = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def make_run(tmp_path: Path) -> Run:
    """Starts it with folders and ports of its own, in what is installed already."""

    def start(port: int = 0) -> subprocess.Popen[str]:
        stamp = tmp_path / "run.stamp"
        (tmp_path / "mail").mkdir()
        options = (
            f"-p {port} -P 0 --bind-ipv6 {IPV6_BIND} --grpc-listen 127.0.0.1:0"
            f" -d {tmp_path}/mail --data-dir {tmp_path}/data"
        )
        words = [f"VENV={tmp_path}", f"BIN={Path(sys.executable).parent}", f"ARGS={options}"]
        return subprocess.Popen(
            ["make", "-o", str(stamp), "run", *words],
            cwd=ROOT,
            env={**os.environ, "SCMP_PORT": "0"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    return start


def test_ctrl_c_ends_both_services_in_order(make_run: Run) -> None:
    running = make_run()
    assert running.stdout is not None
    told = []
    waited_for = {'event="service started"', 'event="gateway started"'}
    while waited_for and (line := running.stdout.readline()):
        told.append(line)
        waited_for -= {it for it in waited_for if it in line}
    os.killpg(running.pid, signal.SIGINT)
    rest, _ = running.communicate(timeout=120)
    # make itself dies of the signal once the recipe has ended.
    assert running.returncode in (0, -signal.SIGINT), (told, rest)
    assert 'event="service stopped"' in rest
    assert 'event="gateway stopped"' in rest
    assert "user1 / pass1" in "".join(told)


def test_a_service_that_cannot_start_ends_the_other_and_is_a_failure(make_run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        running = make_run(taken.getsockname()[1])
        told, _ = running.communicate(timeout=120)
    assert "cannot listen" in told
    assert running.returncode != 0
