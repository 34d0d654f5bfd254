"""Any valid profile, for Hypothesis."""

from hypothesis import strategies as st

from perfprofile_agent.pprof.builder import NO_MAPPING, Builder
from perfprofile_agent.pprof.model import Function, Label, Line, Mapping, Profile, ValueType

I64 = st.integers(-(2**63), 2**63 - 1)
U64 = st.integers(0, 2**64 - 1)
VALUES = st.integers(-(2**40), 2**40)
NAMES = st.sampled_from(["", "main", "run", "Größe", "λ", "a" * 200])
TYPES = [ValueType("samples", "count"), ValueType("cpu", "nanoseconds"), ValueType("cycles", "count")]


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    """Profiles of up to a dozen samples."""
    kinds = draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=3, unique=True))
    builder = Builder(kinds)
    mappings = [
        builder.mapping(mapping)
        for mapping in draw(
            st.lists(st.builds(Mapping, U64, U64, U64, NAMES, NAMES, st.booleans(), st.booleans(), st.booleans()), max_size=3)
        )
    ]
    functions = [builder.function(function) for function in draw(st.lists(st.builds(Function, NAMES, NAMES, NAMES, I64), max_size=4))]
    lines = st.builds(Line, st.sampled_from(functions), I64) if functions else st.none()
    locations = [
        builder.location(
            draw(st.sampled_from([NO_MAPPING, *mappings])), draw(U64), tuple(draw(st.lists(lines, max_size=2 if functions else 0)))
        )
        for _ in range(draw(st.integers(0, 6)))
    ]
    frames = st.sampled_from(locations) if locations else st.none()
    labels = st.one_of(
        st.builds(Label, key=st.sampled_from(["pod", "comm"]), text=st.sampled_from(["web", "db"]), number=st.just(0), unit=st.just("")),
        st.builds(Label, key=st.just("pid"), text=st.just(""), number=I64, unit=NAMES),
    )
    for _ in range(draw(st.integers(0, 12))):
        builder.add(
            tuple(draw(st.lists(frames, max_size=5 if locations else 0))),
            tuple(draw(st.lists(labels, max_size=2))),
            0,
            [draw(VALUES) for _ in kinds],
        )
    return builder.build(
        default_sample_type=draw(st.sampled_from(["", *(kind.type for kind in kinds)])),
        time_nanos=draw(st.integers(0, 2**62)),
        duration_nanos=draw(st.integers(0, 2**40)),
        period_type=draw(st.sampled_from([None, *kinds])),
        period=draw(st.integers(0, 2**40)),
        comments=draw(st.lists(NAMES, max_size=3)),
    )
