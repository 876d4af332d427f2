"""How several processes share the tests: a file each, the longest first."""

from __future__ import annotations

from pathlib import PurePath

from xdist.scheduler import LoadScopeScheduling

TOGETHER = "system"
"""The folder whose tests share one engine and the published ports, and so one process."""
COLLECTORS = ("test_connection_end.py", "test_garbage.py", "test_workers.py")
"""Tests that call the garbage collector come before those that leave it gRPC's and greenlet's
objects: it has hung in them."""
LONGEST = (
    "test_scorecard_faults.py",
    "test_abilities.py",
    "test_transcripts.py",
    "test_backup.py",
    "test_stopping.py",
    "test_timing.py",
    "test_transformed_mail.py",
    "test_bearer.py",
    "test_lines.py",
    "test_live.py",
    "test_certificates.py",
    "test_gateway.py",
    "test_scmp_tls.py",
    "test_scorecard_dovecot.py",
    "test_migrating.py",
    "test_moving_in.py",
    "test_sandbox.py",
)
"""Files that take longest, the longest first: what begins last should be short."""
_ORDER = {name: number for number, name in enumerate((*COLLECTORS, *LONGEST))}


def rank(path: PurePath) -> int:
    """When a file begins: the least first."""
    if TOGETHER in path.parts:
        return -1
    return _ORDER.get(path.name, len(_ORDER))


class ByFile(LoadScopeScheduling):
    """Files as they were collected, each to whoever is free.

    So nothing that the tests of a file share is made more than once.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = PurePath(nodeid.partition("::")[0])
        return TOGETHER if TOGETHER in path.parts else str(path)
