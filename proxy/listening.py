"""The listening socket: bound once, by whoever starts a gateway, and inherited by those who serve on it."""

from __future__ import annotations

import errno
import socket

from proxy.errors import ConflictError, InvalidInputError

BACKLOG = 2048


def bind_listener(host: str, port: int) -> socket.socket:
    """Return a socket bound to an address; port 0 takes a free one.

    Raises `ConflictError` if the port is in use, `InvalidInputError` if the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Inherited by every accepted connection; without it streams stall for 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((host, port))
        # From here on connections wait in the queue until the application has started. It is only now that
        # a port is refused which another program has bound a moment ago.
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _translate_bind_error(error, host, port) from error
    except UnicodeError as error:
        listener.close()
        raise InvalidInputError(f"{host!r} is not a host name", hint="check app.host") from error
    return listener


def _translate_bind_error(error: OSError, host: str, port: int) -> Exception:
    if error.errno == errno.EADDRINUSE:
        hint = "choose another with --port (or app.port), or stop what listens there"
        return ConflictError(f"port {port} on {host} is in use", hint=hint)
    if error.errno == errno.EACCES:
        return InvalidInputError(f"port {port} may not be used by this user", hint="choose a port above 1023")
    return InvalidInputError(
        f"cannot listen on {host}:{port}: {error.strerror or error}", hint="check app.host"
    )
