"""How many CPUs this process may use."""

from __future__ import annotations

import math
import os
from fractions import Fraction
from pathlib import Path


def cpus() -> int:
    """How many CPUs this process may use: by its affinity and by the quota of its control groups."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([allowed, *map(math.ceil, _quotas(Path("/")))]))


def _quotas(root: Path) -> list[Fraction]:
    """The limits, in CPUs, of the control groups (Linux; version 1 or 2) that this process is in."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    quotas = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
        group = mount / path.lstrip("/")
        for folder in (group, *group.parents):  # limits of parents hold too; a container sees its own at the mount
            try:
                if controllers:
                    quota, period = (
                        (folder / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period")
                    )
                else:
                    quota, period = (folder / "cpu.max").read_text().split()
                if quota not in ("max", "-1"):
                    quotas.append(Fraction(int(quota), int(period)))
            except OSError:
                pass
            if folder == mount:
                break
    return quotas
