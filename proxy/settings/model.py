"""The configuration as plain frozen data: one class a section, one field a key with its default and rule.

What is read here is final: sizes are bytes, times are seconds, paths are absolute once `load_settings` made
them so. The defaults written here are those of a file that leaves the key out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from datetime import tzinfo
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from proxy.clock import STORAGE_TIMEZONE
from proxy.settings import kinds
from proxy.settings.kinds import Kind, flag, header_names, one_of, plain_text, seconds, size, whole_number

_KB, _MB = 1 << 10, 1 << 20
_DAYS_MAX = 36_500
# The largest rate a minute, and burst, of a key and by default: the limiter is exact up to there.
REQUESTS_MAX = 1_000_000_000
_SYSTEM_PREFIX = r"(?:/\.?[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*"
_STRIPPED_HEADERS = ("host", "x-api-key", "authorization", "x-source-path")
_REDACTED_HEADERS = (
    "authorization",
    "proxy-authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "x-auth-token",
    "x-amz-security-token",
    "cookie",
    "set-cookie",
)


@dataclass(frozen=True, slots=True)
class AppSettings:
    name: str = field(default="FastGate", metadata=plain_text())
    host: str = field(default="127.0.0.1", metadata=plain_text("a host name or an IP address", r"[^\s/]+"))
    port: int = field(default=8514, metadata=whole_number(0, 65535))
    timezone: tzinfo = field(default=STORAGE_TIMEZONE, metadata=kinds.utc_offset())
    workers: int = field(default=1, metadata=whole_number(1, 64))
    system_prefix: str = field(
        default="",
        metadata=plain_text("empty, or a path such as /_gateway without a / at its end", _SYSTEM_PREFIX),
    )


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    url: str = field(default="sqlite:///data/fastgate.db", metadata=kinds.sqlite_url())


@dataclass(frozen=True, slots=True)
class SecuritySettings:
    admin_token: str = field(default="", repr=False, metadata=kinds.secret())
    key_prefix: str = field(
        default="fg_", metadata=plain_text("1 to 16 letters, digits and underscores", r"[A-Za-z0-9_]{1,16}")
    )
    default_expiry_days: int = field(default=365, metadata=whole_number(0, _DAYS_MAX))
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = field(default=(), metadata=kinds.networks())


@dataclass(frozen=True, slots=True)
class RateLimitingSettings:
    enabled: bool = field(default=True, metadata=flag())
    default_requests_per_minute: int = field(default=100, metadata=whole_number(0, REQUESTS_MAX))
    default_burst: int = field(default=0, metadata=whole_number(0, REQUESTS_MAX))
    file: Path = field(default=Path("data/limits"), metadata=kinds.path())


@dataclass(frozen=True, slots=True)
class LoggingSettings:
    level: str = field(default="INFO", metadata=one_of("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"))
    format: str = field(default="text", metadata=one_of("text", "json"))
    file: Path | None = field(default=None, metadata=kinds.optional_path())
    max_size: int = field(default=100 * _MB, metadata=size())
    backup_count: int = field(default=5, metadata=whole_number(0, 1000))


@dataclass(frozen=True, slots=True)
class ProxySettings:
    timeout: float = field(default=300.0, metadata=seconds())
    connect_timeout: float = field(default=5.0, metadata=seconds())
    max_retries: int = field(default=3, metadata=whole_number(0, 100))
    max_body_size: int = field(default=32 * _MB, metadata=size())
    inspect_body_size: int = field(default=32 * _MB, metadata=size())
    inspect_memory_max: int = field(default=256 * _MB, metadata=size())
    enable_streaming: bool = field(default=True, metadata=flag())
    strip_headers: tuple[str, ...] = field(default=_STRIPPED_HEADERS, metadata=header_names())
    shutdown_grace: float = field(default=30.0, metadata=seconds(zero=True))
    total_timeout: float = field(default=0.0, metadata=seconds(zero=True))
    client_timeout: float = field(default=30.0, metadata=seconds())
    keep_alive_timeout: float = field(default=75.0, metadata=seconds())
    stream_keepalive: float = field(default=0.0, metadata=seconds(zero=True))
    max_connections: int = field(default=4096, metadata=whole_number(1, 1_000_000))
    max_in_flight: int = field(default=2048, metadata=whole_number(1, 1_000_000))
    egress_proxy: str = field(
        default="",
        repr=False,
        metadata=plain_text("empty, or a URL such as http://10.0.0.1:3128", r"(?:https?://\S+)?"),
    )


@dataclass(frozen=True, slots=True)
class AuditSettings:
    enabled: bool = field(default=True, metadata=flag())
    include_headers: bool = field(default=True, metadata=flag())
    headers_max_size: int = field(default=8 * _KB, metadata=size())
    include_body: bool = field(default=False, metadata=flag())
    body_max_size: int = field(default=10 * _KB, metadata=size())
    stream_bodies: str = field(default="merged", metadata=one_of("merged", "raw"))
    redact_headers: tuple[str, ...] = field(default=_REDACTED_HEADERS, metadata=header_names())
    directory: Path = field(default=Path("data/journal"), metadata=kinds.path())
    on_failure: str = field(default="refuse", metadata=one_of("refuse", "forward"))
    journal_max_size: int = field(default=4 * 1024 * _MB, metadata=size())
    fsync: str = field(default="never", metadata=one_of("never", "interval", "always"))
    retention_days: int = field(default=0, metadata=whole_number(0, _DAYS_MAX))
    body_retention_days: int = field(default=0, metadata=whole_number(0, _DAYS_MAX))


@dataclass(frozen=True, slots=True)
class CorsSettings:
    enabled: bool = field(default=False, metadata=flag())
    allow_origins: tuple[str, ...] = field(default=("*",), metadata=kinds.origins())
    allow_methods: tuple[str, ...] = field(
        default=("*",), metadata=kinds.words("* or a method", r"\*|[A-Za-z-]+")
    )
    allow_headers: tuple[str, ...] = field(default=("*",), metadata=header_names())
    allow_credentials: bool = field(default=True, metadata=flag())


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration.

    `source` is the file it came from, absolute, or None; `origins` says of each setting ("app.port") whether
    it is the "default" or came from "file:LINE" or "environment:NAME".
    """

    app: AppSettings = AppSettings()
    database: DatabaseSettings = DatabaseSettings()
    security: SecuritySettings = SecuritySettings()
    rate_limiting: RateLimitingSettings = RateLimitingSettings()
    logging: LoggingSettings = LoggingSettings()
    proxy: ProxySettings = ProxySettings()
    audit: AuditSettings = AuditSettings()
    cors: CorsSettings = CorsSettings()
    source: Path | None = None
    origins: Mapping[str, str] = field(default_factory=dict, hash=False, repr=False)


SECTIONS = {
    "app": AppSettings,
    "database": DatabaseSettings,
    "security": SecuritySettings,
    "rate_limiting": RateLimitingSettings,
    "logging": LoggingSettings,
    "proxy": ProxySettings,
    "audit": AuditSettings,
    "cors": CorsSettings,
}


def section_keys(section: str) -> Iterator[tuple[str, Kind, object]]:
    """Yield name, kind and default of each key of a section."""
    declared: tuple[Field[object], ...] = fields(SECTIONS[section])
    for key in declared:
        yield key.name, key.metadata["kind"], key.default


def database_path(settings: Settings) -> Path:
    """Return the file behind `database.url`."""
    return Path(settings.database.url.removeprefix(kinds.SQLITE_PREFIX))
