"""The table of nouns keeps its own rules, and the published schema is the one that is used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from msgspec.inspect import Metadata, StrType, Type, UnionType

import cloud.app  # noqa: F401 - with it come the tables of all nouns
from cloud.database import metadata
from cloud.load.noun import Noun
from cloud.load.nouns import NOUNS
from cloud.load.schema import json_schema, json_schema_text

ROOT = Path(__file__).resolve().parents[3]
ALL = pytest.mark.parametrize("noun", NOUNS, ids=[noun.name for noun in NOUNS])


def test_the_published_schema_is_the_one_that_is_used() -> None:
    published = (ROOT / "docs" / "load-schema.json").read_text(encoding="utf-8")
    assert published == json_schema_text(), "run `python -m cloud load --schema > docs/load-schema.json`"


def test_the_schema_names_every_noun_and_column_in_both_languages() -> None:
    schema = json.loads(json.dumps(json_schema()))
    for noun in NOUNS:
        assert schema["properties"][noun.name]["title"] == noun.title
        line = schema["$defs"][noun.shape.__name__]
        assert line["required"] == list(noun.key)
        for column in noun.columns.all:
            assert line["properties"][column.name]["title"] == column.title
            assert line["properties"][column.name]["description"] == column.says


@ALL
def test_the_guide_names_every_column(noun: Noun[Any]) -> None:
    guide = (ROOT / "docs" / "load.md").read_text(encoding="utf-8")
    assert f"### {noun.name} {noun.title}" in guide
    for column in noun.columns.all:
        assert f"| {column.title} |" in guide or column.name == "brand", (
            f"docs/load.md does not tell of {noun.name}.{column.name}"
        )


@ALL
def test_every_column_says_what_it_is(noun: Noun[Any]) -> None:
    for column in noun.columns.all:
        assert column.title.isascii() is False, f"{noun.name}.{column.name} has no Chinese title"
        assert column.says.endswith("."), f"{noun.name}.{column.name} says nothing"
    titles = [column.title for column in noun.columns.all]
    assert len(set(titles)) == len(titles), "a Chinese header must mean one column"


@ALL
def test_an_empty_cell_has_one_meaning(noun: Noun[Any]) -> None:
    """It stands for the default. So where the default is something else than '', the text may not be ''."""
    info = msgspec.inspect.type_info(noun.shape)
    assert isinstance(info, msgspec.inspect.StructType)
    for column in noun.columns.all:
        assert not column.is_ids or column.default == (), f"{noun.name}.{column.name}: an empty cell is an empty list"
    for field in info.fields:
        if field.default != "" and any(_takes_nothing(kind) for kind in _kinds(field.type)):
            pytest.fail(f"{noun.name}.{field.name} takes '' but an empty cell means {field.default!r}")


@ALL
def test_references_name_nouns_to_the_left_or_itself(noun: Noun[Any]) -> None:
    left = [one.name for one in NOUNS[: NOUNS.index(noun) + 1]]
    for column, target in noun.references.items():
        assert target in left
        assert column in noun.columns.by_name
        assert len(next(one for one in NOUNS if one.name == target).key) == 1


def test_the_guide_says_of_every_table_whether_a_dump_holds_it() -> None:
    guide = (ROOT / "docs" / "load.md").read_text(encoding="utf-8")
    told = guide.partition("| tables 表 |")[2].partition("##")[0]
    named = {name.strip() for line in told.splitlines() for name in line.strip("| ").partition("|")[0].split(",")}
    assert metadata.tables.keys() - named == set()


def _kinds(kind: Type) -> list[Type]:
    if isinstance(kind, Metadata):
        return _kinds(kind.type)
    return [one for part in kind.types for one in _kinds(part)] if isinstance(kind, UnionType) else [kind]


def _takes_nothing(kind: Type) -> bool:
    if not isinstance(kind, StrType):
        return False
    shape = msgspec.defstruct("Shape", [("text", _as_type(kind))])
    try:
        msgspec.convert({"text": ""}, shape)
    except msgspec.ValidationError:
        return False
    return True


def _as_type(kind: StrType) -> Any:
    return Annotated[str, msgspec.Meta(min_length=kind.min_length, max_length=kind.max_length, pattern=kind.pattern)]
