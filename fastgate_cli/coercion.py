"""From the text of an argument to its value, for the few plain types that our commands take.

Typer does this with pydantic, whose import takes longer than `fastgate keys list` may. So parameters of a
plain type are given the coercion below in its place; any other type is still Typer's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import typer
from typer.core import TyperArgument, TyperOption

if TYPE_CHECKING:
    from typer._click import Context, Parameter

_NUMBERS: dict[Any, str] = {int: "a whole number", float: "a number"}
_TEXTS = (str, list[str])


@dataclass(frozen=True, slots=True)
class PlainCoercion:
    """How one parameter's values are made; `low` and `high` bound a number, None is no bound."""

    annotation: Any
    low: float | None = None
    high: float | None = None

    def coerce(self, value: Any, param: Any, ctx: Context) -> Any:
        """Return the value of a parameter. Raises `typer.BadParameter`."""
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        try:
            return self._coerce_given(value)
        except ValueError as error:
            raise typer.BadParameter(str(error), ctx=ctx, param=param) from None

    def _coerce_given(self, value: Any) -> Any:
        if self.annotation in _TEXTS or self.annotation is bool:
            return value
        if self.annotation is Path:
            return Path(value)
        if self.annotation in _NUMBERS:
            return self._coerce_number(value)
        if value not in (choices := get_args(self.annotation)):
            raise ValueError(f"{value!r} is not one of {', '.join(choices)}")
        return value

    def _coerce_number(self, value: Any) -> int | float:
        try:
            number: int | float = self.annotation(value)
        except ValueError:
            raise ValueError(f"{value!r} is not {_NUMBERS[self.annotation]}") from None
        if self.low is not None and not number >= self.low:
            raise ValueError(f"{value} is less than {self.low}")
        if self.high is not None and not number <= self.high:
            raise ValueError(f"{value} is more than {self.high}")
        return number


class PlainOption(TyperOption):
    """An option of a plain type."""

    def get_runtime_param(self) -> Any:
        """Return the coercion of this option."""
        return _build_coercion(self)

    def _get_number_range_help_str(self) -> str | None:
        return _describe_bounds(self.min, self.max)


class PlainArgument(TyperArgument):
    """An argument of a plain type. Its metavar says all of it: ID, ID... or [FILE]."""

    def get_runtime_param(self) -> Any:
        """Return the coercion of this argument."""
        return _build_coercion(self)

    def get_usage_pieces(self, ctx: Context) -> list[str]:  # noqa: ARG002
        """Return how the argument stands in a usage line."""
        return [self.display_name_raw]

    def display_type_rich(self, ctx: Context) -> str | None:  # noqa: ARG002
        """Return no type: a name such as `<list[str]>` tells a person nothing."""
        return None


def lighten_parameters(parameters: Iterable[Parameter]) -> None:
    """Give the parameters that are of a plain type our coercion."""
    for parameter in parameters:
        if type(parameter) is TyperOption and _is_plain(parameter):
            parameter.__class__ = PlainOption
        elif type(parameter) is TyperArgument and _is_plain(parameter):
            parameter.__class__ = PlainArgument


def _is_plain(parameter: TyperOption | TyperArgument) -> bool:
    annotation: Any = parameter.type_descriptor.annotation
    if get_origin(annotation) is Literal:
        return all(isinstance(choice, str) for choice in get_args(annotation))
    return annotation in (bool, Path, *_TEXTS, *_NUMBERS)


def _describe_bounds(low: float | None, high: float | None) -> str | None:
    if low is None or high is None:
        return f"{low} or more" if low is not None else None if high is None else f"at most {high}"
    return f"{low} to {high}"


def _build_coercion(parameter: TyperOption | TyperArgument) -> PlainCoercion:
    info = parameter.type_descriptor.parameter_info
    return PlainCoercion(parameter.type_descriptor.annotation, info.min, info.max)
