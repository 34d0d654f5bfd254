"""Setting one condition among others, as meta/v1 Condition asks for: its time moves only when its status does."""

from datetime import datetime

from perfprofile_agent.api.conditions import Condition, ConditionType, Reason, Status
from perfprofile_operator.decide.clock import text_of

MAX_MESSAGE = 4096
"""Characters; the schema's limit."""


def find(conditions: tuple[Condition, ...], type_: ConditionType) -> Condition | None:
    """Give the condition of a type."""
    return next((condition for condition in conditions if condition.type == type_), None)


def with_condition(
    conditions: tuple[Condition, ...],
    type_: ConditionType,
    status: Status,
    reason: Reason | str,
    message: str,
    *,
    now: datetime,
    generation: int = 0,
) -> tuple[Condition, ...]:
    """Give the conditions with one of them set; equal to what went in if that says the same already."""
    before = find(conditions, type_)
    since = before.last_transition_time if before is not None and before.status == status else text_of(now)
    after = Condition(
        type=str(type_),
        status=status,
        reason=str(reason),
        message=message[:MAX_MESSAGE],
        last_transition_time=since,
        observed_generation=generation,
    )
    if before is None:
        return (*conditions, after)
    return tuple(after if condition.type == type_ else condition for condition in conditions)
