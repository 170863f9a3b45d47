"""What recipes are made of: frozen groups of parameters."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict


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
