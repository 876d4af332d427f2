"""Certificates of a real service: given at its start, swapped by signal, by call and by file."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from component.conftest import Service
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason
from support import daemon
from support.certificates import authority
from support.events import wait_for

Start = Callable[..., Service]


def given(folder: Path) -> dict[str, str]:
    return {"POP3_TLS_CERT": str(folder / "fullchain.pem"),
            "POP3_TLS_KEY": str(folder / "privkey.pem")}  # fmt: skip


def fingerprint(service: Service) -> str:
    [found] = service.manage(lambda admin: admin.list_certificates())
    return found.fingerprint


def test_without_certificates_no_tls_port_is_opened_and_the_log_says_so(own_service: Start) -> None:
    running = own_service().daemon
    assert running.pop3_tls == 0
    assert any('event="TLS is off"' in line for line in running.log)


def test_new_pairs_are_taken_by_signal_by_call_and_by_file(
    own_service: Start, tmp_path: Path
) -> None:
    tls = tmp_path / "tls"
    authority().issue("mail.example").write(tls)
    service = own_service(**given(tls))
    assert service.daemon.pop3_tls > 0
    before, pids = fingerprint(service), service.daemon.pids()
    with service.connect() as client:
        authority().issue("mail.example").write(tls)
        os.kill(service.daemon.process.pid, signal.SIGHUP)
        wait_for(lambda: fingerprint(service) != before)
        by_signal = fingerprint(service)
        authority().issue("mail.example").write(tls)
        [told] = service.manage(lambda admin: admin.reload_certificates())
        assert told.fingerprint == fingerprint(service) != by_signal
        authority().issue("mail.example").write(tls)
        wait_for(lambda: fingerprint(service) != told.fingerprint, within_s=60)
        assert client.ask("NOOP").startswith("-ERR")
    assert service.daemon.pids() == pids


@pytest.mark.attack(16)
def test_a_bad_pair_leaves_the_one_before_it_and_shows_in_the_state(
    plain_service: Start, tmp_path: Path
) -> None:
    tls = tmp_path / "tls"
    authority().issue("mail.example").write(tls)
    service = plain_service(**given(tls))
    before, pids = fingerprint(service), service.daemon.pids()
    (tls / "privkey.pem").write_bytes(authority().issue("other.example").key)
    with pytest.raises(ManagementError, match="the key does not belong") as refused:
        service.manage(lambda admin: admin.reload_certificates())
    assert refused.value.reason is Reason.CERTIFICATE_INVALID
    assert fingerprint(service) == before
    status = service.manage(lambda admin: admin.get_status())
    assert any("the key does not belong" in warning for warning in status.warnings)
    assert service.daemon.pids() == pids


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"POP3_TLS_CERT": "{tls}/none.pem"}, "none.pem: No such file or directory"),
        ({"POP3_TLS_CERT": "{tls}/fullchain.pem"}, "fullchain.pem: there is no key in PEM"),
        ({"POP3_TLS_KEY": "{tls}/privkey.pem"}, "--tls-key is given without --tls-cert"),
        ({"POP3_TLS_DIR": "{tls}"}, "tls: there is no certificate in it"),
    ],
)
def test_a_start_with_a_bad_pair_fails_in_one_line(
    tmp_path: Path, environment: dict[str, str], told: str
) -> None:
    tls = tmp_path / "tls"
    authority().issue("mail.example").write(tls)
    filled = {name: value.format(tls=tls) for name, value in environment.items()}
    with (
        pytest.raises(RuntimeError, match="did not start") as failed,
        daemon.running(tmp_path, environment=filled),
    ):
        pass
    last = str(failed.value).splitlines()[-1]
    assert last.startswith("pop3d: ")
    assert last.endswith(told)
    assert "Traceback" not in str(failed.value)


def test_the_demo_has_a_certificate_and_keeps_it(tmp_path: Path) -> None:
    found = []
    for workers in (0, 2):
        with daemon.running(tmp_path, "--demo", workers=workers) as running:
            assert running.pop3_tls > 0
            service = Service(running)
            found.append(fingerprint(service))
            [certificate] = service.manage(lambda admin: admin.get_status()).certificates
            assert list(certificate.names) == ["pop.test", "localhost", "127.0.0.1", "::1"]
            assert certificate.self_signed
    assert found[0] == found[1]
    log = "".join(running.log)
    assert "PRIVATE" not in log
