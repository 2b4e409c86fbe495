"""The audit trail: events, the journal that keeps them, the recorder that turns them into rows."""
