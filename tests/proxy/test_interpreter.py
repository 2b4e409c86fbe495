"""Another process of ourselves: it finds this package, whatever lies where it is started."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import proxy
from proxy.interpreter import build_command, build_environ


def test_a_folder_of_the_same_name_where_it_starts_is_not_this_package(tmp_path: Path) -> None:
    (tmp_path / "proxy").mkdir()
    (tmp_path / "proxy" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    (tmp_path / "place.py").write_text("import proxy, sys; print(proxy.__file__, sys.argv[1])")
    environ = build_environ({"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)})
    printed = subprocess.run(
        build_command("place", "argument"), cwd=tmp_path, env=environ, capture_output=True, text=True
    )
    assert printed.stdout.split() == [proxy.__file__, "argument"]


def test_what_was_in_the_environment_stays_there() -> None:
    home = str(Path(proxy.__file__).parents[1])
    assert build_environ({"A": "b"}) == {"A": "b", "PYTHONPATH": home}
    assert build_environ({"PYTHONPATH": "/x:/y"})["PYTHONPATH"] == f"{home}:/x:/y"
