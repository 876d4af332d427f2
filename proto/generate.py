"""Generate the typed gRPC modules from the contract when the package is built.

The modules are not tracked: generated code that is kept drifts from the runtime it needs.
Run it by hand after a change of a ``.proto`` file: ``python proto/generate.py``.
"""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

HERE = Path(__file__).resolve().parent


def generate(root: Path = HERE) -> None:
    """Write ``*_pb2.py``, ``*_pb2_grpc.py`` and their type stubs beside each ``.proto`` file.

    Raises:
        RuntimeError: the compiler refused a file; it has printed why.
    """
    from grpc_tools import protoc

    protos = sorted(str(path) for path in (root / "pop3mgmt").rglob("*.proto"))
    scripts = Path(sys.executable).parent
    includes = [str(root), str(files("grpc_tools") / "_proto")]
    status = protoc.main(
        [
            "protoc",
            *(f"--proto_path={path}" for path in includes),
            *_plugins(scripts),
            f"--python_out={root}",
            f"--grpc_python_out={root}",
            f"--mypy_out=quiet:{root}",
            f"--mypy_grpc_out=quiet:{root}",
            *protos,
        ]
    )
    if status != 0:
        raise RuntimeError(f"protoc failed with status {status}")


def _plugins(scripts: Path) -> list[str]:
    """Name the type stub plugins by path: a build environment's scripts may not be on PATH."""
    import shutil

    found = []
    for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc"):
        path = shutil.which(name) or str(scripts / name)
        found.append(f"--plugin={name}={path}")
    return found


class CustomBuildHook(BuildHookInterface[Any]):
    """Hatchling's entry point."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Generate before the files are collected."""
        generate(Path(self.root))


if __name__ == "__main__":
    generate()
