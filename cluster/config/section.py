"""The base class of the configuration's sections, and ranges that many of them share."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
TimeoutMs = Annotated[int, Field(ge=1, le=10_000)]

T = TypeVar("T")


def key(default: T, description: str | None = None, **limits: Any) -> T:
    """A key of a section: its default, what it is for, and the limits that pydantic's `Field` knows, such as ge and le."""
    field: T = Field(default=default, description=description, **limits)
    return field


class Section(BaseModel):
    """Unknown keys are errors, values are not coerced, and nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True, allow_inf_nan=False)
