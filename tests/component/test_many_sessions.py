"""Thousands of sessions at a time, while new ones log in; memory, by process."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import scale
from pop3mgmt.client import ManagementClient
from support import daemon
from support.certificates import authority
from support.crowd import all_descriptors, in_turns, is_empty, log_in
from support.pop3 import Pop3
from support.tls import client_context


@pytest.mark.attack(57, "10,000")
@pytest.mark.parametrize("workers", [0, 2])
async def test_sessions_by_the_thousand_cost_little_and_hinder_nobody(
    tmp_path: Path, workers: int, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"u{n}" for n in range(scale.IDLE_SESSIONS)]
    settings = {
        "POP3_MAX_ACCOUNTS": str(len(names) + 10),
        "POP3_MAX_CONNECTIONS": str(len(names) + 10),
    }
    with (
        all_descriptors(),
        daemon.running(tmp_path, workers=workers, environment=settings, measured=True) as service,
    ):
        async with ManagementClient(service.grpc_target) as client:
            admin = await client.login("default", "default")
            await in_turns(lambda name: admin.create_account(name, "secret"), [*names, "late"])
            half = len(names) // 2

            async def enter(some: list[str]) -> list:
                return await in_turns(lambda name: log_in("127.0.0.1", service.pop3, name), some)

            first = await enter(names[:half])
            before = service.pss_kb()
            rest = await enter(names[half:])
            after = service.pss_kb()
            status = await admin.get_status()
            assert status.logged_in_session_count == len(names)
            assert len(await admin.list_sessions()) == len(names)

            # One more logs in, and of the many the first and the last are answered still.
            [late] = await enter(["late"])
            for session in (late, first[0], rest[-1]):
                assert await is_empty(session)
            for _, writer in (late, *first, *rest):
                writer.close()
        slope = (sum(after.values()) - sum(before.values())) / (len(names) - half)
        with capsys.disabled():
            kinds = service.pids()
            sizes = ", ".join(f"{kinds.get(pid, '?')} {kb} KiB" for pid, kb in after.items())
            print(f"\n{len(names)} sessions, workers={workers}: {slope:.1f} KiB a session; {sizes}")
        assert service.stop() == 0


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("way", ["implicit", "stls"])
def test_idle_sessions_in_tls_cost_little_and_hinder_nobody(
    tmp_path: Path, way: str, workers: int, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"u{n}" for n in range(scale.TLS_SESSIONS)]
    chain, key = authority().issue("mail.example").write(tmp_path / "tls")
    settings = {
        "POP3_MAX_ACCOUNTS": str(len(names) + 10),
        "POP3_MAX_CONNECTIONS": str(len(names) + 10),
        "POP3_TLS_CERT": str(chain),
        "POP3_TLS_KEY": str(key),
    }
    context = client_context()
    with (
        all_descriptors(),
        daemon.running(tmp_path, workers=workers, environment=settings, measured=True) as service,
    ):

        async def prepare() -> None:
            async with ManagementClient(service.grpc_target) as client:
                admin = await client.login("default", "default")
                await in_turns(lambda name: admin.create_account(name, "secret"), [*names, "late"])

        def enter(name: str) -> Pop3:
            if way == "implicit":
                client = Pop3(service.pop3_tls, timeout=120, tls=context)
            else:
                client = Pop3(service.pop3, timeout=120)
                assert client.ask("STLS").startswith("+OK")
                client.secure(context)
            assert client.log_in(name) == "+OK Logged in"
            return client

        asyncio.run(prepare())
        half = len(names) // 2
        with ThreadPoolExecutor(16) as threads:
            first = list(threads.map(enter, names[:half]))
            before = service.pss_kb()
            rest = list(threads.map(enter, names[half:]))
            after = service.pss_kb()
        for client in (enter("late"), first[0], rest[-1]):
            assert client.ask("STAT") == "+OK 0 0"
            assert client.ask("QUIT") == "+OK bye"
        for client in (*first, *rest):
            client.close()
        each = (sum(after.values()) - sum(before.values())) / (len(names) - half)
        with capsys.disabled():
            print(f"\n{len(names)} sessions in TLS, {way}, workers={workers}: {each:.1f} KiB each")
        assert each < 80  # it is about half of that; asyncio's own TLS takes 277
        assert service.stop() == 0
