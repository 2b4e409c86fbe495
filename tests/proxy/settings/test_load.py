"""From file, environment and defaults to settings."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from datetime import timedelta, timezone
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from proxy.errors import ConfigurationError
from proxy.settings import Settings, database_path, load_settings
from proxy.settings.load import list_variables


class Gate:
    """A folder with a configuration file, an empty home and an environment of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "fastgate.yaml"

    def load(self, text: str | None = None, **environ: str) -> Settings:
        if text is not None:
            self.file.write_text(text)
        return load_settings(environ={"HOME": str(self.folder / "home"), **environ}, cwd=self.folder)

    def faults(self, text: str | None = None, **environ: str) -> list[str]:
        with pytest.raises(ConfigurationError) as caught:
            self.load(text, **environ)
        assert caught.value.hint
        return [str(problem) for problem in caught.value.problems]


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path)


def test_without_a_file_all_is_default_and_data_is_the_users(gate: Gate) -> None:
    settings = gate.load()
    data = gate.folder / "home/.local/share/fastgate"
    assert settings.source is None
    assert set(settings.origins.values()) == {"default"}
    assert (settings.app.port, settings.proxy.timeout, settings.audit.on_failure) == (8514, 300.0, "refuse")
    assert settings.app.timezone == timezone(timedelta(hours=8))
    assert database_path(settings) == data / "fastgate.db"
    assert settings.database.url == f"sqlite:///{data}/fastgate.db"
    assert settings.audit.directory == data / "journal"
    assert settings.logging.file is None
    assert not data.exists()


def test_an_empty_file_is_all_defaults_with_data_beside_it(gate: Gate) -> None:
    settings = gate.load("")
    assert settings.source == gate.file
    assert database_path(settings) == gate.folder / "data/fastgate.db"
    assert settings.audit.directory == gate.folder / "data/journal"


def test_every_kind_of_value_is_read(gate: Gate) -> None:
    settings = gate.load("""
app: {name: Gate, port: 0, timezone: "-03:30", workers: 4, system_prefix: /_gateway/v1}
security: {admin_token: tok, key_prefix: k1_, trusted_proxies: [10.0.0.0/8, "::1"]}
logging: {level: debug, file: logs/gate.log, max_size: 2048}
proxy: {timeout: 0.5, max_body_size: 1GB, strip_headers: [Host], enable_streaming: false}
audit: {redact_headers: [], directory: /var/lib/journal}
""")
    assert (settings.app.name, settings.app.port, settings.app.workers) == ("Gate", 0, 4)
    assert settings.app.timezone == timezone(-timedelta(hours=3, minutes=30))
    assert settings.app.system_prefix == "/_gateway/v1"
    assert settings.security.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("::1"))
    assert settings.logging.level == "DEBUG"
    assert settings.logging.file == gate.folder / "logs/gate.log"
    assert (settings.logging.max_size, settings.proxy.max_body_size) == (2048, 1 << 30)
    assert (settings.proxy.timeout, settings.proxy.strip_headers) == (0.5, ("host",))
    assert settings.proxy.enable_streaming is False
    assert (settings.audit.redact_headers, settings.audit.directory) == ((), Path("/var/lib/journal"))


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///a/b.db", "{folder}/a/b.db"),
        ("sqlite:////srv/b c.db", "/srv/b c.db"),
        ("sqlite:///~/b.db", "{folder}/home/b.db"),
    ],
)
def test_the_database_is_relative_to_the_file(gate: Gate, url: str, path: str) -> None:
    settings = gate.load(f'database: {{url: "{url}"}}')
    assert str(database_path(settings)) == path.format(folder=gate.folder)
    assert settings.database.url == "sqlite:///" + path.format(folder=gate.folder)


def test_relative_paths_follow_the_file_and_not_the_working_folder(gate: Gate) -> None:
    (gate.folder / "conf").mkdir()
    (gate.folder / "conf/gate.yaml").write_text("audit: {directory: j}")
    settings = load_settings(Path("conf/gate.yaml"), environ={}, cwd=gate.folder)
    assert settings.source == gate.folder / "conf/gate.yaml"
    assert settings.audit.directory == gate.folder / "conf/j"


def test_without_a_file_a_relative_path_is_of_the_users_data(gate: Gate) -> None:
    settings = gate.load(FASTGATE_AUDIT_DIRECTORY="j", DATABASE_URL="sqlite:///x.db", XDG_DATA_HOME="/d")
    assert settings.audit.directory == Path("/d/fastgate/j")
    assert database_path(settings) == Path("/d/fastgate/x.db")


def test_environment_over_file_over_default(gate: Gate) -> None:
    text = "app:\n  host: 10.0.0.1\n  port: 1\n"
    settings = gate.load(text, FASTGATE_APP_PORT="2")
    assert (settings.app.host, settings.app.port, settings.app.workers) == ("10.0.0.1", 2, 1)
    assert settings.origins["app.host"] == "file:2"
    assert settings.origins["app.port"] == "environment:FASTGATE_APP_PORT"
    assert settings.origins["app.workers"] == "default"


def test_every_setting_has_a_variable(gate: Gate) -> None:
    settings = gate.load(
        FASTGATE_RATE_LIMITING_DEFAULT_REQUESTS_PER_MINUTE="7",
        FASTGATE_RATE_LIMITING_ENABLED="no",
        FASTGATE_SECURITY_TRUSTED_PROXIES="10.0.0.0/8, 192.168.0.1",
        FASTGATE_PROXY_MAX_BODY_SIZE="1MB",
        FASTGATE_LOGGING_LEVEL="warning",
    )
    assert settings.rate_limiting.default_requests_per_minute == 7
    assert settings.rate_limiting.enabled is False
    assert settings.security.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("192.168.0.1"))
    assert settings.proxy.max_body_size == 1 << 20
    assert settings.logging.level == "WARNING"


def test_short_variables_are_weaker_than_full_ones(gate: Gate) -> None:
    short = {"APP_HOST": "h", "APP_PORT": "1", "ADMIN_TOKEN": "t", "DATABASE_URL": "sqlite:////x.db"}
    settings = gate.load(**short)
    assert (settings.app.host, settings.app.port) == ("h", 1)
    assert (settings.security.admin_token, database_path(settings)) == ("t", Path("/x.db"))
    assert gate.load(**short, FASTGATE_APP_PORT="2").app.port == 2
    full = gate.load(**short, FASTGATE_SECURITY_ADMIN_TOKEN="strong", FASTGATE_ADMIN_TOKEN="middle")
    assert full.security.admin_token == "strong"


def test_the_variables_of_a_setting_are_known_the_strongest_first() -> None:
    assert list_variables("security.admin_token") == (
        "FASTGATE_SECURITY_ADMIN_TOKEN",
        "FASTGATE_ADMIN_TOKEN",
        "ADMIN_TOKEN",
    )
    assert list_variables("proxy.timeout") == ("FASTGATE_PROXY_TIMEOUT",)


def test_an_empty_variable_counts_as_unset(gate: Gate) -> None:
    settings = gate.load("security: {admin_token: tok}", FASTGATE_SECURITY_ADMIN_TOKEN="", APP_PORT="")
    assert (settings.security.admin_token, settings.app.port) == ("tok", 8514)


def test_unknown_variables_are_left_alone(gate: Gate) -> None:
    settings = gate.load(FASTGATE_APP_COLOUR="red", FASTGATE_DEBUG="1", FASTGATE_X="y")
    assert set(settings.origins.values()) == {"default"}


def test_references_are_expanded_and_converted(gate: Gate) -> None:
    text = """
app: {host: "${WHERE}.example.org", port: "${PORT:-81}", name: "a $$5 gate"}
proxy: {enable_streaming: "${STREAM:-false}", strip_headers: "${STRIP}", timeout: "${T:-1.5}"}
audit: {redact_headers: ["${FIRST:-cookie}", "x-${SECOND}"]}
"""
    settings = gate.load(text, WHERE="here", STRIP="Host, X-Api-Key", SECOND="token")
    assert (settings.app.host, settings.app.port, settings.app.name) == ("here.example.org", 81, "a $5 gate")
    assert (settings.proxy.enable_streaming, settings.proxy.timeout) == (False, 1.5)
    assert settings.proxy.strip_headers == ("host", "x-api-key")
    assert settings.audit.redact_headers == ("cookie", "x-token")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("app: {port: 65536}", "1:13: app.port must be a whole number from 0 to 65535, not '65536'"),
        ("app: {port: -1}", "1:13: app.port must be a whole number from 0 to 65535, not '-1'"),
        (
            "app: {port: true}",
            "1:13: app.port must be a whole number from 0 to 65535, not the boolean 'true'",
        ),
        ("app: {port: 1.5}", "1:13: app.port must be a whole number from 0 to 65535, not the number '1.5'"),
        ("app: {port: '80'}", "1:13: app.port must be a whole number from 0 to 65535, not the text '80'"),
        ("app: {port: }", "1:7: app.port must be a whole number from 0 to 65535, not nothing"),
        ("app: {port: [80]}", "1:13: app.port must be a single value, not a list"),
        ("app: {port: []}", "1:13: app.port must be a single value, not a list"),
        ("app: {workers: 0}", "1:16: app.workers must be a whole number from 1 to 64, not '0'"),
        ("app: {name: 5}", "1:13: app.name must be text on one line, not the number '5': put it in quotes"),
        (
            "app: {timezone: +0800}",
            "1:17: app.timezone must be a UTC offset such as +08:00, or UTC, not the number",
        ),
        (
            "app: {timezone: Mars}",
            "1:17: app.timezone must be a UTC offset such as +08:00, or UTC, not 'Mars'",
        ),
        ("app: {system_prefix: /}", "1:22: app.system_prefix must be empty, or a path such as /_gateway"),
        ("app: {system_prefix: /a/}", "1:22: app.system_prefix must be"),
        ("app: {system_prefix: a}", "1:22: app.system_prefix must be"),
        ("app: {system_prefix: /a/../b}", "1:22: app.system_prefix must be"),
        ("database: {url: 'postgresql://u:p@h/d'}", "1:17: database.url must be sqlite:///PATH, a file"),
        ("database: {url: 'sqlite:///:memory:'}", "1:17: database.url must be sqlite:///PATH, a file"),
        ("security: {key_prefix: a-b}", "1:24: security.key_prefix must be 1 to 16 letters"),
        ("security: {key_prefix: ''}", "1:24: security.key_prefix must be 1 to 16 letters"),
        (
            "security: {trusted_proxies: [::1, home]}",
            "1:35: each item of security.trusted_proxies must be an IP",
        ),
        (
            "security: {trusted_proxies: 10.0.0.1}",
            "1:29: security.trusted_proxies must be a list such as [a, b]",
        ),
        (
            "logging: {level: LOUD}",
            "1:18: logging.level must be DEBUG, INFO, WARNING, ERROR or CRITICAL, not 'LOUD'",
        ),
        ("logging: {format: xml}", "1:19: logging.format must be text or json, not 'xml'"),
        (
            "logging: {max_size: 1.5}",
            "1:21: logging.max_size must be a size such as 10KB, 32MB or 1GB, not the number",
        ),
        ("proxy: {timeout: -1}", "1:18: proxy.timeout must be a number of seconds above 0"),
        ("proxy: {timeout: .inf}", "1:18: proxy.timeout must be a number of seconds above 0"),
        ("proxy: {shutdown_grace: -1}", "1:25: proxy.shutdown_grace must be a number of seconds from 0"),
        ("proxy: {strip_headers: [a b]}", "1:25: each item of proxy.strip_headers must be a header name"),
        (
            "proxy: {strip_headers: [7]}",
            "1:25: each item of proxy.strip_headers must be a header name, not the num",
        ),
        ("audit: {on_failure: ignore}", "1:21: audit.on_failure must be refuse or forward, not 'ignore'"),
        ("audit: {fsync: 1}", "1:16: audit.fsync must be never, interval or always, not the number '1'"),
        ("audit: {enabled: yes}", "1:18: audit.enabled must be true or false, not the text 'yes'"),
        ("audit: {directory: ''}", "1:20: audit.directory must be a path"),
        ("app: {host: '${NOPE}'}", "1:13: app.host: the environment variable NOPE is not set"),
        ("app: {port: '${NOPE:-x}'}", "1:13: app.port must be a whole number from 0 to 65535"),
    ],
)
def test_a_bad_value_is_named_with_its_place(gate: Gate, text: str, fault: str) -> None:
    found = gate.faults(text)
    assert len(found) == 1
    assert found[0].startswith(f"fastgate.yaml:{fault}")


def test_all_problems_come_at_once_in_order(gate: Gate) -> None:
    text = """\
proxy:
  timeout: -1
  retries: 2
app:
  port: "${NOPE}"
  hots: a
audit:
  redact_headers: [a b, ok, "c:"]
server: {}
cors:
  allow_origins: [https://a.example/x, "https://*.b.example", c.example]
"""
    problems = gate.faults(text, APP_PORT="eighty", FASTGATE_PROXY_TIMEOUT="0")
    places = [fault.partition(": ")[0] for fault in problems]
    lines = ["2:12", "3:3", "5:9", "6:3", "8:20", "8:29", "9:1", "11:19", "11:63"]
    variables = ["environment variable APP_PORT", "environment variable FASTGATE_PROXY_TIMEOUT"]
    assert places == [f"fastgate.yaml:{line}" for line in lines] + variables


def test_problems_carry_file_line_and_column(gate: Gate) -> None:
    gate.file.write_text("app:\n  port: x\n")
    with pytest.raises(ConfigurationError) as caught:
        load_settings(gate.file, environ={}, cwd=Path("/"))
    problem = caught.value.problems[0]
    assert (problem.file, problem.line, problem.column) == (str(gate.file), 2, 9)
    assert caught.value.code == "invalid_configuration"


def test_thousands_of_problems_are_cut_short(gate: Gate) -> None:
    problems = gate.faults("app:\n" + "".join(f"  x{n}: 1\n" for n in range(1000)))
    assert len(problems) == 101
    assert problems[-1] == "and 900 more problems"


def test_a_long_value_is_cut_short(gate: Gate) -> None:
    assert len(gate.faults(f"app: {{port: {'x' * 10_000}}}")[0]) < 200


@pytest.mark.parametrize(
    "value",
    [
        "hunter2 hunter2",
        "[hunter2]",
        "{hunter2: a}",
        "2222222",
        "'${hunter2 x'",
        "*hunter2",
        "&hunter2 x",
        "!hunter2 x",
    ],
)
def test_a_token_is_never_repeated(gate: Gate, value: str) -> None:
    problems = " ".join(gate.faults(f"security:\n  admin_token: {value}\n"))
    assert "hunter2" not in problems
    assert "2222222" not in problems


def test_what_a_variable_holds_is_never_repeated(gate: Gate) -> None:
    assert "hunter2" not in " ".join(gate.faults("app: {port: '${SECRET}'}", SECRET="hunter2"))
    assert "hunter2" not in " ".join(gate.faults("", ADMIN_TOKEN="hunter2 and more"))
    assert "hunter2" not in " ".join(gate.faults("", DATABASE_URL="postgresql://me:hunter2@host/db"))


def test_a_token_is_not_in_the_representation(gate: Gate) -> None:
    settings = gate.load("security: {admin_token: hunter2}")
    assert settings.security.admin_token == "hunter2"
    assert "hunter2" not in repr(settings)


def test_settings_are_frozen_and_travel_to_other_processes(gate: Gate) -> None:
    settings = gate.load("")
    with pytest.raises(FrozenInstanceError):
        settings.app = replace(settings.app, port=1)  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_a_named_file_that_is_missing_is_an_error(gate: Gate) -> None:
    assert gate.faults(FASTGATE_CONFIG="gone.yaml") == ["gone.yaml: there is no such file"]


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.integers(0, 65535), st.integers(1, 64), st.booleans(), st.text("abc-", min_size=1, max_size=5))
def test_what_is_written_is_what_is_read(
    gate: Gate, port: int, workers: int, is_on: bool, header: str
) -> None:
    app = f"app: {{port: {port}, workers: {workers}}}"
    audit = f"audit: {{enabled: {str(is_on).lower()}, redact_headers: ['{header}']}}"
    settings = gate.load(f"{app}\n{audit}\n")
    assert (settings.app.port, settings.app.workers) == (port, workers)
    assert (settings.audit.enabled, settings.audit.redact_headers) == (is_on, (header,))


def test_importing_is_light() -> None:
    script = "import sys, proxy.settings; print(*sys.modules)"
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environ
    )
    heavy = {"ruamel.yaml", "quart", "hypercorn", "httpx", "peewee", "asyncio", "difflib"}
    assert not heavy & set(done.stdout.split())
