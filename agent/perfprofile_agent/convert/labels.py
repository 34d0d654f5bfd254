"""Labels of a sample: whose it is, where it ran, and what the user adds."""

from collections.abc import Mapping

from perfprofile_agent.pprof.model import Label


def sample_labels(
    scope: tuple[tuple[str, str], ...], *, node: str, comm: str, extra: Mapping[str, str], task: tuple[int, int] | None
) -> tuple[Label, ...]:
    """Labels in a fixed order: the scope's, node, comm, the extra ones by key, then pid and tid if ``task`` gives them.

    What is established comes first and wins: an extra label named ``namespace`` or ``pod`` can't pass a sample off as another's.
    """
    texts = dict(scope)
    texts.setdefault("node", node)
    texts.setdefault("comm", comm)
    for key in sorted(extra):
        texts.setdefault(key, extra[key])
    labels = [Label(key, text) for key, text in texts.items() if text]
    if task is not None:
        labels += [Label("pid", number=task[0]), Label("tid", number=task[1])]
    return tuple(labels)
