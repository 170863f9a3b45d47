"""What recipes and pipelines are made of: frozen parts and progress reports."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, NamedTuple, Self, TypeVar

from pydantic import BaseModel, ConfigDict

Result = TypeVar("Result")


class Part(BaseModel):
    """A frozen group of parameters; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def replace(self, **changes: Any) -> Self:
        """Return a validated copy with the given fields changed."""
        return type(self).model_validate({**dict(self), **changes})

    def __repr_args__(self) -> Any:
        """Show only what differs from the defaults."""
        fields = type(self).model_fields
        for name, value in dict(self).items():
            if fields[name].is_required() or value != fields[name].get_default(
                call_default_factory=True
            ):
                yield name, value


class Progress(NamedTuple):
    """One report of a running pipeline: ``done`` of ``total`` units of ``stage``."""

    stage: str
    done: int
    total: int


def run(
    steps: Generator[Progress, None, Result],
    on_progress: Callable[[Progress], None] | None = None,
) -> Result:
    """Exhaust a progress generator and return its result.

    Parameters
    ----------
    steps
        A pipeline that yields `Progress` and returns its result.
    on_progress
        Called with every report.
    """
    try:
        while True:
            progress = next(steps)
            if on_progress is not None:
                on_progress(progress)
    except StopIteration as stop:
        result: Result = stop.value
        return result
    finally:
        steps.close()
