"""Label selectors as the API server takes them in a query (meta/v1 LabelSelector to its text form)."""

from perfprofile_agent.api.profile import LabelSelector, LabelSelectorRequirement, SelectorOperator


def selector_text(selector: LabelSelector | str) -> str:
    """Give the ``labelSelector`` parameter; "" selects everything.

    The form is that of k8s.io/apimachinery's labels.Parse: ``a=b,c in (d,e),!f``.
    """
    if isinstance(selector, str):
        return selector
    equal = [f"{key}={value}" for key, value in sorted(selector.match_labels.items())]
    return ",".join([*equal, *(_requirement_text(one) for one in selector.match_expressions)])


def _requirement_text(requirement: LabelSelectorRequirement) -> str:
    values = ",".join(requirement.values)
    match requirement.operator:
        case SelectorOperator.IN:
            return f"{requirement.key} in ({values})"
        case SelectorOperator.NOT_IN:
            return f"{requirement.key} notin ({values})"
        case SelectorOperator.EXISTS:
            return requirement.key
        case SelectorOperator.DOES_NOT_EXIST:
            return f"!{requirement.key}"
