"""`fastgate help bodies`: conditions on JSON bodies, and fields that are set in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastgate_cli.help.page import Page, Rows, Text
from proxy.settings import ProxySettings


@dataclass(frozen=True, slots=True)
class ConditionExample:
    """Conditions of one route (`--body`), with bodies that fit and do not."""

    conditions: Sequence[str]
    fits: Sequence[str]
    misfits: Sequence[str]

    @property
    def options(self) -> str:
        """Return the conditions as options."""
        return " ".join(f"--body {condition}" for condition in self.conditions)

    def describe(self) -> str:
        """Return what fits."""
        return "\n".join([*(f"+ {body}" for body in self.fits), *(f"- {body}" for body in self.misfits)])


@dataclass(frozen=True, slots=True)
class EditExample:
    """A field that a route sets (`--set-body`), and what becomes of a body."""

    name: str
    value: str
    before: str
    after: str

    @property
    def options(self) -> str:
        """Return the field as an option."""
        text = f"{self.name}={self.value}"
        return f"--set-body '{text}'" if '"' in text else f"--set-body {text}"


CONDITIONS = (
    ConditionExample(("model=qwen3",), ('{"model": "qwen3"}',), ('{"model": "qwen3-32b"}', "{}")),
    ConditionExample(("stream=true",), ('{"stream": true}', '{"stream": "true"}'), ('{"stream": 1}',)),
    ConditionExample(
        ("options.num_ctx=8192",), ('{"options": {"num_ctx": 8192}}',), ('{"options.num_ctx": 8192}',)
    ),
    ConditionExample(
        ("model=qwen3", "stream=true"), ('{"model": "qwen3", "stream": true}',), ('{"model": "qwen3"}',)
    ),
)
SCHEMA = '{"properties": {"model": {"pattern": "^qwen"}}, "required": ["model"]}'
SCHEMA_FITS, SCHEMA_MISFITS = ('{"model": "qwen3-32b"}',), ('{"model": "gpt-5"}', "{}")
EDITS = (
    EditExample("temperature", "0.2", '{"model":  "m"}', '{"model":  "m","temperature":0.2}'),
    EditExample("model", '"qwen3"', '{"model": "gpt-5", "n": 1}', '{"model": "qwen3", "n": 1}'),
    EditExample("options.seed", "7", "{}", '{"options":{"seed":7}}'),
)


def build_page() -> Page:
    """Return the page."""
    read_bytes, body_bytes = ProxySettings().inspect_body_size, ProxySettings().max_body_size
    return Page(
        examples=(
            "fastgate routes add --match '/v1/*' --body model=qwen3 --to http://gpu1:8000",
            "fastgate routes add --match '/v1/*' --body-schema @vision.json \\",
            "    --to http://gpu2:8000",
            "fastgate routes add --match '/v1/*' --to http://gpu:8000 --set-body top_k=20",
            'fastgate routes explain POST /v1/chat/completions --data \'{"model": "qwen3"}\'',
        ),
        blocks=(
            Text(
                "A route with conditions serves only requests whose body is JSON that fits all of them. "
                "A VALUE is text; if it can also be read as JSON (true, 8192, null), either will do. "
                "Dots reach into objects. No body and one that is not JSON fit nothing; a compressed one "
                "is decompressed to be looked at."
            ),
            Rows(
                [(example.options, example.describe()) for example in CONDITIONS],
                "Conditions, with bodies that fit (+) and do not (-)",
            ),
            Text(
                "--body-schema takes a JSON Schema, as text or as @FILE, and says what --body cannot: "
                f"{SCHEMA} is any model whose name begins with qwen. It refers to nothing outside "
                "itself."
            ),
            Rows(
                [(example.options, f"{example.before}\n{example.after}") for example in EDITS],
                "Fields that are set, with a body as it comes and as it is sent",
            ),
            Text(
                "The value that --set-body takes is JSON, so a text has quotes. Every other byte of the "
                "body stays as the client wrote it, but for members whose name differs in case only: they "
                "get the value too. A body that is no JSON object is then refused with 400."
            ),
            Text(
                "Bodies are read only where such a rule, or a permission with model:, needs it, and up "
                f"to proxy.inspect_body_size ({_spell(read_bytes)} unless it is set); beyond it the "
                "answer is 413. All others pass through unread, up to proxy.max_body_size "
                f"({_spell(body_bytes)})."
            ),
        ),
    )


def _spell(size_bytes: int) -> str:
    return f"{size_bytes >> 20}MB"
