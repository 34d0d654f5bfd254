"""Address spaces: mapping over what is there replaces it, as mmap(2) does."""

from hypothesis import given
from hypothesis import strategies as st

from perfprofile_agent.replay.mappings import AddressSpace, Region
from support.steady import steady


def region(start: int, end: int, path: str = "/a", offset: int = 0) -> Region:
    return Region(start, end, offset, path)


def test_an_address_is_found_in_its_region_and_nowhere_else() -> None:
    space = AddressSpace()
    space.insert(region(10, 20))
    space.insert(region(30, 40, "/b"))

    assert [space.find(address) and space.find(address).path for address in (9, 10, 19, 20, 29, 30, 39, 40)] == [
        None, "/a", "/a", None, None, "/b", "/b", None,
    ]  # fmt: skip


def test_inserting_says_whether_something_had_to_go() -> None:
    space = AddressSpace()

    assert not space.insert(region(10, 20))
    assert not space.insert(region(20, 30))
    assert space.insert(region(19, 21))
    assert not space.remove(40, 50)
    assert space.remove(0, 100)
    assert len(space) == 0


def test_what_sticks_out_stays_and_shows_the_same_bytes() -> None:
    space = AddressSpace()
    space.insert(region(100, 200, "/a", offset=1000))

    space.insert(region(140, 160, "/b"))

    assert space.find(139) == region(100, 140, "/a", 1000)
    assert space.find(140) == region(140, 160, "/b")
    assert space.find(160) == region(160, 200, "/a", 1060)


def test_a_copy_goes_its_own_way() -> None:
    parent = AddressSpace()
    parent.insert(region(10, 20))
    child = parent.copy()

    child.insert(region(10, 20, "/b"))

    assert parent.find(10) == region(10, 20)
    assert child.find(10) == region(10, 20, "/b")


SPANS = st.tuples(st.integers(0, 60), st.integers(1, 25), st.booleans())


@steady
@given(st.lists(SPANS, max_size=12))
def test_it_is_what_a_table_of_single_addresses_is(spans: list[tuple[int, int, bool]]) -> None:
    space = AddressSpace()
    table: dict[int, tuple[str, int]] = {}
    for number, (start, length, executable) in enumerate(spans):
        covered = range(start, start + length)
        assert any(address in table for address in covered) == (
            space.insert(region(start, start + length, str(number), offset=7)) if executable else space.remove(start, start + length)
        )
        for address in covered:
            table.pop(address, None)
            if executable:
                table[address] = (str(number), address - start + 7)

    for address in range(90):
        found = space.find(address)
        assert table.get(address) == (found and (found.path, address - found.start + found.offset))
