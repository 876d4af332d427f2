"""Thousands of sessions at a time, while new ones log in (attack 57); memory, by process."""

from pathlib import Path

import pytest

import scale
from pop3mgmt.client import ManagementClient
from support import daemon
from support.crowd import all_descriptors, in_turns, is_empty, log_in


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
