"""As many clients as there are files for, with one left for each of their requests to a backend."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.open_files import FILES_FOR_ITSELF, UNLIMITED, count_needed, fit_connections
from proxy.settings import ProxySettings

many = st.integers(1, 10_000)
settings_of = st.builds(ProxySettings, max_connections=many, max_in_flight=many)


@given(settings_of, st.integers(FILES_FOR_ITSELF + 2, 30_000))
def test_each_request_of_a_client_has_a_file_for_its_backend(proxy: ProxySettings, limit: int) -> None:
    served = fit_connections(proxy, limit)
    assert 1 <= served <= proxy.max_connections
    assert served + min(served, proxy.max_in_flight) + FILES_FOR_ITSELF <= limit


@given(settings_of, st.integers(0, 1000))
def test_with_files_enough_it_is_what_is_configured(proxy: ProxySettings, more: int) -> None:
    assert fit_connections(proxy, count_needed(proxy) + more) == proxy.max_connections
    assert fit_connections(proxy, UNLIMITED) == proxy.max_connections


@given(settings_of, st.integers(0, FILES_FOR_ITSELF + 2))
def test_somebody_is_served_however_few_files_there_are(proxy: ProxySettings, limit: int) -> None:
    assert fit_connections(proxy, limit) == 1


@pytest.mark.parametrize(
    ("soft", "hard", "needed", "after"),
    [(100, 200, 150, 150), (100, 200, 999, 200), (100, 200, 50, 100), (200, 200, 999, 200)],
)
def test_a_process_allows_itself_what_it_needs(soft: int, hard: int, needed: int, after: int) -> None:
    script = (
        f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))\n"
        f"from proxy.open_files import find_highest_limit, raise_limit, read_limit; raise_limit({needed})\n"
        "print(read_limit(), find_highest_limit())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(after), str(hard)]
