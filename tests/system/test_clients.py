"""Real mail clients: log in, list, fetch byte-exact, delete; in clear text, by STLS and in TLS.

The clients are Debian's and from registries, each run by a script of ``clients/bin``. They trust
the tests' authority as their system's, and none is told to trust more than that.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from support.certificates import authority, pem
from support.compose import FILES, Project, project
from support.desk import HOME, IMAGE, Desk, as_archive, build_image
from support.events import wait_for
from support.mail_clients import CLIENTS, STLS, TLS, MailClient, Way
from support.mailbuilder import crlf_form, for_clients
from support.tables import Table

HOST = "pop3-service"
MAIL = for_clients()
WIRE = {trait: crlf_form(message) for trait, message in MAIL.items()}
CASES = [
    pytest.param(client, way, id=f"{client.name}-{way.name}")
    for client in CLIENTS
    for way in client.ways
]
IN_TLS = [case for case in CASES if case.values[1].tls]
OVERRIDE = """\
services:
  pop3-service:
    volumes: ["{folder}:/run/tls:ro"]
"""


@pytest.fixture(scope="module")
def server(
    engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory, running: Project
) -> Iterator[Project]:
    """The service with a certificate of the tests' authority, by way of its intermediate."""
    mail, tls = tmp_path_factory.mktemp("mail"), tmp_path_factory.mktemp("tls")
    for path in (tls, *authority().issue(HOST).write(tls)):
        path.chmod(0o755)
    override = tls / "override.yml"
    override.write_text(OVERRIDE.format(folder=tls))
    own = {"POP3_TLS_CERT": "/run/tls/fullchain.pem", "POP3_TLS_KEY": "/run/tls/privkey.pem"}
    with project(mail, engine, files=(*FILES, override), **own) as made:
        made.up()
        yield made


@contextmanager
def opened(server: Project) -> Iterator[Desk]:
    container = server.client.containers.run(
        IMAGE, detach=True, init=True, hostname="desk", network=f"{server.name}_default"
    )
    try:
        yield Desk(container, HOST, len(MAIL))
    finally:
        container.remove(force=True)


@pytest.fixture(scope="module")
def stranger(server: Project) -> Iterator[Desk]:
    """A desk that does not know the authority."""
    build_image(os.environ.get("BASE_IMAGE"))
    with opened(server) as desk:
        yield desk


@pytest.fixture(scope="module")
def desk(server: Project, stranger: Desk) -> Iterator[Desk]:
    """A desk that trusts the authority, as an administrator lets it."""
    root = pem(authority().root.certificate)
    with opened(server) as desk:
        desk.container.put_archive(str(HOME), as_archive("authority.pem", root))
        desk.container.put_archive(
            "/usr/local/share/ca-certificates", as_archive("authority.crt", root)
        )
        told = desk.container.exec_run(["update-ca-certificates"], user="root")
        assert b"1 added" in told.output, told.output
        yield desk


@pytest.fixture(scope="module")
def table(desk: Desk, clients_table: Table) -> Table:
    """What was found; printed when all tests are done."""
    for client in CLIENTS:
        told = desk.run(client, "version", client.ways[0], "")
        clients_table.cell(client.name, "version", told.output.strip())
        clients_table.cell(client.name, "what it does to mail", client.note or "nothing")
    return clients_table


def account_with_mail(server: Project, client: MailClient, way: Way, what: str) -> str:
    name = f"{client.script.partition('.')[0]}-{way.name}-{what}"
    with server.admin() as admin:
        assert admin.ask(f"ADD_USER {name} secret").startswith(("+OK", "-ERR [ALREADY-EXISTS]"))
    server.deliver(name, list(MAIL.values()))
    return name


def files(server: Project, account: str) -> int:
    return sum(1 for folder in ("new", "cur") for _ in (server.mail / account / folder).iterdir())


def sessions(server: Project, account: str) -> list[str]:
    """What the log tells of an account's sessions that are over."""
    log = server.service().logs(tail=400).decode().splitlines()
    return [it for it in log if 'event="session ended"' in it and f"={account} " in it]


def session(server: Project, account: str) -> str:
    """What the log tells of an account's session; the last one, where a client has several."""
    wait_for(lambda: bool(sessions(server, account)))
    return sessions(server, account)[-1]


def deleted(lines: list[str]) -> int:
    return sum(int(it.partition(" deleted_messages=")[2].split()[0]) for it in lines)


def strangers(server: Project, desk: Desk) -> set[str]:
    """What the log tells of connections from a desk that ended without a login."""
    desk.container.reload()
    [network] = desk.container.attrs["NetworkSettings"]["Networks"].values()
    own = ('event="session ended"', f" peer={network['IPAddress']}:", " account= ")
    log = server.service().logs(tail=200).decode().splitlines()
    return {line for line in log if all(part in line for part in own)}


def secure(line: str) -> bool:
    return 'tls="TLSv1.3 TLS_' in line


@pytest.mark.parametrize(("client", "way"), CASES)
def test_a_client_logs_in_and_lists(
    server: Project, desk: Desk, table: Table, client: MailClient, way: Way
) -> None:
    account = account_with_mail(server, client, way, "list")
    told = desk.run(client, "list", way, account)
    assert told.status == 0, told
    line = session(server, account)
    assert secure(line) is way.tls
    assert ('reason="session ended"' in line) is client.says_quit
    table.cell(client.name, "login", way.name)
    listing = told.listing()
    sizes = {number: len(wire) for number, wire in enumerate(WIRE.values(), 1)}
    whole = {"messages": len(MAIL), "octets": sum(sizes.values()), "size": sizes}
    assert listing == {what: whole[what] for what in client.shows}
    assert files(server, account) == len(MAIL)
    table.cell(client.name, "list", way.name)


@pytest.mark.parametrize(("client", "way"), CASES)
def test_a_client_fetches_every_octet(
    server: Project, desk: Desk, table: Table, client: MailClient, way: Way
) -> None:
    account = account_with_mail(server, client, way, "fetch")
    told = desk.run(client, "fetch", way, account)
    assert told.status == 0, told
    found = Counter(told.messages)
    expected = {trait: client.makes_of(trait, wire, account) for trait, wire in WIRE.items()}
    wrong = []
    for trait, octets in expected.items():
        if octets is not None and not found[octets]:
            wrong.append(trait)
        elif octets is not None:
            found[octets] -= 1
    assert not wrong, (wrong, [it[:200] for it in found.elements()])
    assert not found.total()
    assert secure(session(server, account)) is way.tls
    assert files(server, account) == len(MAIL)
    table.cell(client.name, "octets", way.name)


@pytest.mark.parametrize(("client", "way"), CASES)
def test_a_client_deletes_and_the_maildir_is_empty(
    server: Project, desk: Desk, table: Table, client: MailClient, way: Way
) -> None:
    account = account_with_mail(server, client, way, "delete")
    told = desk.run(client, "delete", way, account)
    assert told.status == 0, told
    wait_for(lambda: deleted(sessions(server, account)) >= len(MAIL))
    lines = sessions(server, account)  # several, where the client had to begin again
    assert deleted(lines) == len(MAIL), lines
    assert all(secure(it) is way.tls for it in lines)
    assert files(server, account) == 0
    table.cell(client.name, "delete", way.name)


@pytest.mark.parametrize(("client", "way"), IN_TLS)
def test_a_client_that_does_not_know_the_authority_sends_no_password(
    server: Project, stranger: Desk, client: MailClient, way: Way
) -> None:
    """So that each of the tests above has checked the certificate."""
    account = account_with_mail(server, client, way, "stranger")
    before = strangers(server, stranger)
    for limit_s in (6, 30):  # several wait for ever; on a busy machine some begin late
        told = replace(stranger, limit_s=limit_s).run(client, "fetch", way, account)
        assert told.messages == []
        with suppress(AssertionError):
            wait_for(lambda: strangers(server, stranger) - before, within_s=3)
            break
    else:
        pytest.fail("it never came to the service")
    log = server.service().logs(tail=200).decode()
    assert f"account={account} " not in log
    assert files(server, account) == len(MAIL)


def test_the_table_of_the_readme_is_what_is_tested() -> None:
    """But for the versions, which are those of the day."""
    lines = Path(__file__).with_name("README.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line]
    told = [[name, *rest] for name, _, *rest in rows[2:]]
    ways = [" ".join(way.name for way in client.ways) for client in CLIENTS]
    assert told == [
        [client.name, *[way] * 4, client.note or "nothing"]
        for client, way in zip(CLIENTS, ways, strict=True)
    ]


@pytest.mark.parametrize("way", [STLS, TLS], ids=lambda way: way.name)
def test_s_client_verifies_the_certificate(desk: Desk, way: Way) -> None:
    told = desk.openssl(way, "-verify_return_error", "-verify_hostname", HOST)
    assert "Verification: OK" in told
    assert f"Verified peername: {HOST}" in told
    assert "New, TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384" in told
    assert "+OK bye" in told
    older = desk.openssl(way, "-verify_return_error", "-tls1_2")
    assert "New, TLSv1.2, Cipher is ECDHE-ECDSA-" in older
    assert "Secure Renegotiation IS supported" in older
    assert "Compression: NONE" in older


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
@pytest.mark.parametrize("way", [STLS, TLS], ids=lambda way: way.name)
def test_s_client_is_refused_an_old_version(desk: Desk, way: Way, version: str) -> None:
    """At the lowest level of security, so that it is the server that refuses."""
    told = desk.openssl(way, version, "-cipher", "ALL:@SECLEVEL=0")
    assert "alert protocol version" in told
    assert "Cipher is (NONE)" in told


@pytest.mark.parametrize("way", [STLS, TLS], ids=lambda way: way.name)
def test_sslyze_finds_nothing_weak(
    desk: Desk, way: Way, capsys: pytest.CaptureFixture[str]
) -> None:
    scan = desk.sslyze(way)
    accepted = {
        version: [
            it["cipher_suite"]["name"]
            for it in scan[f"{version}_cipher_suites"]["accepted_cipher_suites"]
        ]
        for version in ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1", "tls_1_2", "tls_1_3")
    }
    assert {version for version, suites in accepted.items() if suites} == {"tls_1_2", "tls_1_3"}
    for suite in accepted["tls_1_2"]:
        assert suite.startswith("TLS_ECDHE_"), suite
        assert "_GCM_" in suite or "CHACHA20_POLY1305" in suite, suite
    assert not scan["tls_compression"]["supports_compression"]
    assert scan["session_renegotiation"]["supports_secure_renegotiation"]
    assert not scan["session_renegotiation"]["is_vulnerable_to_client_renegotiation_dos"]
    assert not scan["heartbleed"]["is_vulnerable_to_heartbleed"]
    assert not scan["openssl_ccs_injection"]["is_vulnerable_to_ccs_injection"]
    assert scan["robot"]["robot_result"] == "NOT_VULNERABLE_RSA_NOT_SUPPORTED"
    assert not scan["tls_1_3_early_data"]["supports_early_data"]
    assert scan["tls_fallback_scsv"]["supports_fallback_scsv"]
    [chain] = scan["certificate_info"]["certificate_deployments"]
    assert chain["received_chain_has_valid_order"]
    assert not chain["verified_chain_has_sha1_signature"]
    assert any(it["was_validation_successful"] for it in chain["path_validation_results"])
    with capsys.disabled():
        print(f"\nsslyze, {way.name}: {accepted['tls_1_3'] + accepted['tls_1_2']}")
