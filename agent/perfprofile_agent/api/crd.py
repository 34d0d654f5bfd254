"""Models to CustomResourceDefinitions: the Python models are the source of truth, this room writes them in Kubernetes' words.

A CRD's schema must be *structural* (apiextensions.k8s.io/v1: one type at every level, no ``$ref``, no nulls in unions), which is not what
msgspec's own JSON schema is. So the models are read with :mod:`msgspec.inspect` and mapped type by type. What has no structural form is
refused with :class:`SchemaError` at the place, and so is a field without a description: a CRD that says less than the model would be found out
by a user, years later.

Used when files are generated (``make generate``) and by tests; no program needs it while it runs.
"""

from typing import Any, Final, NamedTuple

import msgspec
from msgspec import inspect

from perfprofile_agent.api.names import GROUP, VERSION
from perfprofile_agent.api.profile import PerfProfileSpec, PerfProfileStatus
from perfprofile_agent.api.run import PerfProfileRunSpec, PerfProfileRunStatus
from perfprofile_agent.api.schema import Rule
from perfprofile_agent.errors import PerfProfileError

Schema = dict[str, Any]
"""One level of an OpenAPI v3 schema, ready to be written as YAML or JSON."""


class SchemaError(PerfProfileError):
    """A model says something that a structural schema can't; ``path`` is the field, in the wire's spelling."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}; change the model, or teach perfprofile_agent.api.crd the mapping")
        self.path = path
        self.problem = problem


class Column(NamedTuple):
    """A column of ``kubectl get``; those of priority 1 show with ``-o wide`` only."""

    name: str
    type: str
    path: str
    description: str
    priority: int = 0


class Resource(NamedTuple):
    """A kind: its names, its models and what ``kubectl get`` shows of it."""

    kind: str
    plural: str
    short_name: str
    description: str
    spec: type[msgspec.Struct]
    status: type[msgspec.Struct]
    columns: tuple[Column, ...]
    rules: tuple[Rule, ...]


_AGE: Final = Column("Age", "date", ".metadata.creationTimestamp", "Time since the object was made.")

PROFILE: Final = Resource(
    kind="PerfProfile",
    plural="perfprofiles",
    short_name="pp",
    description="Asks for profiles of this namespace's pods. Each change of its spec makes a new PerfProfileRun.",
    spec=PerfProfileSpec,
    status=PerfProfileStatus,
    columns=(
        Column("Phase", "string", ".status.phase", "Phase of the latest run, or Refused."),
        Column("Run", "string", ".status.latestRun", "Name of the latest PerfProfileRun."),
        Column("Duration", "string", ".spec.duration", "How long a window records."),
        _AGE,
        Column("Active", "integer", ".status.activeRuns", "Runs that go on now.", priority=1),
        Column("Message", "string", ".status.conditions[?(@.type=='Accepted')].message", "What the operator says of the spec.", priority=1),
    ),
    # `<profile>-<5 hex>-<generation>` must fit the 63 characters of a label's value: agents' pods carry the run's name as a label.
    rules=(Rule("self.metadata.name.size() <= 45", "metadata.name is at most 45 characters long: choose a shorter name"),),
)

RUN: Final = Resource(
    kind="PerfProfileRun",
    plural="perfprofileruns",
    short_name="ppr",
    description="One execution of a PerfProfile over its nodes; made by the operator, as a Job is made under a CronJob.",
    spec=PerfProfileRunSpec,
    status=PerfProfileRunStatus,
    columns=(
        Column("Phase", "string", ".status.phase", "Where the run is."),
        Column("Nodes", "integer", ".status.nodes.desired", "Nodes chosen when the run was placed."),
        Column("Succeeded", "integer", ".status.nodes.succeeded", "Nodes that delivered a profile."),
        Column("Failed", "integer", ".status.nodes.failed", "Nodes that ended without a profile."),
        Column("Samples", "integer", ".status.samples.shown", "Samples in the profile."),
        _AGE,
        Column("Profile", "string", ".spec.profile", "The PerfProfile this run was made for.", priority=1),
        Column("Lost", "integer", ".status.samples.lost", "Samples the kernel lost.", priority=1),
        Column("Message", "string", ".status.conditions[?(@.type=='Complete')].message", "How it ended, and the next step.", priority=1),
    ),
    rules=(Rule("self.metadata.name.size() <= 63", "metadata.name is at most 63 characters long: runs are made by the operator"),),
)

RESOURCES: Final = (PROFILE, RUN)


def custom_resource_definition(resource: Resource) -> Schema:
    """Give the whole CustomResourceDefinition object of ``resource``.

    Raises:
        SchemaError: a model has no structural schema.
    """
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{resource.plural}.{GROUP}",
            "labels": {"app.kubernetes.io/name": "perfprofile", "app.kubernetes.io/part-of": "perfprofile"},
        },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
                "plural": resource.plural,
                "singular": resource.kind.lower(),
                "shortNames": [resource.short_name],
                # Not "perfprofile": kubectl takes a category before a singular name, and `kubectl get perfprofile NAME` would fail.
                "categories": ["profiling"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(column) for column in resource.columns],
                    "schema": {"openAPIV3Schema": object_schema(resource)},
                }
            ],
        },
    }


def object_schema(resource: Resource) -> Schema:
    """Give the schema of whole objects of ``resource``: the usual envelope around spec and status."""
    spec = structural_schema(resource.spec, path="spec")
    # Status carries no defaults: what nobody has counted yet should read as absent, not as 0.
    status = structural_schema(resource.status, path="status", defaults=False)
    return {
        "type": "object",
        "description": resource.description,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"{GROUP}/{VERSION}."},
            "kind": {"type": "string", "description": f"{resource.kind}."},
            "metadata": {"type": "object"},
            "spec": {"description": _summary(resource.spec), **spec},
            "status": {"description": _summary(resource.status), **status},
        },
        **_validations(resource.rules),
    }


def structural_schema(model: type[msgspec.Struct], *, path: str = "", defaults: bool = True) -> Schema:
    """Give the structural schema of one model, nested models inlined.

    Args:
        model: a msgspec Struct whose fields all carry ``Meta(description=...)``.
        path: where the model stands; goes before the fields' names in errors.
        defaults: whether the schema names defaults, which the API server then writes into objects that leave the field out.

    Raises:
        SchemaError: a field has no structural form, no description, or a default that can't be written down.
    """
    info = inspect.type_info(model)
    if not isinstance(info, inspect.StructType):
        raise SchemaError(path or model.__name__, "is not a msgspec Struct")
    return _struct(info, path or model.__name__, defaults)


def _struct(info: inspect.StructType, path: str, defaults: bool) -> Schema:
    if info.array_like or info.tag is not None:
        raise SchemaError(path, "array-like and tagged models have no structural form")
    required = [field.encode_name for field in info.fields if field.required]
    return {
        "type": "object",
        **({"required": required} if required else {}),
        "properties": {field.encode_name: _field(field, f"{path}.{field.encode_name}", defaults) for field in info.fields},
        **_validations(getattr(info.cls, "validations", ())),
    }


def _field(field: inspect.Field, path: str, defaults: bool) -> Schema:
    inner, said = _unwrap(field.type, path)
    if "description" not in said:
        raise SchemaError(path, "has no description")
    schema = {"description": said["description"], **_type(inner, path, defaults), **said}
    if defaults:
        schema |= _default(field, path)
    return schema


def _unwrap(kind: inspect.Type, path: str) -> tuple[inspect.Type, Schema]:
    """Take off ``| None`` (absence, in Kubernetes' words) and the annotations; give the bare type and what was said of it."""
    said: Schema = {}
    while isinstance(kind, inspect.Metadata | inspect.UnionType):
        if isinstance(kind, inspect.Metadata):
            said = {**(kind.extra_json_schema or {}), **said}
            kind = kind.type
            continue
        others = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
        if len(others) != 1:
            raise SchemaError(path, "is a union of several types; write sibling optional fields and an exactly-one rule")
        kind = others[0]
    return kind, said


def _type(kind: inspect.Type, path: str, defaults: bool) -> Schema:
    match kind:
        case inspect.StructType():
            return _struct(kind, path, defaults)
        case inspect.VarTupleType() | inspect.ListType():
            return _array(kind, path, defaults)
        case inspect.DictType():
            return _map(kind, path, defaults)
        case _:
            return _scalar(kind, path)


def _scalar(kind: inspect.Type, path: str) -> Schema:
    match kind:
        case inspect.StrType():
            return {"type": "string", **_present(minLength=kind.min_length, maxLength=kind.max_length, pattern=kind.pattern)}
        case inspect.BoolType():
            return {"type": "boolean"}
        case inspect.IntType():
            if kind.gt is not None or kind.lt is not None or kind.multiple_of is not None:
                raise SchemaError(path, "write integer limits as ge and le")
            return {"type": "integer", "format": "int64", **_present(minimum=kind.ge, maximum=kind.le)}
        case inspect.EnumType():
            return _enum(kind, path)
        case _:
            raise SchemaError(path, f"{type(kind).__name__} has no mapping")


def _enum(kind: inspect.EnumType, path: str) -> Schema:
    values = [member.value for member in kind.cls]
    if not all(isinstance(value, str) for value in values):
        raise SchemaError(path, "enums are made of strings")
    return {"type": "string", "enum": values}


def _array(kind: inspect.VarTupleType | inspect.ListType, path: str, defaults: bool) -> Schema:
    inner, said = _unwrap(kind.item_type, f"{path}[]")
    keys = list(getattr(inner.cls, "list_map_keys", ())) if isinstance(inner, inspect.StructType) else []
    listing = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys} if keys else {"x-kubernetes-list-type": "atomic"}
    return {
        "type": "array",
        **_present(minItems=kind.min_length, maxItems=kind.max_length),
        **listing,
        "items": {**_type(inner, f"{path}[]", defaults), **said},
    }


def _map(kind: inspect.DictType, path: str, defaults: bool) -> Schema:
    key, _ = _unwrap(kind.key_type, path)
    if not isinstance(key, inspect.StrType) or key.pattern is not None or key.min_length is not None:
        raise SchemaError(path, "keys of maps are strings, with a longest length or none")
    inner, said = _unwrap(kind.value_type, f"{path}{{}}")
    rules: tuple[Rule, ...] = ()
    if key.max_length is not None:  # additionalProperties can't limit keys, CEL can
        rules = (Rule(f"self.all(key, key.size() <= {key.max_length})", f"keys are at most {key.max_length} characters long"),)
    return {
        "type": "object",
        **_present(minProperties=kind.min_length, maxProperties=kind.max_length),
        "additionalProperties": {**_type(inner, f"{path}{{}}", defaults), **said},
        **_validations(rules),
    }


def _default(field: inspect.Field, path: str) -> Schema:
    """Give ``{"default": ...}`` where the API server should fill the field in, else nothing.

    A nested model whose default is the model's own gets ``{}``: the server then fills its fields in by their own defaults. Empty
    collections, empty strings and None stay absent, which readers of the object take alike.
    """
    value = field.default
    if value is msgspec.NODEFAULT or value is None or value in ("", ()):
        if field.default_factory not in (msgspec.NODEFAULT, dict):
            raise SchemaError(path, "the only default factory that can be written down is dict")
        return {}
    if isinstance(value, msgspec.Struct):
        if value != type(value)():
            raise SchemaError(path, "a model's default is its own default value, or none")
        return {"default": {}}
    return {"default": list(value) if isinstance(value, tuple) else msgspec.to_builtins(value)}


def _validations(rules: tuple[Rule, ...]) -> Schema:
    if not rules:
        return {}
    return {"x-kubernetes-validations": [{"rule": rule.rule, "message": rule.message} for rule in rules]}


def _column(column: Column) -> Schema:
    extra = {"priority": column.priority} if column.priority else {}
    return {"name": column.name, "type": column.type, "jsonPath": column.path, "description": column.description, **extra}


def _present(**limits: object) -> Schema:
    return {name: value for name, value in limits.items() if value is not None}


def _summary(model: type[msgspec.Struct]) -> str:
    return " ".join((model.__doc__ or "").split("\n\n")[0].split())
