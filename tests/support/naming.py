"""Symbolizers for tests: one that knows nothing, one that calls every address by its place."""

from collections.abc import Sequence

from perfprofile_agent.symbols.lookup import Frame, MappedFile, Named


class NoNames:
    """Names nothing; remembers what it was asked to hold and to name."""

    def __init__(self) -> None:
        self.held: list[MappedFile] = []
        self.asked: list[tuple[MappedFile, tuple[int, ...]]] = []

    def hold(self, mapped: MappedFile) -> None:
        self.held.append(mapped)

    def name(self, mapped: MappedFile, addresses: Sequence[int]) -> Named:
        self.asked.append((mapped, tuple(addresses)))
        return Named("", {})


class NamesByPlace(NoNames):
    """Names each address ``<last part of the path>+<offset in the file>``."""

    def __init__(self, build_ids: dict[int, str] | None = None, notice: str = "") -> None:
        super().__init__()
        self.build_ids = build_ids or {}
        """By pid."""
        self.notice = notice

    def name(self, mapped: MappedFile, addresses: Sequence[int]) -> Named:
        super().name(mapped, addresses)
        base = mapped.path.rpartition("/")[2]
        frames = {address: (Frame(f"{base}+{address - mapped.start + mapped.offset:#x}"),) for address in addresses}
        return Named(self.build_ids.get(mapped.pid, ""), frames, self.notice)
