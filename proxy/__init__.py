"""FastGate's gateway: policy decides, relay moves bytes, store persists, audit records."""

__version__ = "0.1.0"
