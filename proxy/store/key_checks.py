"""What the values of a key may be. Raises `InvalidInputError`, which never quotes a secret."""

from __future__ import annotations

from collections.abc import Sequence

from proxy.errors import InvalidInputError
from proxy.policy.permissions import check_methods, compile_permissions
from proxy.settings.model import REQUESTS_MAX

SECRET_LENGTH_MIN, SECRET_LENGTH_MAX = 8, 512
SOURCE_LENGTH_MAX = 100
PERMISSIONS_MAX = 100
PERMISSION_LENGTH_MAX = 200


def check_key(
    *,
    source: str = "default",
    permissions: Sequence[str] = (),
    rate_limit: int | None = None,
    rate_burst: int | None = None,
) -> None:
    """Refuse what no key can have."""
    check_source(source)
    check_permissions(permissions)
    check_rate_limit(rate_limit, rate_burst)


def check_source(source: str) -> None:
    """Refuse what is not a name."""
    if not 1 <= len(source) <= SOURCE_LENGTH_MAX or not source.isprintable() or source != source.strip():
        hint = f"a source is a name of 1 to {SOURCE_LENGTH_MAX} printable characters"
        raise InvalidInputError(f"{source[:40]!r} is not a source", hint=hint)


def check_permissions(permissions: Sequence[str], *, kept: Sequence[str] = ()) -> None:
    """Refuse entries that are too many, too long or mean nothing, and methods that there are not.

    `kept` are entries that the key has already: their methods are not judged, so that others can change.
    """
    if len(permissions) > PERMISSIONS_MAX:
        raise InvalidInputError(f"a key has at most {PERMISSIONS_MAX} permissions")
    for entry in permissions:
        if len(entry) > PERMISSION_LENGTH_MAX or not entry.isprintable():
            hint = f"a permission is at most {PERMISSION_LENGTH_MAX} printable characters"
            raise InvalidInputError(f"{entry[:40]!r} is not a permission", hint=hint)
    compile_permissions(permissions)
    check_methods(entry for entry in permissions if entry not in kept)


def check_rate_limit(rate_limit: int | None, rate_burst: int | None) -> None:
    """Refuse numbers that are out of bounds, and a burst of a key without a limit."""
    if rate_limit is not None and not 0 <= rate_limit <= REQUESTS_MAX:
        hint = f"requests per minute, 0 (no limit) to {REQUESTS_MAX}"
        raise InvalidInputError(f"{rate_limit} is not a rate limit", hint=hint)
    if rate_burst is None:
        return
    if not 0 <= rate_burst <= REQUESTS_MAX:
        hint = f"requests at once, 0 (a minute's allowance) to {REQUESTS_MAX}"
        raise InvalidInputError(f"{rate_burst} is not a burst", hint=hint)
    if rate_limit == 0:
        # Whoever asks for a burst expects a limit: a key without one would be a surprise.
        raise InvalidInputError("a key without a rate limit has no burst", hint="give only one of the two")


def check_secret(value: str) -> None:
    """Refuse what a client could not send as a key, or would be too easy to guess."""
    acceptable = value.isascii() and value.isprintable() and " " not in value
    if not (SECRET_LENGTH_MIN <= len(value) <= SECRET_LENGTH_MAX and acceptable):
        hint = f"a key is {SECRET_LENGTH_MIN} to {SECRET_LENGTH_MAX} printable characters, without spaces"
        raise InvalidInputError("this value cannot be a key", hint=hint)
