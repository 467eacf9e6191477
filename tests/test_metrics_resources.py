"""What the process uses, and what it may use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sql_synthesizer.monitoring import resources


@pytest.mark.parametrize(
    ("files", "membership", "quota"),
    [
        ({"cpu.max": "50000 100000\n"}, "0::/\n", 0.5),
        ({"a/cpu.max": "max 100000", "cpu.max": "20000 100000"}, "0::/a/b\n", 0.2),
        ({"cpu/cpu.cfs_quota_us": "25000\n", "cpu/cpu.cfs_period_us": "100000"}, "4:cpu,cpuacct:/\n", 0.25),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "4:cpu,cpuacct:/\n", None),
        ({"cpu.max": "rubbish"}, "0::/\n", None),
        ({}, "", None),
    ],
)
def test_allowed_cpus(tmp_path: Path, files, membership, quota):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "membership").write_text(membership)
    allowed = resources.allowed_cpus(tmp_path, tmp_path / "membership")
    assert allowed == quota if quota else allowed >= 1


def test_a_tree_includes_its_children():
    alone = resources.ProcessTree().sample()[0]
    child = subprocess.Popen([sys.executable, "-c", "print(1, flush=True); input()"], stdin=-1, stdout=-1)
    try:
        child.stdout.readline()
        assert resources.ProcessTree().sample()[0] > alone + 1e6
    finally:
        child.communicate(b"\n")


def test_a_process_that_is_gone_uses_nothing():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert resources.ProcessTree(child.pid).sample() == (0.0, 0.0)
