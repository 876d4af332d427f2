"""The launcher's own loop: a request comes with its descriptors, a keeper is forked for it.

It ends when its service does. Keepers that died themselves (killed from outside) leave their
programs to it, as the next subreaper, and it kills those.
"""

from __future__ import annotations

import _socket
import gc
import marshal
import os
import select

from . import scratch, tree
from .keeper import Keeper
from .kernel import PR_SET_CHILD_SUBREAPER, bound_capabilities, ignore_signal, prctl
from .probe import isolation
from .room import processes_ceiling
from .sandbox import Sandbox

TYPE_CHECKING = False
if TYPE_CHECKING:  # as typing has it, without its import
    from collections.abc import Callable
    from typing import Any

DESCRIPTORS = 3
"""What comes with a request: the run's socket, the message, the output."""
_REQUEST_OCTETS = 128 * 1024
_SIGHUP, _SIGINT, _SIGPIPE, _SIGTERM = 1, 2, 13, 15
_SCM_RIGHTS = 1
_INT = 4


class Launcher:
    """Forks keepers until its control socket ends."""

    def __init__(self, control: _socket.socket) -> None:
        self._control = control
        self._keepers: dict[int, int] = {}
        self._poll = select.poll()
        # Keepers see its other end close when this process is gone, however it went.
        self._life, self._alive = os.pipe()

    def run(self) -> None:
        """Serve until the service is gone, then wait for the last keeper."""
        setup: dict[str, Any] = marshal.loads(self._control.recv(_REQUEST_OCTETS))  # noqa: S302
        self._sandbox = Sandbox(setup["folders"], processes_ceiling())
        self._control.send(marshal.dumps(isolation(self._sandbox, setup["scratch"])))
        gc.collect()
        gc.freeze()
        control = self._control.fileno()
        self._poll.register(control, select.POLLIN)
        self._fork(lambda: scratch.sweep(setup["scratch"]))
        while True:
            for fd, _ in self._poll.poll():
                if fd != control:
                    self._ended(fd)
                elif not self._take():
                    return self._finish()

    def _take(self) -> bool:
        """Take one request; False at the end."""
        try:
            data, extra, _, _ = self._control.recvmsg(
                _REQUEST_OCTETS, _socket.CMSG_SPACE(DESCRIPTORS * _INT)
            )
        except ConnectionResetError:
            return False
        if not data:
            return False
        fds = [
            int.from_bytes(octets[at : at + _INT], "little")
            for _, kind, octets in extra
            if kind == _SCM_RIGHTS
            for at in range(0, len(octets), _INT)
        ]
        try:
            if len(fds) == DESCRIPTORS:
                request = marshal.loads(data)  # noqa: S302
                self._fork(lambda: self._keep(request, fds))
        except OSError:  # no process to be had: the run's socket closes without an answer
            pass
        finally:
            for fd in fds:
                os.close(fd)
        return True

    def _keep(self, request: dict[str, Any], fds: list[int]) -> None:
        for fd in fds:
            os.set_inheritable(fd, False)
        Keeper(self._sandbox, request, fds[0], self._life, (fds[1], fds[2])).run()

    def _fork(self, act: Callable[[], None]) -> None:
        """Let a child do something."""
        pid = os.fork()
        if pid:
            pidfd = os.pidfd_open(pid)
            self._keepers[pidfd] = pid
            self._poll.register(pidfd, select.POLLIN)
            return
        try:
            os.close(self._alive)
            self._control.close()
            for pidfd in self._keepers:
                os.close(pidfd)
            act()
            os._exit(0)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(1)

    def _ended(self, pidfd: int) -> None:
        """Reap a keeper; if it was killed, kill what it has left."""
        self._poll.unregister(pidfd)
        os.close(pidfd)
        _, status = os.waitpid(self._keepers.pop(pidfd), 0)
        if status:
            self._kill_orphans()

    def _kill_orphans(self) -> None:
        """Kill children that are no keepers, and reap them, until there are none."""
        keepers = set(self._keepers.values())
        while orphans := tree.descendants(keepers):
            tree.kill(orphans)
            for pid in orphans:
                try:
                    os.waitpid(pid, 0)
                except ChildProcessError:
                    continue  # a grandchild: it comes to this process next

    def _finish(self) -> None:
        os.close(self._alive)
        for pid in self._keepers.values():
            os.waitpid(pid, 0)
        self._keepers.clear()
        self._kill_orphans()


def main(control: int) -> None:
    """Serve the control socket."""
    for number in (_SIGHUP, _SIGINT, _SIGPIPE, _SIGTERM):
        ignore_signal(number)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    bound_capabilities()
    Launcher(_socket.socket(fileno=control)).run()
