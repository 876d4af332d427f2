"""Certificates over their files' lives: read, changed, half written, out of time."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import structlog

from pop3_service.control.plane import CertificatePair
from pop3_service.domain.errors import CertificateInvalid, ServiceError, ServiceUnavailable
from pop3_service.supervisor.tls import x509
from pop3_service.supervisor.tls.certificates import CertificatesDesk
from pop3_service.supervisor.tls.demo import DemoCertificate
from pop3_service.supervisor.tls.files import CertificateFiles
from pop3_service.supervisor.tls.messages import (
    Make,
    PairOctets,
    Read,
    ReadAnswer,
    Unusable,
    Usable,
)
from pop3_service.supervisor.tls.reader import CertificateReader
from pop3_service.worker.tls import server_context
from support.certificates import Issued, authority, rsa_key
from unit.pop3_service.clock import FakeClock

DAY = timedelta(days=1)
DAY_S = 86_400.0


class Reader(CertificateReader):
    """The same without a process; it can fail."""

    def __init__(self) -> None:
        self.asked = 0
        self.failure: ServiceError | None = None

    async def read(self, pairs: Sequence[PairOctets]) -> list[Usable | Unusable]:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        answer = x509.answer(Read(list(pairs)))
        assert isinstance(answer, ReadAnswer)
        return answer.found

    async def make(
        self, names: Sequence[str], not_before: datetime, not_after: datetime
    ) -> PairOctets:
        if self.failure is not None:
            raise self.failure
        return x509.make(Make(list(names), not_before, not_after))


@dataclass
class House:
    """A folder of certificates, and who looks after them."""

    folder: Path
    clock: FakeClock = field(default_factory=FakeClock)
    reader: Reader = field(default_factory=Reader)
    applied: list[list[CertificatePair]] = field(default_factory=list)
    logs: list[dict[str, object]] = field(default_factory=list)

    def issue(self, *names: str, **more: object) -> Issued:
        start = self.clock.now() - DAY
        return authority().issue(*names, **{"start": start, **more})  # type: ignore[arg-type]

    def desk(
        self,
        chain: str | None = "fullchain.pem",
        key: str | None = "privkey.pem",
        further: str | None = None,
    ) -> CertificatesDesk:
        paths = [self.folder / it if it else None for it in (chain, key, further)]
        files = CertificateFiles(*paths)
        return CertificatesDesk(
            files, "pop.example", self.reader, server_context, self.apply, self.clock
        )

    def demo(self, host_name: str = "pop.example") -> CertificatesDesk:
        demo = DemoCertificate(self.folder / "tls", host_name, self.reader, self.clock)
        return CertificatesDesk(
            None, host_name, self.reader, server_context, self.apply, self.clock, demo
        )

    async def apply(self, pairs: list[CertificatePair]) -> None:
        self.applied.append(pairs)

    def events(self, event: str) -> list[dict[str, object]]:
        return [it for it in self.logs if it["event"] == event]


REFUSED = "certificate not taken; what was in force stays"
TROUBLE = "certificates not read; those in force stay"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    with structlog.testing.capture_logs() as logs:
        made.logs = logs  # type: ignore[assignment]
        yield made


async def looked(desk: CertificatesDesk, times: int = 2) -> None:
    for _ in range(times):
        await desk.look()


# --- at start --------------------


async def test_without_certificates_there_is_no_tls_and_the_log_says_so(house: House) -> None:
    desk = CertificatesDesk(None, "x", house.reader, server_context, house.apply, house.clock)
    await desk.load()
    assert (desk.pairs, desk.in_force(), desk.warnings()) == ([], [], [])
    assert [it["event"] for it in house.logs] == ["TLS is off"]
    async with desk.watching():
        desk.reload_soon()
    with pytest.raises(CertificateInvalid, match="TLS is off"):
        await desk.reload("ana")


async def test_a_pair_is_read_and_told(house: House) -> None:
    issued = house.issue("mail.example", "imap.example")
    chain, _ = issued.write(house.folder)
    desk = house.desk()
    await desk.load()
    assert desk.pairs == [issued.pair]
    assert house.applied == [[issued.pair]]
    [certificate] = desk.in_force()
    assert certificate.names == ("mail.example", "imap.example")
    assert certificate.is_default
    assert certificate.source == str(chain)
    assert certificate.not_after == house.clock.now() + 89 * DAY
    [told] = house.events("certificate in force")
    assert (told["days_left"], told["names"]) == (89, "mail.example imap.example")
    assert desk.warnings() == []


async def test_the_key_may_be_in_the_same_file(house: House) -> None:
    issued = house.issue("mail.example")
    (house.folder / "both.pem").write_bytes(issued.key + issued.chain)
    desk = house.desk("both.pem", None)
    await desk.load()
    assert desk.pairs == [issued.pair]


async def test_further_pairs_come_after_the_default_in_order_of_folder(house: House) -> None:
    default = house.issue("mail.example")
    default.write(house.folder)
    others = [house.issue(f"{name}.example") for name in "ab"]
    for name, issued in zip("ab", others, strict=True):
        issued.write(house.folder / "live" / name)
    (house.folder / "live" / "README").write_text("certbot leaves this")
    (house.folder / "live" / "empty").mkdir()
    (house.folder / "live" / ".hidden").mkdir()
    desk = house.desk(further="live")
    await desk.load()
    assert desk.pairs == [default.pair, *(it.pair for it in others)]
    assert [it.is_default for it in desk.in_force()] == [True, False, False]


async def test_without_a_named_pair_the_default_is_this_hosts_own(house: House) -> None:
    first, own = house.issue("a.example"), house.issue("pop.example")
    first.write(house.folder / "live/a")
    own.write(house.folder / "live/b")
    desk = house.desk(None, None, "live")
    await desk.load()
    assert desk.pairs == [own.pair, first.pair]


@pytest.mark.parametrize("further", ["live", "nowhere"])
async def test_a_start_without_any_pair_in_the_folder_fails(house: House, further: str) -> None:
    (house.folder / "live").mkdir()
    with pytest.raises(CertificateInvalid, match=f"{further}: (there is no|No such)"):
        await house.desk(None, None, further).load()


async def test_a_start_with_a_file_that_is_missing_fails(house: House) -> None:
    issued = house.issue("mail.example")
    chain, key = issued.write(house.folder)
    key.unlink()
    with pytest.raises(CertificateInvalid, match=r"privkey\.pem: No such file"):
        await house.desk().load()
    chain.unlink()
    with pytest.raises(CertificateInvalid, match=r"fullchain\.pem: No such file"):
        await house.desk().load()


@pytest.mark.parametrize("kind", ["fifo", "folder", "large"])
async def test_what_is_no_plain_file_is_refused_without_waiting(house: House, kind: str) -> None:
    chain, _ = house.issue("mail.example").write(house.folder)
    chain.unlink()
    if kind == "fifo":
        os.mkfifo(chain)
    elif kind == "folder":
        chain.mkdir()
    else:
        chain.write_bytes(b"x" * (1024 * 1024 + 1))
    with pytest.raises(CertificateInvalid, match=r"fullchain\.pem: not a file"):
        await house.desk().load()


async def test_a_start_with_a_key_of_another_certificate_fails(house: House) -> None:
    issued = house.issue("mail.example")
    _, key = issued.write(house.folder)
    key.write_bytes(house.issue("other.example").key)
    with pytest.raises(CertificateInvalid, match=r"fullchain\.pem: the key does not belong"):
        await house.desk().load()


async def test_what_openssl_refuses_is_refused_before_a_worker_sees_it(house: House) -> None:
    house.issue("mail.example", private=rsa_key(1024)).write(house.folder)
    with pytest.raises(CertificateInvalid, match="too small"):
        await house.desk().load()
    assert house.applied == []


@pytest.mark.parametrize(
    ("begins", "life", "warning"),
    [
        (-100, 90, "the certificate of mail.example has expired on 2025-12-22 00:00 UTC"),
        (5, 90, "the certificate of mail.example is not valid before 2026-01-06 00:00 UTC"),
        (-80, 90, "the certificate of mail.example expires in 10 days"),
    ],
)
async def test_a_start_with_a_pair_out_of_its_time_warns(
    house: House, begins: int, life: int, warning: str
) -> None:
    start = house.clock.now() + begins * DAY
    house.issue("mail.example", start=start, life=life * DAY).write(house.folder)
    desk = house.desk()
    await desk.load()
    assert desk.warnings() == [warning]
    assert [it["log_level"] for it in house.logs] == ["warning"]


# --- changes --------------------


async def test_a_new_pair_is_taken_once_its_files_stand_still(house: House) -> None:
    house.issue("mail.example").write(house.folder)
    desk = house.desk()
    await desk.load()
    await looked(desk, 3)
    assert house.reader.asked == 1
    new = house.issue("mail.example")
    new.write(house.folder)
    await desk.look()
    assert house.reader.asked == 1
    await desk.look()
    assert house.applied[1:] == [[new.pair]]
    assert [it["by"] for it in house.events("certificates read")] == ["changed files"]
    await looked(desk, 5)
    assert house.reader.asked == 2


async def test_files_that_go_on_changing_are_not_read(house: House) -> None:
    chain, _ = house.issue("mail.example").write(house.folder)
    desk = house.desk()
    await desk.load()
    new = house.issue("mail.example")
    for end in range(100, 600, 100):
        chain.write_bytes(new.chain[:end])
        await desk.look()
    assert house.reader.asked == 1
    new.write(house.folder)
    await looked(desk)
    assert desk.pairs == [new.pair]
    assert house.events(REFUSED) == []


async def test_links_that_are_swapped_as_certbot_does_are_followed(house: House) -> None:
    old, new = house.issue("mail.example"), house.issue("mail.example")
    live = house.folder / "live/mail.example"
    live.mkdir(parents=True)
    for number, issued in enumerate((old, new), 1):
        issued.write(house.folder / f"archive/{number}")
    for name in ("fullchain.pem", "privkey.pem"):
        (live / name).symlink_to(house.folder / "archive/1" / name)
    desk = house.desk(None, None, "live")
    await desk.load()
    assert desk.pairs == [old.pair]
    for name in ("privkey.pem", "fullchain.pem"):
        (live / f"{name}.new").symlink_to(house.folder / "archive/2" / name)
        (live / f"{name}.new").replace(live / name)
    await looked(desk)
    assert desk.pairs == [new.pair]


async def test_a_pair_that_is_half_swapped_leaves_the_old_one_and_is_told_once(
    house: House,
) -> None:
    old, new = house.issue("mail.example"), house.issue("mail.example")
    chain, key = old.write(house.folder)
    desk = house.desk()
    await desk.load()
    key.write_bytes(new.key)
    await looked(desk, 10)
    assert desk.pairs == [old.pair]
    assert house.applied == [[old.pair]]
    [told] = house.events(REFUSED)
    assert (told["file"], told["reason"]) == (
        str(chain),
        "the key does not belong to the certificate",
    )
    assert desk.warnings() == [f"{chain}: the key does not belong to the certificate"]
    chain.write_bytes(new.chain)
    await looked(desk)
    assert desk.pairs == [new.pair]
    assert desk.warnings() == []


async def test_files_that_vanish_leave_the_pair_in_force(house: House) -> None:
    issued = house.issue("mail.example")
    chain, _ = issued.write(house.folder)
    desk = house.desk()
    await desk.load()
    chain.unlink()
    await looked(desk, 4)
    assert desk.pairs == [issued.pair]
    assert desk.warnings() == [f"{chain}: No such file or directory"]


async def test_a_new_pair_out_of_its_time_does_not_take_the_place_of_one_within(
    house: House,
) -> None:
    old = house.issue("mail.example")
    old.write(house.folder)
    desk = house.desk()
    await desk.load()
    early = house.issue("mail.example", start=house.clock.now() + 0.5 * DAY)
    early.write(house.folder)
    await looked(desk)
    assert desk.pairs == [old.pair]
    assert ["is not valid before" in it for it in desk.warnings()] == [True]
    house.clock.move(DAY_S)
    await desk.look()
    assert desk.pairs == [early.pair]
    assert desk.warnings() == []


async def test_one_bad_pair_does_not_hold_up_the_others(house: House) -> None:
    default, bad = house.issue("mail.example"), house.issue("b.example")
    default.write(house.folder)
    bad.write(house.folder / "live/b")
    desk = house.desk(further="live")
    await desk.load()
    (house.folder / "live/b/privkey.pem").write_bytes(b"")
    new, third = house.issue("mail.example"), house.issue("c.example")
    new.write(house.folder)
    third.write(house.folder / "live/c")
    with pytest.raises(CertificateInvalid, match=r"b/fullchain\.pem: there is no key in PEM"):
        await desk.reload("ana")
    assert desk.pairs == [new.pair, bad.pair, third.pair]


async def test_a_folder_that_is_new_and_bad_is_left_out(house: House) -> None:
    default = house.issue("mail.example")
    default.write(house.folder)
    (house.folder / "live").mkdir()
    desk = house.desk(further="live")
    await desk.load()
    issued = house.issue("b.example")
    chain, _ = issued.write(house.folder / "live/b")
    chain.write_bytes(b"nothing")
    await looked(desk)
    assert desk.pairs == [default.pair]
    assert len(desk.warnings()) == 1
    issued.write(house.folder / "live/b")
    await looked(desk)
    assert desk.pairs == [default.pair, issued.pair]


async def test_a_folder_that_is_removed_takes_its_pair_with_it_but_the_last_stays(
    house: House,
) -> None:
    pairs = [house.issue("a.example"), house.issue("b.example")]
    for name, issued in zip("ab", pairs, strict=True):
        issued.write(house.folder / "live" / name)
    desk = house.desk(None, None, "live")
    await desk.load()
    for name in "ba":
        (house.folder / "live" / name).rename(house.folder / name)
        await looked(desk, 4)
    assert desk.pairs == [pairs[0].pair]
    assert desk.warnings() == [f"{house.folder}/live: no certificate is left in it"]
    assert len(house.events(TROUBLE)) == 1
    (house.folder / "live").rename(house.folder / "gone")
    await looked(desk, 4)
    assert desk.pairs == [pairs[0].pair]
    assert desk.warnings() == [f"{house.folder}/live: No such file or directory"]
    assert len(house.events(TROUBLE)) == 2
    (house.folder / "gone").rename(house.folder / "live")
    (house.folder / "a").rename(house.folder / "live/a")
    await looked(desk)
    assert desk.warnings() == []


async def test_a_reader_that_fails_is_told_once_and_asked_again(house: House) -> None:
    house.issue("mail.example").write(house.folder)
    desk = house.desk()
    await desk.load()
    new = house.issue("mail.example")
    new.write(house.folder)
    house.reader.failure = ServiceUnavailable("no more processes")
    await looked(desk, 6)
    assert desk.warnings() == ["no more processes"]
    assert len(house.events(TROUBLE)) == 1
    with pytest.raises(ServiceUnavailable):
        await desk.reload("ana")
    house.reader.failure = None
    await looked(desk)
    assert desk.pairs == [new.pair]
    assert desk.warnings() == []


async def test_a_reload_reads_files_that_look_the_same_and_disturbs_no_worker(
    house: House,
) -> None:
    house.issue("mail.example").write(house.folder)
    desk = house.desk()
    await desk.load()
    [certificate] = await desk.reload("ana")
    assert certificate.names == ("mail.example",)
    assert house.reader.asked == 2
    assert len(house.applied) == 1


async def test_a_reload_waits_until_files_are_written(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = house.issue("mail.example"), house.issue("mail.example")
    chain, key = old.write(house.folder)
    desk = house.desk()
    await desk.load()
    key.write_bytes(new.key)
    real, calls = CertificateFiles.look, iter(range(100))

    def look(self: CertificateFiles) -> object:
        if next(calls) == 1:
            chain.write_bytes(new.chain)
        return real(self)

    monkeypatch.setattr(CertificateFiles, "look", look)
    await desk.reload("ana")
    assert desk.pairs == [new.pair]


async def test_a_reload_of_files_that_never_stand_still_is_given_up(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain, _ = house.issue("mail.example").write(house.folder)
    desk = house.desk()
    await desk.load()
    real, calls = CertificateFiles.look, iter(range(100))

    def look(self: CertificateFiles) -> object:
        chain.write_bytes(b"x" * next(calls))
        return real(self)

    monkeypatch.setattr(CertificateFiles, "look", look)
    with pytest.raises(CertificateInvalid, match="being written"):
        await desk.reload("ana")


async def test_files_are_followed_and_a_signal_is_obeyed(house: House) -> None:
    house.issue("mail.example").write(house.folder)
    desk = house.desk()
    await desk.load()
    house.clock.waits = True
    async with asyncio.timeout(60), desk.watching():
        first = house.issue("mail.example")
        first.write(house.folder)
        while len(house.applied) < 2:
            house.clock.move(5)
            await asyncio.sleep(0)
        assert house.applied[1] == [first.pair]
        second = house.issue("mail.example")
        second.write(house.folder)
        desk.reload_soon()
        while len(house.applied) < 3:
            await asyncio.sleep(0)
        assert house.applied[2] == [second.pair]
    assert [it["by"] for it in house.events("certificates read")] == ["changed files", "SIGHUP"]


async def test_the_log_tells_each_day_of_a_certificate_that_ends_and_status_two_weeks_before(
    house: House,
) -> None:
    house.issue("mail.example", life=41 * DAY).write(house.folder)
    desk = house.desk()
    await desk.load()
    warned = []
    for day in range(1, 42):
        house.clock.move(DAY_S)
        await looked(desk, 3)
        warned.append((len(house.events("certificate ends soon")), len(desk.warnings())))
        assert len(house.events("certificate out of time")) == (day >= 40) + (day >= 41)
    assert warned[9:12] == [(0, 0), (1, 0), (2, 0)]
    assert warned[25:28] == [(16, 0), (17, 1), (18, 1)]
    assert desk.warnings() == [
        "the certificate of mail.example has expired on 2026-02-10 00:00 UTC"
    ]
    assert desk.pairs


async def test_a_fault_is_not_told_again_each_day(house: House) -> None:
    chain, _ = house.issue("mail.example").write(house.folder)
    desk = house.desk()
    await desk.load()
    chain.write_bytes(b"")
    await looked(desk)
    for _ in range(3):
        house.clock.move(DAY_S)
        await looked(desk)
    assert len(house.events(REFUSED)) == 1


# --- the demo --------------------


async def test_the_demo_makes_a_pair_once(house: House) -> None:
    desk = house.demo()
    await desk.load()
    [certificate] = desk.in_force()
    assert certificate.names == ("pop.example", "localhost", "127.0.0.1", "::1")
    assert certificate.self_signed
    assert certificate.not_after - certificate.not_before == 397 * DAY
    assert stat.S_IMODE((house.folder / "tls/privkey.pem").stat().st_mode) == 0o600
    assert sorted(os.listdir(house.folder / "tls")) == ["fullchain.pem", "privkey.pem"]
    again = house.demo()
    await again.load()
    assert again.pairs == desk.pairs


@pytest.mark.parametrize("host_name", ["not a name", "señor", "localhost", "", "127.0.0.1"])
async def test_the_demo_has_names_that_can_be_names(house: House, host_name: str) -> None:
    desk = house.demo(host_name)
    await desk.load()
    [certificate] = desk.in_force()
    assert sorted(certificate.names) == ["127.0.0.1", "::1", "localhost"]


@pytest.mark.parametrize("damage", ["expired", "key", "half", "host"])
async def test_the_demos_pair_is_made_again_when_it_does_not_serve(
    house: House, damage: str
) -> None:
    first = house.demo()
    await first.load()
    if damage == "expired":
        house.clock.move(398 * DAY_S)
    elif damage == "key":
        (house.folder / "tls/privkey.pem").write_bytes(house.issue("x").key)
    elif damage == "half":
        (house.folder / "tls/fullchain.pem").unlink()
    second = house.demo("other.example" if damage == "host" else "pop.example")
    await second.load()
    assert second.pairs != first.pairs
    assert second.warnings() == []


async def test_the_demos_pair_is_made_again_while_it_serves(house: House) -> None:
    desk = house.demo()
    await desk.load()
    before = desk.pairs
    house.clock.move(390 * DAY_S)
    await looked(desk, 3)
    assert desk.pairs != before
    assert desk.warnings() == []


async def test_a_demo_that_cannot_make_its_pair_is_told(house: House) -> None:
    desk = house.demo()
    (house.folder / "tls").write_text("in the way")
    with pytest.raises(ServiceUnavailable, match="cannot write to"):
        await desk.load()
    (house.folder / "tls").unlink()
    await desk.load()
    house.reader.failure = ServiceUnavailable("no more processes")
    house.clock.move(396 * DAY_S)
    await desk.look()
    assert len(house.events(TROUBLE)) == 1
    assert desk.pairs
