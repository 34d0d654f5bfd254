"""Models become structural schemas, and what has no structural form is refused at the place."""

from enum import Enum, IntEnum, StrEnum
from typing import Annotated, Any, ClassVar

import msgspec
import pytest
from msgspec import Meta

from perfprofile_agent.api import crd
from perfprofile_agent.api.crd import SchemaError, structural_schema
from perfprofile_agent.api.profile import PerfProfileSpec
from perfprofile_agent.api.schema import Rule

Text = Annotated[str, Meta(description="Some text.")]


class Colour(StrEnum):
    RED = "Red"
    BLUE = "Blue"


class Small(IntEnum):
    ONE = 1


class Inner(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    validations: ClassVar[tuple[Rule, ...]] = (Rule("has(self.wide)", "say how wide"),)

    wide: Annotated[int, Meta(ge=1, le=9, description="How wide.")] | None = None


class Keyed(msgspec.Struct, frozen=True, kw_only=True):
    list_map_keys: ClassVar[tuple[str, ...]] = ("type",)

    type: Text


def schema_of(annotation: Any, default: Any = msgspec.NODEFAULT) -> dict[str, Any]:
    field = ("someField", annotation) if default is msgspec.NODEFAULT else ("someField", annotation, default)
    return structural_schema(msgspec.defstruct("Model", [field]))["properties"]["someField"]


def test_a_required_field_is_required_and_an_optional_one_is_not():
    model = msgspec.defstruct("Model", [("needed", Text), ("spare", Text | None, None)])

    schema = structural_schema(model)

    assert schema["required"] == ["needed"]
    assert schema["properties"]["spare"] == {"description": "Some text.", "type": "string"}


@pytest.mark.parametrize(
    ("annotation", "default", "expected"),
    [
        (Annotated[str, Meta(description="x", min_length=1, max_length=3, pattern="^a$")], "a", {"type": "string", "minLength": 1, "maxLength": 3, "pattern": "^a$", "default": "a"}),
        (Annotated[bool, Meta(description="x")], False, {"type": "boolean", "default": False}),
        (Annotated[int, Meta(description="x", ge=0, le=5)], 3, {"type": "integer", "format": "int64", "minimum": 0, "maximum": 5, "default": 3}),
        (Annotated[Colour, Meta(description="x")], Colour.RED, {"type": "string", "enum": ["Red", "Blue"], "default": "Red"}),
        (Annotated[str, Meta(description="x", extra_json_schema={"format": "date-time"})] | None, None, {"type": "string", "format": "date-time"}),
        (Annotated[tuple[str, ...], Meta(description="x", min_length=1, max_length=2)], ("a",), {"type": "array", "minItems": 1, "maxItems": 2, "x-kubernetes-list-type": "atomic", "items": {"type": "string"}, "default": ["a"]}),
        (Annotated[tuple[Keyed, ...], Meta(description="x")], (), {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"], "items": {"type": "object", "required": ["type"], "properties": {"type": {"description": "Some text.", "type": "string"}}}}),
        (Annotated[dict[str, str], Meta(description="x", max_length=4)], msgspec.field(default_factory=dict), {"type": "object", "maxProperties": 4, "additionalProperties": {"type": "string"}}),
    ],
    ids=["string", "boolean", "integer", "enum", "date-time", "list", "list by key", "map"],
)  # fmt: skip
def test_a_field_has_its_structural_form(annotation, default, expected):
    assert schema_of(annotation, default) == {"description": "x", **expected}


def test_a_limit_on_the_keys_of_a_map_becomes_a_rule():
    key = Annotated[str, Meta(max_length=63)]

    schema = schema_of(Annotated[dict[key, str], Meta(description="x")])

    assert schema["x-kubernetes-validations"] == [
        {"rule": "self.all(key, key.size() <= 63)", "message": "keys are at most 63 characters long"}
    ]


def test_a_nested_model_is_inlined_with_its_rules_and_defaults_to_an_empty_object():
    schema = schema_of(Annotated[Inner, Meta(description="The inner one.")], Inner())

    assert schema["default"] == {}
    assert schema["properties"]["wide"]["maximum"] == 9
    assert schema["x-kubernetes-validations"] == [{"rule": "has(self.wide)", "message": "say how wide"}]


def test_a_status_names_no_defaults():
    model = msgspec.defstruct("Model", [("count", Annotated[int, Meta(description="x")], 0)])

    assert "default" not in structural_schema(model, defaults=False)["properties"]["count"]


class Plain(Enum):
    ONE = 1


@pytest.mark.parametrize(
    ("annotation", "default", "problem"),
    [
        (str, msgspec.NODEFAULT, "has no description"),
        (Annotated[int | str, Meta(description="x")], msgspec.NODEFAULT, "union of several types"),
        (Annotated[float, Meta(description="x")], msgspec.NODEFAULT, "FloatType has no mapping"),
        (Annotated[Any, Meta(description="x")], msgspec.NODEFAULT, "AnyType has no mapping"),
        (Annotated[Small, Meta(description="x")], msgspec.NODEFAULT, "enums are made of strings"),
        (Annotated[int, Meta(gt=1, description="x")], msgspec.NODEFAULT, "write integer limits as ge and le"),
        (Annotated[dict[int, str], Meta(description="x")], msgspec.NODEFAULT, "keys of maps are strings"),
        (Annotated[Inner, Meta(description="x")], Inner(wide=3), "a model's default is its own default value"),
        (Annotated[tuple[str, ...], Meta(description="x")], msgspec.field(default_factory=lambda: ("a",)), "default factory"),
    ],
    ids=["undescribed", "union", "float", "any", "number enum", "open limit", "number keys", "other default", "other factory"],
)
def test_what_has_no_structural_form_is_refused_at_the_place(annotation, default, problem):
    with pytest.raises(SchemaError, match=problem) as refusal:
        schema_of(annotation, default)

    assert refusal.value.path == "Model.someField"


def test_a_place_deep_inside_is_named_as_users_write_it():
    inner = msgspec.defstruct("Inner", [("deepField", str)])
    model = msgspec.defstruct("Model", [("items", Annotated[tuple[inner, ...], Meta(description="x")])])

    with pytest.raises(SchemaError) as refusal:
        structural_schema(model, path="spec")

    assert refusal.value.path == "spec.items[].deepField"


def test_what_the_schema_calls_a_default_is_what_the_model_takes_for_one():
    """An object that the API server filled in reads like one that left everything out."""
    schema = structural_schema(PerfProfileSpec)

    filled = msgspec.convert(_defaults(schema), PerfProfileSpec)

    assert filled == PerfProfileSpec()


def _defaults(schema: dict[str, Any]) -> dict[str, Any]:
    """Fill in defaults as the API server does: a field that has one, then the fields inside it."""
    filled = {}
    for name, field in schema.get("properties", {}).items():
        if "default" in field:
            filled[name] = _defaults(field) if field["type"] == "object" else field["default"]
    return filled


@pytest.mark.parametrize("resource", crd.RESOURCES, ids=lambda resource: resource.kind)
def test_every_level_of_a_definition_is_structural(resource):
    """One type at each level, and none of the words that structural schemas forbid."""
    schema = crd.object_schema(resource)

    for level in _levels(schema):
        assert level["type"] in {"object", "array", "string", "integer", "boolean"}
        assert not {"$ref", "anyOf", "oneOf", "allOf", "const", "nullable"} & level.keys()


def _levels(schema: dict[str, Any]):
    yield schema
    for inner in [*schema.get("properties", {}).values(), *(schema[key] for key in ("items", "additionalProperties") if key in schema)]:
        yield from _levels(inner)
