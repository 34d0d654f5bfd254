"""Which symbol names an address."""

from array import array

import pytest

from perfprofile_agent.symbols.table import Columns, SymbolTable


def table(*symbols, sections=()):
    """A table of (start, size, name) or (start, size, name, local)."""
    names = [symbol[2] for symbol in symbols]
    columns = Columns(
        array("Q", [symbol[0] for symbol in symbols]),
        array("Q", [symbol[1] for symbol in symbols]),
        bytes(symbol[3] if len(symbol) > 3 else 0 for symbol in symbols),
        array("I", range(len(symbols))),
    )
    return SymbolTable(columns, names.__getitem__, sections)


@pytest.mark.parametrize(
    ("address", "expected"),
    [(99, ""), (100, "first"), (109, "first"), (110, ""), (119, ""), (120, "second"), (124, "second"), (125, ""), (1 << 63, "")],
)
def test_an_address_is_named_by_the_symbol_whose_size_covers_it_and_no_other(address, expected):
    found = table((120, 5, "second"), (100, 10, "first")).find(address)

    assert found.name == expected


def test_the_answer_holds_until_the_symbol_ends_or_the_next_begins():
    symbols = table((100, 50, "outer"), (120, 10, "inner"))

    assert symbols.find(100) == ("outer", 120)
    assert symbols.find(125) == ("inner", 130)
    assert symbols.find(130) == ("outer", 150)
    assert symbols.find(150) == ("", 1 << 64)


def test_an_unsized_symbol_reaches_to_the_next_one():
    symbols = table((100, 0, "assembly"), (140, 10, "next"))

    assert symbols.find(139) == ("assembly", 140)
    assert symbols.find(155).name == ""


def test_an_unsized_symbol_stays_within_its_section():
    symbols = table((100, 0, "last_of_text"), sections=[(50, 130), (200, 300)])

    assert symbols.find(129) == ("last_of_text", 130)
    assert symbols.find(130).name == ""
    assert symbols.find(210).name == ""


def test_a_label_inside_a_function_does_not_hide_the_function():
    symbols = table((100, 100, "memcpy"), (150, 0, "copy_loop"))

    assert symbols.find(170).name == "memcpy"


def test_a_label_behind_a_function_that_has_ended_is_not_passed_over_for_an_older_one():
    symbols = table((100, 0, "old_label"), (120, 10, "ended"))

    assert symbols.find(135).name == ""


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((10, 5, "static_alias", 1), (10, 5, "exported", 0), "exported"),
        ((10, 5, "__libc_malloc"), (10, 5, "malloc"), "malloc"),
        ((10, 0, "label"), (10, 5, "function"), "function"),
        ((10, 5, "beta"), (10, 5, "alpha"), "alpha"),
    ],
)
def test_of_several_names_at_one_start_the_best_is_taken_in_whatever_order(one, other, expected):
    assert table(one, other).find(12).name == expected
    assert table(other, one).find(12).name == expected


def test_nameless_symbols_such_as_mapping_symbols_are_passed_over():
    symbols = table((100, 0, ""), (100, 0, "assembly"), (110, 0, ""), (120, 0, ""))

    assert symbols.find(125).name == "assembly"


def test_an_empty_table_names_nothing():
    assert table().find(5).name == ""
    assert len(table()) == 0


def test_a_table_full_of_labels_is_not_walked_to_its_start():
    looked = []
    count = 100_000
    columns = Columns(array("Q", range(count)), array("Q", bytes(8 * count)), bytes(count), array("I", range(count)))

    SymbolTable(columns, lambda index: looked.append(index) or "").find(count - 1)

    assert len(looked) < 100
