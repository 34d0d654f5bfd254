"""What a model's class can say of its CRD schema beyond the types and limits of its fields."""

from typing import NamedTuple


class Rule(NamedTuple):
    """A CEL rule of a CRD schema (``x-kubernetes-validations``), written on the model as the class variable ``validations``."""

    rule: str
    """CEL expression over ``self`` (and ``oldSelf``) that must be true."""
    message: str
    """What the API server answers when it is not; says what to change."""
