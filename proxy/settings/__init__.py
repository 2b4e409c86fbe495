"""Configuration: `fastgate.yaml`, the environment and the defaults become one frozen `Settings`.

Every problem of a configuration is reported at once, with its place. Importing this package is light: the
YAML reader is loaded only when there is a file to read. Nothing here opens what a setting points to.
"""

from proxy.settings.example import example_text
from proxy.settings.load import load_settings
from proxy.settings.model import (
    AppSettings,
    AuditSettings,
    CorsSettings,
    DatabaseSettings,
    LoggingSettings,
    ProxySettings,
    RateLimitingSettings,
    SecuritySettings,
    Settings,
    database_path,
)

__all__ = [
    "AppSettings",
    "AuditSettings",
    "CorsSettings",
    "DatabaseSettings",
    "LoggingSettings",
    "ProxySettings",
    "RateLimitingSettings",
    "SecuritySettings",
    "Settings",
    "database_path",
    "example_text",
    "load_settings",
]
