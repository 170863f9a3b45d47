"""Programs that keep cores busy beside a measurement."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Keep ``count`` cores busy, each by a program in a session of its own."""
    # It ends with this process, however that ends.
    loop = f"import os\nwhile os.getppid() == {os.getpid()}: pass"
    command = [sys.executable, "-c", loop]
    programs = [subprocess.Popen(command, start_new_session=True) for _ in range(count)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()
