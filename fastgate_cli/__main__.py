"""`python -m fastgate_cli` is `fastgate`."""

from fastgate_cli.main import run

if __name__ == "__main__":
    run()
