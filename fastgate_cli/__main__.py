"""Where the program begins, as `fastgate` and as `python -m fastgate_cli`."""

from fastgate_cli.interrupts import end_silently


def run() -> None:
    """Run the command line of this process and exit: the console script."""
    end_silently()
    # Only now: to import it takes the better part of a short command's time.
    from fastgate_cli.main import run as run_program

    run_program()


if __name__ == "__main__":
    run()
