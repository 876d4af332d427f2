"""What of the sandbox is in force, tried out by a process that enters it."""

from __future__ import annotations

import _socket
import marshal
import os

from . import scratch
from .kernel import prctl
from .sandbox import Sandbox

TYPE_CHECKING = False
if TYPE_CHECKING:  # as typing has it, without its import
    from collections.abc import Callable
    from typing import Any

_PR_GET_SECCOMP, _FILTER = 21, 2


def isolation(sandbox: Sandbox, parent: str) -> dict[str, Any]:
    """Enter the sandbox in a child, try what must fail, and tell what failed."""
    reading, writing = os.pipe()
    keeper = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            sandbox.detach(keeper)
            os.write(writing, marshal.dumps(_tried(sandbox, keeper, parent)))
        except BaseException as error:
            os.write(writing, marshal.dumps({"problem": f"{type(error).__name__}: {error}"}))
        finally:
            os._exit(0)
    os.close(writing)
    told = os.read(reading, 4096)
    os.close(reading)
    os.waitpid(pid, 0)
    found: dict[str, Any] = {
        "landlock_abi": sandbox.abi, "files": False, "network": False, "signals": False,
        "seccomp": False, "problem": "",
    }  # fmt: skip
    return found | (marshal.loads(told) if told else {"problem": "the trial ended early"})  # noqa: S302


def _tried(sandbox: Sandbox, keeper: int, parent: str) -> dict[str, Any]:
    nothing = os.open("/dev/null", os.O_RDWR)
    folder, held = scratch.make(parent)
    try:
        rules = sandbox.rules(folder, nothing, nothing)
    finally:
        os.rmdir(folder)
        os.close(held)
    sandbox.enter(rules)
    return {
        "files": _fails(lambda: os.open("/proc/self/status", os.O_RDONLY)),
        "network": _fails(lambda: _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)),
        "signals": _fails(lambda: os.kill(keeper, 0)),
        "seccomp": prctl(_PR_GET_SECCOMP) == _FILTER,
    }


def _fails(act: Callable[[], object]) -> bool:
    try:
        act()
    except PermissionError:
        return True
    return False
