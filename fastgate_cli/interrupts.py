"""Ctrl-C before a command has begun: the process ends by the signal, where Python would print a traceback.

Where SIGINT is ignored from outside, as `nohup` does it with SIGHUP, it stays so: only what Python has put in
place is changed.
"""

from __future__ import annotations

import signal


def end_silently() -> None:
    """Let SIGINT end the process at once and without a word. Nothing may have been begun."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def raise_interrupts() -> None:
    """Let SIGINT be a `KeyboardInterrupt` again: from here on somebody catches it, and cleans up."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
