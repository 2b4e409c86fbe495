"""The hot path: moves bytes between a client and a backend, as policy decided. Never opens a database."""
