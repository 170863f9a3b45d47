"""Hostile input is tried in a process of its own, whose memory and time have a ceiling.

What may appear of such a trial is a plain result: nothing, or the error that was raised.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

MEMORY = 2**29
"""Bytes that a trial may ask for beyond what its process has after `prepare`."""
SECONDS = 240
"""For all trials of one process together; only what never ends takes so long."""


class Outcome(NamedTuple):
    """How a call ended: names of the error's classes, none where it returned; its text."""

    errors: tuple[str, ...]
    text: str


CHILD = """
import json, resource, sys
job = json.loads(sys.stdin.read())
names = {}
exec(job["prepare"], names)
used = next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if "VmSize" in line)
resource.setrlimit(resource.RLIMIT_AS, (used + job["memory"],) * 2)
for case, call in job["calls"].items():
    try:
        exec(call, names)
        found = [], ""
    except BaseException as error:
        found = [one.__name__ for one in type(error).__mro__], str(error)
    print(json.dumps([case, *found]), file=sys.__stdout__, flush=True)
"""


def outcomes(
    prepare: str,
    calls: Mapping[str, str],
    folder: Path,
    *,
    memory: int = MEMORY,
    seconds: float = SECONDS,
) -> dict[str, Outcome]:
    """Run statements one after the other in one limited process.

    Parameters
    ----------
    prepare
        Statements that run before memory is limited: imports.
    calls
        Statements by the name of their case.
    folder
        Working folder of the process; it must stay as it is.

    Returns
    -------
    dict
        For each case that came to an end how it did; the process's death ends the rest.
    """
    if sys.platform != "linux":
        pytest.skip("memory is limited by Linux' means")
    before = listing(folder)
    job = json.dumps({"prepare": prepare, "calls": dict(calls), "memory": memory})
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", CHILD],
        input=job,
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=seconds,
        check=False,
    )
    assert listing(folder) == before, "a file appeared, vanished or changed"
    found = {}
    for line in process.stdout.splitlines():
        case, errors, text = json.loads(line)
        found[case] = Outcome(tuple(errors), text)
    missing = [case for case in calls if case not in found]
    assert not missing, f"{missing[0]} ended the process: {process.stderr[-2000:]}"
    return found


def listing(folder: Path) -> dict[str, bytes]:
    """Return the content of all files in a folder, as evidence that nothing was written."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
