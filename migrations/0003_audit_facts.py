"""What the audit trail needs at a million rows: narrow facts beside the wide rows, and accounts of writers.

`log_facts` has one row a request in the order of time, all of them numbers: a filter or a figure reads some
80 bytes a request in place of a thousand, and one insert takes the place of seven indexes. The texts are in
`log_words`, each once. `journal_writers` says how many requests a writer began and how many became rows.
"""

from __future__ import annotations

from collections.abc import Callable

from peewee import Database
from playhouse.migrate import SchemaMigrator

TABLES = {
    # place: microseconds since the epoch times 1,024, plus a number that tells those of one apart.
    "log_facts": """
        place INTEGER NOT NULL PRIMARY KEY,
        key_n INTEGER,
        source_n INTEGER,
        route_n INTEGER,
        method_n INTEGER,
        path_n INTEGER,
        ip_n INTEGER,
        text_n INTEGER,
        error_n INTEGER,
        status INTEGER,
        is_stream BOOLEAN,
        took_ms INTEGER,
        ttfb_ms INTEGER,
        gateway_us INTEGER,
        request_size INTEGER,
        response_size INTEGER,
        id VARCHAR(50) NOT NULL
    """,
    # last_day: the last day, counted from the epoch, on which a request had this word.
    "log_words": """
        n INTEGER NOT NULL PRIMARY KEY,
        kind VARCHAR(10) NOT NULL,
        word TEXT NOT NULL,
        last_day INTEGER NOT NULL
    """,
    "journal_writers": """
        writer_id VARCHAR(64) NOT NULL PRIMARY KEY,
        accepted INTEGER NOT NULL,
        stored INTEGER NOT NULL,
        pruned INTEGER NOT NULL DEFAULT 0
    """,
}
INDEXES = (
    "CREATE UNIQUE INDEX log_words_word ON log_words (kind, word)",
    "CREATE INDEX log_words_last_day ON log_words (last_day)",
    # Imported rows alone: the request id of every other one can be told from its own.
    "CREATE INDEX audit_logs_foreign ON audit_logs (request_id) WHERE writer_id IS NULL",
)
OLD_INDEXES = {
    "audit_logs_request_time": "request_time",
    "audit_logs_request_id": "request_id",
    "audit_logs_api_key": "api_key, request_time",
    "audit_logs_source_path": "source_path, request_time",
    "audit_logs_route_id": "route_id, request_time",
    "audit_logs_status_code": "status_code, request_time",
    "audit_logs_path": "path, request_time",
}
WORDS = {
    "key": "api_key",
    "source": "source_path",
    "route": "route_id",
    "method": "method",
    "path": "path",
    "ip": "ip_address",
    "text": "path || char(10) || COALESCE(target_url, '') || char(10) || COALESCE(user_agent, '')",
    "error": "error_message",
}
# Of a stored time, which always has this form: 2026-01-31T08:00:00.000000+08:00.
MICROSECONDS = """
    (CAST(strftime('%s', substr({0}, 1, 19) || substr({0}, 27)) AS INTEGER) * 1000000
        + CAST(substr({0}, 21, 6) AS INTEGER))
"""


def up(_migrator: SchemaMigrator, db: Database) -> None:
    """Create the tables, fill them from the rows that are there, and drop the indexes that they replace."""
    execute: Callable[[str], object] = db.execute_sql
    for table, columns in TABLES.items():
        execute(f"CREATE TABLE {table} ({columns})")
    for index in INDEXES:
        execute(index)
    execute("ALTER TABLE gateway_state ADD COLUMN bodies_pruned_to INTEGER NOT NULL DEFAULT 0")
    fill_words(execute)
    fill_facts(execute)
    execute("""
        INSERT INTO journal_writers (writer_id, accepted, stored)
        SELECT writer_id, MAX(sequence), COUNT(*) FROM audit_logs
        WHERE writer_id IS NOT NULL GROUP BY writer_id
    """)
    for name in OLD_INDEXES:
        execute(f"DROP INDEX {name}")


def down(_migrator: SchemaMigrator, db: Database) -> None:
    """Put the indexes back, and drop the rest."""
    execute: Callable[[str], object] = db.execute_sql
    for name, columns in OLD_INDEXES.items():
        execute(f"CREATE INDEX {name} ON audit_logs ({columns})")
    execute("DROP INDEX audit_logs_foreign")
    for table in TABLES:
        execute(f"DROP TABLE {table}")
    execute("ALTER TABLE gateway_state DROP COLUMN bodies_pruned_to")


def fill_words(execute: Callable[[str], object]) -> None:
    """Give every text of the rows a number."""
    day = MICROSECONDS.format("request_time") + " / 86400000000"
    for kind, text in WORDS.items():
        execute(f"""
            INSERT INTO log_words (kind, word, last_day)
            SELECT '{kind}', {text}, MAX({day}) FROM audit_logs WHERE {text} IS NOT NULL GROUP BY {text}
        """)  # noqa: S608


def fill_facts(execute: Callable[[str], object]) -> None:
    """Make the facts of every row; its place among those of one microsecond is its turn."""
    began, first = MICROSECONDS.format("request_time"), MICROSECONDS.format("first_response_time")
    numbers = ", ".join(
        f"(SELECT n FROM log_words WHERE kind = '{kind}' AND word = {text})"  # noqa: S608
        for kind, text in WORDS.items()
    )
    execute(f"""
        INSERT INTO log_facts
        SELECT
            {began} * 1024 + ROW_NUMBER() OVER (PARTITION BY request_time ORDER BY id) - 1,
            {numbers},
            status_code, is_stream, response_time_ms, ({first} - {began} + 500) / 1000,
            CAST(gateway_ms * 1000 AS INTEGER), request_size, response_size, id
        FROM audit_logs
    """)  # noqa: S608
