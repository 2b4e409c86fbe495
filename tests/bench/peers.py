"""The servers that FastGate is measured beside: how each is configured, started and found.

Each passes every request on to one backend. Their access logs are JSON, one line a request, with the fields
that each has by itself; nginx, which has no such log of its own, gets those of Caddy's that it knows. Files
are never rolled or compressed meanwhile.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.servers import BenchError, Server, find_program, run_gateway, run_program, run_server
from tests.ports import HOST, reserve_port

ACCESS_LOG = "access.log"
CLIENT_KEY = "sk-bench-000000000000000000000000"
# Go's servers use all cores as they come; with this they use one, as one worker of the others does.
ONE_CORE = {"GOMAXPROCS": "1"}
_VERSION_SECONDS_MAX = 60.0  # LiteLLM loads all of itself first
_VERSION = re.compile(r"\d+\.\d+(?:\.\d+)*")
_PLAIN_ANSWER = (
    '{"id":"chatcmpl-000000000000000000000000","object":"chat.completion","created":1700000000,'
    '"model":"gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant","content":"%s"},'
    '"finish_reason":"stop"}],"usage":{"prompt_tokens":42,"completion_tokens":160,"total_tokens":202}}'
) % ("A gateway stands between clients and servers, and is worth its cost for what it keeps. " * 9)


@dataclass(frozen=True, slots=True)
class Started:
    """Where a peer is started: its folder, its port, the backend as host:port."""

    folder: Path
    port: int
    backend: str
    environ: dict[str, str]

    @property
    def log(self) -> Path:
        return self.folder / ACCESS_LOG


@dataclass(frozen=True, slots=True)
class Peer:
    """A server to measure. `package` says how it is installed, `program` is looked for on PATH."""

    name: str
    title: str
    program: str
    package: str
    version_arguments: tuple[str, ...]
    # Writes the configuration and returns the command and what the environment needs besides.
    configure: Callable[[Started], tuple[list[str], dict[str, str]]]
    is_default: bool = True
    can_use_one_core: bool = False

    def find_version(self) -> str:
        """Return its version; raises `BenchError` if it is not installed."""
        program = find_program(self.program)
        if program is None:
            raise BenchError(f"{self.title} is left out: {self.program} is not installed ({self.package})")
        return read_version([program, *self.version_arguments])

    @contextmanager
    def run(self, folder: Path, origin: str, *, on_one_core: bool = False) -> Iterator[Server]:
        """Start it in front of a backend."""
        folder.mkdir(parents=True)
        with reserve_port() as port:
            started = Started(folder, port, origin.removeprefix("http://"), ONE_CORE if on_one_core else {})
            (name, *arguments), environ = self.configure(started)
            command = [find_program(name) or name, *arguments]
            environ = {**environ, **started.environ}
            with run_server(
                self.title, folder, port, command, key=CLIENT_KEY, logs=[started.log], environ=environ
            ) as server:
                yield server


@dataclass(frozen=True, slots=True)
class Gateway:
    """FastGate itself; `more` is added to its configuration."""

    name: str
    title: str
    more: str = ""
    is_default: bool = True
    can_use_one_core: bool = True  # one worker is one thread

    def find_version(self) -> str:
        return read_version([sys.executable, "-m", "fastgate_cli", "--version"])

    def run(self, folder: Path, origin: str, *, on_one_core: bool = False) -> AbstractContextManager[Server]:
        """Start it in front of a backend."""
        return run_gateway(self.title, folder, origin, more=self.more)


def read_version(command: list[str]) -> str:
    """Return the first version number that a command prints."""
    done = run_program(command, _VERSION_SECONDS_MAX)
    found = _VERSION.search(done.stdout + done.stderr)
    if not found:
        raise BenchError(f"{command[0]} does not say its version")
    return found[0]


@contextmanager
def run_plain_backend(folder: Path) -> Iterator[Server]:
    """Start nginx answering every request with the same kilobyte of JSON."""
    folder.mkdir(parents=True)
    location = f"default_type application/json; return 200 '{_PLAIN_ANSWER}';"
    with reserve_port() as port:
        command = _write_nginx(folder, port, location)
        with run_server("backend", folder, port, [find_program("nginx") or "nginx", *command[1:]]) as server:
            yield server


def _configure_nginx(started: Started) -> tuple[list[str], dict[str, str]]:
    return _write_nginx(started.folder, started.port, _NGINX_PROXY, upstream=started.backend), {}


def _configure_nginx_with_log(started: Started) -> tuple[list[str], dict[str, str]]:
    log = f"{_NGINX_LOG_FORMAT} access_log {started.log} bench;"
    command = _write_nginx(started.folder, started.port, _NGINX_PROXY, upstream=started.backend, log=log)
    return command, {}


_NGINX_PROXY = (
    "proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection '';"
    " proxy_set_header Host $host; proxy_buffering off; proxy_read_timeout 300s;"
)
_NGINX_LOG_FORMAT = (
    'log_format bench escape=json \'{"ts":"$msec","remote_ip":"$remote_addr","remote_port":"$remote_port",'
    '"proto":"$server_protocol","method":"$request_method","host":"$host","uri":"$request_uri",'
    '"user_agent":"$http_user_agent","accept":"$http_accept","content_type":"$http_content_type",'
    '"bytes_read":"$content_length","duration":"$request_time","size":"$body_bytes_sent","status":"$status",'
    '"response_type":"$sent_http_content_type","upstream":"$upstream_addr",'
    '"upstream_time":"$upstream_response_time"}\';'
)
_NGINX = """\
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log error;
events {{ worker_connections 8192; }}
http {{
  client_body_temp_path {folder}/client;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 100000000;
  keepalive_timeout 300s;
  tcp_nodelay on;
  {log}
  {upstream}
  server {{
    listen {host}:{port} backlog=2048;
    location / {{ {location} }}
  }}
}}
"""


def _write_nginx(
    folder: Path, port: int, location: str, *, upstream: str = "", log: str = "access_log off;"
) -> list[str]:
    kept = "keepalive 1024; keepalive_requests 100000000; keepalive_timeout 300s;"
    text = _NGINX.format(
        folder=folder,
        user="user root;" if os.geteuid() == 0 else "",
        host=HOST,
        port=port,
        location=location,
        log=log,
        upstream=f"upstream backend {{ server {upstream}; {kept} }}" if upstream else "",
    )
    path = folder / "nginx.conf"
    path.write_text(text)
    # `-e`: else it first opens the log of the system's own nginx.
    return ["nginx", "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(path)]


def _configure_caddy(started: Started) -> tuple[list[str], dict[str, str]]:
    return _write_caddy(started, ""), {}


def _configure_caddy_with_log(started: Started) -> tuple[list[str], dict[str, str]]:
    log = f"log {{\n output file {started.log} {{\n roll_disabled\n }}\n format json\n }}"
    return _write_caddy(started, log), {}


def _write_caddy(started: Started, log: str) -> list[str]:
    path = started.folder / "Caddyfile"
    path.write_text(
        "{\n admin off\n auto_https off\n persist_config off\n}\n"
        f"http://{HOST}:{started.port} {{\n bind {HOST}\n {log}\n reverse_proxy {started.backend}\n}}\n"
    )
    return ["caddy", "run", "--config", str(path), "--adapter", "caddyfile"]


def _configure_traefik(started: Started) -> tuple[list[str], dict[str, str]]:
    rules = started.folder / "rules.yaml"
    rules.write_text(
        "http:\n"
        "  routers: {all: {rule: 'PathPrefix(`/`)', entryPoints: [web], service: backend}}\n"
        f"  services: {{backend: {{loadBalancer: {{servers: [{{url: 'http://{started.backend}'}}]}}}}}}\n"
    )
    options = [
        f"--entrypoints.web.address={HOST}:{started.port}",
        f"--providers.file.filename={rules}",
        "--accesslog=true",
        f"--accesslog.filepath={started.log}",
        "--accesslog.format=json",
        "--log.level=ERROR",
        "--global.checknewversion=false",
        "--global.sendanonymoususage=false",
    ]
    return ["traefik", *options], {}


def _configure_ferrogw(started: Started) -> tuple[list[str], dict[str, str]]:
    path = started.folder / "config.yaml"
    path.write_text("strategy: {mode: fallback}\ntargets: [{virtual_key: openai}]\n")
    # It logs to standard error, and has no setting for the address that it listens on: every one.
    environ = {
        "GATEWAY_CONFIG": str(path),
        "MASTER_KEY": CLIENT_KEY,
        "OPENAI_API_KEY": "sk-backend",
        "OPENAI_BASE_URL": f"http://{started.backend}",
        "PORT": str(started.port),
        # It limits each client's address if it is not told otherwise.
        "RATE_LIMIT_RPS": "1000000",
        "RATE_LIMIT_BURST": "1000000",
    }
    return ["ferrogw", "serve"], environ


def _configure_litellm(started: Started) -> tuple[list[str], dict[str, str]]:
    path = started.folder / "config.yaml"
    path.write_text(
        "model_list:\n"
        "  - model_name: gpt-4o-mini\n"
        "    litellm_params:\n"
        f"      {{model: openai/gpt-4o-mini, api_base: 'http://{started.backend}/v1', api_key: sk-backend}}\n"
        f"general_settings: {{master_key: {CLIENT_KEY}}}\n"
        "litellm_settings: {json_logs: true, telemetry: false}\n"
    )
    arguments = ["--config", str(path), "--host", HOST, "--port", str(started.port), "--num_workers", "1"]
    # Else it fetches the prices of models from the network when it starts.
    return ["litellm", *arguments], {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}


_NGINX_PACKAGE = "apt-get install nginx-light"
_BENCH_EXTRA = "pip install -e '.[bench]'"
CADDY_WITH_LOG = "caddy-log"  # what ratios are to
PEERS: tuple[Peer | Gateway, ...] = (
    Peer(
        "nginx",
        "nginx, no log",
        "nginx",
        _NGINX_PACKAGE,
        ("-v",),
        _configure_nginx,
        can_use_one_core=True,
    ),
    Peer("nginx-log", "nginx, JSON log", "nginx", _NGINX_PACKAGE, ("-v",), _configure_nginx_with_log),
    Peer(
        "caddy",
        "Caddy, no log",
        "caddy",
        _BENCH_EXTRA,
        ("version",),
        _configure_caddy,
        is_default=False,
    ),
    Peer(
        CADDY_WITH_LOG,
        "Caddy, JSON log",
        "caddy",
        _BENCH_EXTRA,
        ("version",),
        _configure_caddy_with_log,
        can_use_one_core=True,
    ),
    Peer("traefik-log", "Traefik, JSON log", "traefik", _BENCH_EXTRA, ("version",), _configure_traefik),
    Peer(
        "ferrogw",
        "FerroGW, JSON log",
        "ferrogw",
        "pip install ferrogw",
        ("version",),
        _configure_ferrogw,
    ),
    Peer(
        "litellm",
        "LiteLLM",
        "litellm",
        "pip install 'litellm[proxy]'",
        ("--version",),
        _configure_litellm,
    ),
    Gateway("fastgate", "FastGate, all on"),
    Gateway(
        "fastgate-no-audit",
        "FastGate, no audit",
        "audit: {enabled: false}\n",
        is_default=False,
    ),
)
