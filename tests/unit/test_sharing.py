"""Several processes share the tests, a file each."""

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import sharing

ROOT = Path(__file__).parents[2]
FILES = [f"tests/unit/lineproto/test_{name}.py" for name in ("networks", "proxy", "clock")]


def test_a_file_is_one_process_s() -> None:
    """What its tests share is made once."""
    words = ["-n", "2", "--dist", "loadscope", "--no-loadscope-reorder", "-vv", *FILES]
    told = subprocess.run(
        [sys.executable, "-m", "pytest", *words], cwd=ROOT, capture_output=True, text=True
    )
    assert told.returncode == 0, told.stdout
    processes = defaultdict(set)
    for process, file in re.findall(r"^\[(gw\d)\] .* PASSED ([^:\s]+)::", told.stdout, re.M):
        processes[file].add(process)
    assert processes.keys() == {*FILES}
    assert all(len(it) == 1 for it in processes.values()), processes


def test_what_begins_first_is_there() -> None:
    names = {it.name for it in (ROOT / "tests").rglob("test_*.py")}
    assert names >= {*sharing.COLLECTORS, *sharing.LONGEST}
