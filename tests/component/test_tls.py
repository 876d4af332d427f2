"""TLS of a real service: STLS, a port of its own, and what hostile clients make of both."""

import poplib
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

import scale
from component.conftest import Mailbox, Service
from lineproto.stuffing import encode
from support import daemon
from support.certificates import Issued, authority, rsa_key
from support.events import wait_for
from support.mailbuilder import crlf_form, varied
from support.pop3 import Pop3
from support.tls import TlsEnd, client_context

MAIL = b"Subject: one\n\nfirst\n"
SETTINGS = {
    "POP3_MAX_ACCOUNTS": "100000",
    "POP3_MAX_CONNECTIONS": "100000",
    "POP3_MIN_LOGIN_DELAY": "0",
    "POP3_MAX_LOGIN_DELAY": "0",
}
WAYS = pytest.mark.parametrize("way", ["implicit", "stls"])
VERSIONS = pytest.mark.parametrize(
    "version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"]
)


class Secure(Service):
    """A service with certificates."""

    def in_tls(
        self,
        way: str = "implicit",
        context: ssl.SSLContext | None = None,
        name: str | None = None,
        timeout: float = 30,
    ) -> Pop3:
        context = context or client_context()
        if way == "implicit":
            return Pop3(self.daemon.pop3_tls, timeout=timeout, tls=context, name=name)
        client = self.connect(timeout)
        assert client.ask("STLS") == "+OK begin TLS negotiation now"
        client.secure(context, name)
        return client

    def ended(self, client: Pop3) -> str:
        """The line in the log that tells how a client's session ended."""
        host, port = client.socket.getsockname()
        client.close()
        return self.ended_of(f"peer={host}:{port}")

    def ended_of(self, peer: str, *, but: Sequence[str] = ()) -> str:
        """Give what the log tells of a client's session, the last one but those before."""
        found: list[str] = []

        def told() -> bool:
            found[:] = [
                line
                for line in self.daemon.log
                if 'event="session ended"' in line and peer in line.split() and line not in but
            ]
            return bool(found)

        wait_for(told)
        return found[-1]


def configured(folder: Path) -> dict[str, str]:
    """Certificates: the default, one by name, one for all names of a domain, and an RSA one."""
    authority().issue("mail.example").write(folder / "default")
    authority().issue("other.example").write(folder / "more/other")
    authority().issue("*.wild.example").write(folder / "more/wild")
    authority().issue("rsa.example", private=rsa_key()).write(folder / "more/rsa")
    return {
        "POP3_TLS_CERT": str(folder / "default/fullchain.pem"),
        "POP3_TLS_KEY": str(folder / "default/privkey.pem"),
        "POP3_TLS_DIR": str(folder / "more"),
    }


@pytest.fixture(scope="module", params=[0, 2], ids=["workers=0", "workers=2"])
def secure(request: pytest.FixtureRequest, tmp_path_factory) -> Iterator[Secure]:
    """One service for all tests that leave it as it was. At its end the log has no traceback."""
    folder = tmp_path_factory.mktemp("secure")
    environment = {**SETTINGS, **configured(folder / "tls")}
    with daemon.running(folder, workers=request.param, environment=environment) as running:
        yield Secure(running)
    assert "Traceback" not in "".join(running.log)
    assert running.process.returncode == 0


def subject(client: Pop3) -> str:
    certificate = client.tls.getpeercert() or {}
    [[(_, name)]] = certificate["subject"]
    return str(name)


# --- sessions --------------------


@WAYS
@VERSIONS
def test_a_session_in_tls_is_one_like_in_clear_text(
    secure: Secure, way: str, version: ssl.TLSVersion
) -> None:
    box = secure.account(MAIL, b"two\n")
    with secure.in_tls(way, client_context(version)) as client:
        assert client.tls.version() == version.name.replace("_", ".")
        assert client.log_in(box.name) == "+OK Logged in"
        assert client.ask("STAT") == f"+OK 2 {len(crlf_form(MAIL)) + 5}"
        assert client.ask_many("RETR 1")[1] == encode(MAIL)
        client.send(b"NOOP\r\nUIDL 2\r\nDELE 1\r\n")
        assert [client.line() for _ in range(3)] == [
            b"+OK\r\n", b"+OK 2 1002.M2P1.host\r\n", b"+OK message 1 deleted\r\n",
        ]  # fmt: skip
        assert client.ask("QUIT") == "+OK 1 messages deleted, bye"
        assert client.at_end()
        line = secure.ended(client)
    assert box.files() == {"1002.M2P1.host"}
    cipher = "TLSv1.3 TLS_" if version is ssl.TLSVersion.TLSv1_3 else "TLSv1.2 ECDHE-ECDSA-"
    assert f'tls="{cipher}' in line


def test_the_log_of_a_session_in_clear_text_speaks_of_no_tls(secure: Secure) -> None:
    with secure.connect() as client:
        client.ask("QUIT")
        assert "tls=" not in secure.ended(client)


@WAYS
def test_varied_messages_come_back_byte_exact_to_a_client_of_others(
    secure: Secure, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poplib, "_MAXLINE", 1 << 20)
    messages = [*varied(scale.VARIED_MESSAGES)]
    box = secure.account(*messages)
    if way == "implicit":
        client: poplib.POP3 = poplib.POP3_SSL(
            "127.0.0.1", secure.daemon.pop3_tls, context=client_context(), timeout=30
        )
    else:
        client = poplib.POP3("127.0.0.1", secure.daemon.pop3, timeout=30)
        client.stls(client_context())
    client.user(box.name)
    client.pass_("secret")
    count, octets = client.stat()
    sizes = [int(line.split()[1]) for line in client.list()[1]]
    assert count == len(messages)
    assert octets == sum(sizes)
    for number, message in enumerate(messages, 1):
        body = b"".join(line + b"\r\n" for line in client.retr(number)[1])
        assert body == crlf_form(message), number
        assert len(body) == sizes[number - 1]
        client.dele(number)
    assert client.quit().startswith(b"+OK")
    assert box.files() == set()


def large(box: Mailbox) -> tuple[bytes, int]:
    """Deliver one large message; give a line of it as it is sent, and how many there are."""
    line = b"." + b"x" * 1022 + b"\n"
    count = scale.LARGE_MESSAGE // len(line)
    with (box.path / "new/1.large").open("wb") as file:
        for _ in range(count):
            file.write(line)
    return b"." + line.replace(b"\n", b"\r\n"), count


@pytest.mark.parametrize("workers", [0, 2])
def test_a_large_message_takes_no_memory_and_its_slow_reader_hinders_nobody(
    tmp_path: Path, workers: int, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = {**SETTINGS, **configured(tmp_path / "tls")}
    with daemon.running(
        tmp_path, workers=workers, environment=environment, measured=True
    ) as running:
        service = Secure(running)
        box, other = service.account(), service.account(MAIL)
        line, count = large(box)
        with service.in_tls(timeout=120) as client:
            client.log_in(box.name)
            before = service.memory_kb()
            client.send(b"RETR 1\r\n")
            assert client.line() == b"+OK %d octets\r\n" % (count * (len(line) - 1))
            most = 0
            for number in range(count):
                assert client.line() == line
                if number % (count // 20) == 0:  # it stands still, and others go on
                    with service.in_tls() as quick:
                        assert quick.log_in(other.name).startswith("+OK")
                        assert quick.ask_many("RETR 1")[1] == encode(MAIL)
                        assert quick.ask("QUIT").startswith("+OK")
                    most = max(most, service.memory_kb() - before)
            assert client.line() == b".\r\n"
            assert client.ask("QUIT").startswith("+OK")
        with capsys.disabled():
            print(
                f"\n{scale.LARGE_MESSAGE >> 20} MiB in TLS, workers={workers}: {most} KiB at most"
            )
        assert most < 6 * 1024


# --- STLS --------------------


def test_stls_is_offered_before_login_in_clear_text_and_nowhere_else(secure: Secure) -> None:
    box = secure.account(MAIL)
    with secure.connect() as client:
        assert "STLS" in client.listing("CAPA")
        assert client.log_in(box.name) == "+OK Logged in"
        assert "STLS" not in client.listing("CAPA")
        client.ask("QUIT")
    for way in ("implicit", "stls"):
        with secure.in_tls(way) as client:
            assert "STLS" not in client.listing("CAPA")
            assert client.log_in(box.name) == "+OK Logged in"
            assert "STLS" not in client.listing("CAPA")
            client.ask("QUIT")


@pytest.mark.attack(14, "refused")
def test_without_certificates_stls_is_neither_offered_nor_done(service: Service) -> None:
    box = service.account(MAIL)
    with service.connect() as client:
        assert "STLS" not in client.listing("CAPA")
        assert client.ask("STLS") == "-ERR TLS is active already, or not offered here"
        assert client.log_in(box.name) == "+OK Logged in"
        assert client.ask("STAT").startswith("+OK 1 ")


@pytest.mark.attack(14, "refused")
def test_stls_in_tls_and_after_login_is_refused_and_the_session_goes_on(secure: Secure) -> None:
    box = secure.account(MAIL)
    for way in ("implicit", "stls"):
        with secure.in_tls(way) as client:
            assert client.ask("STLS").startswith("-ERR TLS is active already")
            assert client.log_in(box.name) == "+OK Logged in"
            assert client.ask("STLS") == "-ERR not allowed in TRANSACTION state"
            assert client.ask_many("RETR 1")[1] == encode(MAIL)
            client.ask("QUIT")
    with secure.connect() as client:
        client.log_in(box.name)
        assert client.ask("STLS") == "-ERR not allowed in TRANSACTION state"
        assert client.ask_many("RETR 1")[1] == encode(MAIL)


def test_stls_takes_no_argument_and_does_not_begin_then(secure: Secure) -> None:
    with secure.connect() as client:
        assert client.ask("STLS now").startswith("-ERR")
        assert client.ask("NOOP").startswith("-ERR")
        assert "STLS" in client.listing("CAPA")


@pytest.mark.attack(13)
def test_what_was_said_in_clear_text_is_forgotten(secure: Secure) -> None:
    """USER before STLS is no USER, and a name said by somebody else in between."""
    box = secure.account(MAIL)
    with secure.connect() as client:
        assert client.ask(f"USER {box.name}").startswith("+OK")
        assert client.ask("STLS").startswith("+OK")
        client.secure(client_context())
        assert client.ask("PASS secret") == "-ERR send USER first"
        assert client.log_in(box.name) == "+OK Logged in"


@pytest.mark.attack(11)
@pytest.mark.attack(12)
@pytest.mark.parametrize(
    "behind", ["USER {name}\r\n", "USER {name}\r\nPASS secret\r\n", "USER {name}"]
)
def test_what_comes_behind_stls_in_its_segment_is_thrown_away(secure: Secure, behind: str) -> None:
    """Whole commands, and a part of one that TLS would finish."""
    box = secure.account(MAIL)
    with secure.connect() as client:
        client.send(b"STLS\r\n" + behind.format(name=box.name).encode())
        assert client.line() == b"+OK begin TLS negotiation now\r\n"
        client.secure(client_context())
        assert client.ask("PASS secret") == "-ERR send USER first"
        assert client.ask("STAT") == "-ERR not allowed in AUTHORIZATION state"
        assert client.log_in(box.name) == "+OK Logged in"


# --- what is agreed on --------------------


@pytest.mark.attack(15, "alpn")
@WAYS
def test_alpn_is_pop3_and_a_client_of_another_protocol_gets_none(secure: Secure, way: str) -> None:
    """Python's ssl cannot refuse; the client sees that nothing was agreed on."""
    for offered, chosen in ((["pop3"], "pop3"), (["imap", "pop3"], "pop3"), (["http/1.1"], None)):
        with secure.in_tls(way, client_context(None, *offered)) as client:
            assert client.tls.selected_alpn_protocol() == chosen
            assert client.ask("QUIT") == "+OK bye"


@WAYS
@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("other.example", "other.example"),
        ("OTHER.example", "other.example"),
        ("a.wild.example", "*.wild.example"),
        ("rsa.example", "rsa.example"),
        ("unknown.example", "mail.example"),
        (None, "mail.example"),
    ],
)
def test_the_name_a_client_asks_for_picks_the_certificate(
    secure: Secure, way: str, asked: str | None, given: str
) -> None:
    with secure.in_tls(way, name=asked) as client:
        assert subject(client) == given
        assert client.ask("QUIT") == "+OK bye"


@pytest.mark.attack(15, "old versions")
@WAYS
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
@pytest.mark.parametrize(
    ("version", "ciphers", "told"),
    [
        (ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0", "UNSUPPORTED_PROTOCOL"),
        (ssl.TLSVersion.TLSv1_2, "ECDHE-RSA-AES128-SHA256", "NO_SHARED_CIPHER"),
        (ssl.TLSVersion.TLSv1_2, "AES256-GCM-SHA384", "NO_SHARED_CIPHER"),
        (ssl.TLSVersion.TLSv1_2, "DHE-RSA-AES256-GCM-SHA384", "NO_SHARED_CIPHER"),
    ],
)
def test_what_is_of_the_past_is_refused_and_the_log_says_why(
    secure: Secure, way: str, version: ssl.TLSVersion, ciphers: str, told: str
) -> None:
    context = client_context()
    context.set_ciphers(ciphers)
    context.minimum_version = context.maximum_version = version
    port = secure.daemon.pop3_tls if way == "implicit" else secure.daemon.pop3
    with socket.create_connection(("127.0.0.1", port), 30) as plain:
        peer = "peer={}:{}".format(*plain.getsockname())
        before = list(secure.daemon.log)  # a port of ours can have been a client's before
        if way == "stls":
            plain.sendall(b"STLS\r\n")
            with plain.makefile("rb") as file:
                assert file.readline().startswith(b"+OK POP3")
                assert file.readline() == b"+OK begin TLS negotiation now\r\n"
        with pytest.raises(ssl.SSLError):
            context.wrap_socket(plain, server_hostname="rsa.example")
    line = secure.ended_of(peer, but=before)
    assert f'reason="TLS failed: {told}"' in line
    assert "tls=" not in line


# --- hostile clients --------------------


@contextmanager
def others_go_on(secure: Secure) -> Iterator[None]:
    """A session from before, and one after, are none the worse."""
    box = secure.account(MAIL)
    with secure.in_tls() as client:
        assert client.log_in(box.name) == "+OK Logged in"
        yield
        assert client.ask_many("RETR 1")[1] == encode(MAIL)
        assert client.ask("QUIT").startswith("+OK")
    with secure.in_tls("stls") as client:
        assert client.log_in(box.name) == "+OK Logged in"


@pytest.mark.attack(15)
@pytest.mark.parametrize(
    "octets",
    [
        b"USER ana\r\nPASS secret\r\n",
        b"CAPA\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\xff\xff" + b"\x01" * 70_000,
        b"\x80\x2e\x01\x00\x02" + b"\0" * 50,
        bytes(range(256)) * 1000,
    ],
    ids=["login", "CAPA", "HTTP", "long record", "SSLv2", "noise"],
)
def test_what_is_no_tls_on_its_port_is_never_answered_in_clear_text(
    secure: Secure, octets: bytes
) -> None:
    """Also plain POP3 spoken on the port for TLS: no password is looked at."""
    with others_go_on(secure):
        before = list(secure.daemon.log)  # as above
        with socket.create_connection(("127.0.0.1", secure.daemon.pop3_tls), 30) as client:
            peer = "peer={}:{}".format(*client.getsockname())
            answer = b""
            try:
                client.sendall(octets)
                while piece := client.recv(4096):
                    answer += piece
            except ConnectionError:
                pass  # a reset is an answer too
        assert not answer or answer[0] == 0x15  # nothing but a TLS alert
        line = secure.ended_of(peer, but=before)
        assert 'reason="TLS failed: ' in line
        assert "account= " in line
        assert "commands=0" in line


def test_tls_spoken_on_the_port_for_clear_text_is_refused(secure: Secure) -> None:
    with others_go_on(secure):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            Pop3(secure.daemon.pop3, tls=client_context())


@pytest.mark.attack(15, "flood")
def test_a_client_that_is_gone_before_its_handshake_leaves_nothing(secure: Secure) -> None:
    """With a reset, with and without octets on their way."""
    with others_go_on(secure):
        for number in range(30):
            client = socket.create_connection(("127.0.0.1", secure.daemon.pop3_tls), 30)
            if number % 3:
                client.sendall(TlsEnd(client_context()).handshake()[: 1 if number % 2 else None])
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()
        wait_for(lambda: len(secure.sessions()) == 1)


@pytest.mark.attack(15)
@pytest.mark.attack(59)
def test_a_name_that_is_no_text_is_one_line_in_the_log(secure: Secure) -> None:
    hello = TlsEnd(client_context(), "marker.example").handshake()
    with others_go_on(secure):
        with socket.create_connection(("127.0.0.1", secure.daemon.pop3_tls), 30) as client:
            client.sendall(hello.replace(b"marker", b"\xff\n\xc3\xb6\x80'"))
            assert client.recv(4096)[:1] == b"\x15"
        wait_for(lambda: any('event="a callback failed"' in line for line in secure.daemon.log))
    assert all(line.startswith("timestamp=") for line in secure.daemon.log)


@pytest.mark.attack(15, "stall")
@pytest.mark.parametrize("workers", [0, 2])
def test_handshakes_that_stall_by_the_hundred_cost_little_and_hinder_nobody(
    tmp_path: Path, workers: int, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = {**SETTINGS, **configured(tmp_path / "tls")}
    count = scale.STALLED_HANDSHAKES
    with daemon.running(
        tmp_path, workers=workers, environment=environment, measured=True
    ) as running:
        service = Secure(running)
        box = service.account(MAIL)
        stalled = []

        def stall(number: int) -> None:
            way = number % 4
            port = running.pop3 if way == 3 else running.pop3_tls
            client = socket.create_connection(("127.0.0.1", port), 30)
            hello = TlsEnd(client_context()).handshake()
            # Silent; a part of the ClientHello; all of it and then nothing; STLS and a part.
            client.sendall((b"", hello[:100], hello, b"STLS\r\n")[way])
            stalled.append(client)

        def session() -> None:
            with service.in_tls() as client:
                assert client.log_in(box.name) == "+OK Logged in"
                assert client.ask_many("RETR 1")[1] == encode(MAIL)
                assert client.ask("QUIT").startswith("+OK")

        session()
        before = service.memory_kb()
        for number in range(count):
            stall(number)
            if number % 10 == 0:
                session()
        wait_for(lambda: len(service.sessions()) == count)
        used = service.memory_kb() - before
        session()
        for client in stalled:
            client.close()
        wait_for(lambda: not service.sessions())
        with capsys.disabled():
            print(f"\n{count} stalled handshakes, workers={workers}: {used / count:.1f} KiB each")
        assert used < 64 * count
        session()
        assert "Traceback" not in "".join(running.log)


# --- certificates swapped under load --------------------


@pytest.mark.attack(16)
def test_certificates_are_swapped_under_load_without_one_session_dropped(
    tmp_path: Path, own_service: Callable[..., Service]
) -> None:
    """A bad pair in between changes nothing."""
    tls = tmp_path / "tls"
    pairs = [authority().issue(f"mail{n}.example") for n in range(scale.CERTIFICATE_SWAPS + 1)]
    pairs[0].write(tls)
    service = Secure(
        own_service(
            **SETTINGS,
            POP3_TLS_CERT=str(tls / "fullchain.pem"),
            POP3_TLS_KEY=str(tls / "privkey.pem"),
        ).daemon
    )
    boxes = service.accounts(4, MAIL)
    open_box = service.account(MAIL)
    seen: list[str] = []
    faults: list[BaseException] = []
    stopping = False

    def sessions(box: Mailbox, way: str) -> None:
        try:
            while not stopping:
                with service.in_tls(way) as client:
                    seen.append(subject(client))
                    assert client.log_in(box.name) == "+OK Logged in"
                    assert client.ask_many("RETR 1")[1] == encode(MAIL)
                    assert client.ask("QUIT") == "+OK bye"
                    assert client.at_end()
        except BaseException as error:
            faults.append(error)
            raise

    def seen_anew(pair: Issued) -> None:
        """Wait for sessions that begin after now and have this certificate."""
        start = len(seen)
        name = pair.names[0]
        wait_for(lambda: faults or seen[start:].count(name) >= 2 * len(boxes))
        assert faults == []

    with service.in_tls() as kept:
        assert kept.log_in(open_box.name) == "+OK Logged in"
        threads = [
            service.in_thread(sessions, box, ("implicit", "stls")[number % 2])
            for number, box in enumerate(boxes)
        ]
        try:
            seen_anew(pairs[0])
            for number, pair in enumerate(pairs[1:], 1):
                if number % 2:
                    # One half of the new pair alone: it is refused, and what was there stays.
                    (tls / "fullchain.pem").write_bytes(pair.chain)
                    with pytest.raises(Exception, match="does not belong"):
                        service.manage(lambda admin: admin.reload_certificates())
                    seen_anew(pairs[number - 1])
                pair.write(tls)
                service.manage(lambda admin: admin.reload_certificates())
                start = len(seen)
                seen_anew(pair)
                # Those that were under way may have the old one; those after them have not.
                assert set(seen[start + len(boxes) :]) == {pair.names[0]}
                assert kept.ask_many("RETR 1")[1] == encode(MAIL)
        finally:
            stopping = True
            for thread in threads:
                thread.join(30)
        assert faults == []
        assert set(seen) == {pair.names[0] for pair in pairs}
        assert subject(kept) == pairs[0].names[0]
        assert kept.ask("QUIT") == "+OK bye"
    log = "".join(service.daemon.log)
    assert "Traceback" not in log
    assert "TLS failed" not in log
