"""The type of secret values, which keeps them out of logs, errors, messages and dumps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn


class Secret:
    """A string that does not show itself: not in repr, str, format, pickle or JSON. `reveal()` gives the value."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the wrapped value. Call it where the value is used, not earlier."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return "***"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret cannot be pickled: pass the name of the setting, not its value")


def secrets_in(value: object) -> tuple[Secret, ...]:
    """Return the secrets that a value of the settings is, or holds."""
    if isinstance(value, Secret):
        return (value,)
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple) else ()
    return tuple(part for part in parts if isinstance(part, Secret))
