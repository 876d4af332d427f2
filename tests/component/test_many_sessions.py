"""Thousands of sessions at a time, while new ones log in (attack 57); memory, by process."""

import asyncio
import resource

import pytest

import scale
from pop3mgmt.client import ManagementClient
from support import daemon

AT_ONCE = 64


async def log_in(port: int, name: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"USER {name}\r\nPASS secret\r\n".encode())
    lines = [await asyncio.wait_for(reader.readline(), 120) for _ in range(3)]
    assert all(line.startswith(b"+OK") for line in lines), lines
    return reader, writer


async def in_turns(work, names: list[str]) -> list:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(name: str):
        async with gate:
            return await work(name)

    return await asyncio.gather(*(one(name) for name in names))


@pytest.mark.parametrize("workers", [0, 2])
async def test_sessions_by_the_thousand_cost_little_and_hinder_nobody(
    tmp_path, workers: int, capsys
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    names = [f"u{n}" for n in range(scale.IDLE_SESSIONS)]
    settings = {
        "POP3_MAX_ACCOUNTS": str(len(names) + 10),
        "POP3_MAX_CONNECTIONS": str(len(names) + 10),
    }
    with daemon.running(tmp_path, workers=workers, environment=settings, measured=True) as service:
        async with ManagementClient(service.grpc_target) as client:
            admin = await client.login("default", "default")
            await in_turns(lambda name: admin.create_account(name, "secret"), [*names, "late"])
            half = len(names) // 2
            first = await in_turns(lambda name: log_in(service.pop3, name), names[:half])
            before = service.pss_kb()
            rest = await in_turns(lambda name: log_in(service.pop3, name), names[half:])
            after = service.pss_kb()
            status = await admin.get_status()
            assert status.logged_in_session_count == len(names)
            assert len(await admin.list_sessions()) == len(names)

            # One more logs in and reads, and one of the many is answered still.
            _, writer = await log_in(service.pop3, "late")
            writer.close()
            for reader, writer in (first[0], rest[-1]):
                writer.write(b"STAT\r\n")
                assert await asyncio.wait_for(reader.readline(), 30) == b"+OK 0 0\r\n"
            for _, writer in (*first, *rest):
                writer.close()
        slope = (sum(after.values()) - sum(before.values())) / (len(names) - half)
        with capsys.disabled():
            kinds = service.pids()
            sizes = ", ".join(f"{kinds.get(pid, '?')} {kb} KiB" for pid, kb in after.items())
            print(f"\n{len(names)} sessions, workers={workers}: {slope:.1f} KiB a session; {sizes}")
        assert service.stop() == 0
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
