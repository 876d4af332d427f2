"""How many processes programs may have where the container bounds them for all."""

from __future__ import annotations

_SHARE = 3, 4
"""Of the container's processes, what programs may use up: the rest stays for the service."""


def processes_ceiling(
    memberships: str = "/proc/self/cgroup", mounted: str = "/sys/fs/cgroup"
) -> int | None:
    """Say up to how many processes of this user a program may fork, None for no bound.

    RLIMIT_NPROC counts all processes and threads of a user, the service's too, in every container
    of the host; it stops only who has it, so the service goes on where programs no longer can. It
    is a backstop below the container's own limit (``pids_limit``), for the moment that a fork bomb
    has before its keeper looks; what one run may have is counted by the keeper. Root is never
    stopped by it.
    """
    most = _container_limit(memberships, mounted)
    return None if most is None else most * _SHARE[0] // _SHARE[1]


def _container_limit(memberships: str, mounted: str) -> int | None:
    """Give the least limit of processes that holds here, by version 2 or 1 of cgroups."""
    try:
        with open(memberships) as file:
            lines = [line.rstrip("\n").split(":", 2) for line in file]
    except OSError:
        return None
    found = []
    for _, controllers, path in lines:
        if controllers and "pids" not in controllers.split(","):
            continue
        root = f"{mounted}/pids" if controllers else mounted
        # In a container the path is often that of the host, and its own folder the root.
        while True:
            found.append(_read(f"{root}{path.rstrip('/')}/pids.max"))
            if path in ("", "/"):
                break
            path = path.rpartition("/")[0]
    return min((int(it) for it in found if it.isdigit()), default=None)


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""
