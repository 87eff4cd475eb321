"""The JSON Schema of a book, for editors and for whoever writes one by program."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from cloud.load.nouns import NOUNS


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the YAML and JSON forms. A line may leave out what is there already, but not its key."""
    shapes, components = msgspec.json.schema_components([noun.shape for noun in NOUNS], ref_template="#/$defs/{name}")
    sheets = {}
    for noun, shape in zip(NOUNS, shapes, strict=True):
        line = components[noun.shape.__name__]
        line["required"] = list(noun.key)
        sheets[noun.name] = {"title": noun.title, "type": "array", "items": shape}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "AisleFlow load file",
        "type": "object",
        "properties": {"$schema": {"type": "string"}, **sheets},
        "additionalProperties": False,
        "$defs": components,
    }


def json_schema_text() -> str:
    """The schema as `docs/load-schema.json` holds it."""
    return json.dumps(json_schema(), ensure_ascii=False, indent=1) + "\n"
