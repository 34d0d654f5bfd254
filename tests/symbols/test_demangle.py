"""Names for people."""

import pytest

from perfprofile_agent.symbols.demangle import MAX_OUTPUT, demangle
from support.programs import compile_rust, functions


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("main", "main"),
        ("_ZN3foo3barEi", "foo::bar(int)"),
        ("_Z3fooIiEvT_", "void foo<int>(int)"),
        ("_ZNSt22condition_variable_anyD2Ev", "std::condition_variable_any::~condition_variable_any()"),
        ("_Z3foov.cold", "foo() (.cold)"),
        ("_RNvC6_123foo3bar", "123foo::bar"),
        (
            "_ZN4core3ptr85drop_in_place$LT$std..rt..lang_start$LT$$LP$$RP$$GT$..$u7b$$u7b$closure$u7d$$u7d$$GT$17h0123456789abcdefE",
            "core::ptr::drop_in_place<std::rt::lang_start<()>::{{closure}}>",
        ),
        (
            "_ZN71_$LT$Test$u20$$u2b$$u20$$u27$static$u20$as$u20$foo..Bar$LT$Test$GT$$GT$3bar17h930b740aa94f1d3aE",
            "<Test + 'static as foo::Bar<Test>>::bar",
        ),
        ("_ZN3foo3bar17h930b740aa94f1d3aE.llvm.1234", "foo::bar"),
        ("_ZQQ", "_ZQQ"),
        ("_R", "_R"),
        ("_Z", "_Z"),
        ("runtime.mallocgc", "runtime.mallocgc"),
        ("", ""),
    ],
)
def test_a_name_is_shown_as_it_was_written(name, expected):
    assert demangle(name) == expected


@pytest.mark.parametrize("name", ["\x1b[31mred", "a\nb", "a\0b", "\u202egnp", "_ZN3foo17h\ud800", "$ud800$"])
def test_control_characters_never_come_out(name):
    assert demangle(name).isprintable()


def test_escapes_of_rust_that_stand_for_control_characters_never_come_out():
    assert demangle("_ZN13$u1b$$ud800$x17h930b740aa94f1d3aE").isprintable()


def test_a_long_name_is_cut():
    assert len(demangle("x" * 10_000)) == MAX_OUTPUT
    assert len(demangle("_ZN" + "3foo" * 2_000 + "E")) <= MAX_OUTPUT


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["legacy", "v0"])
def test_functions_of_a_real_rust_program_are_shown_without_hash_or_escapes(tmp_path, scheme):
    source = 'mod shop { pub trait Price { fn price(&self) -> u32; } impl<T: Copy + Into<u32>> Price for Vec<T> { #[inline(never)] fn price(&self) -> u32 { self.iter().map(|x| (*x).into()).sum() } } }\nfn main() { use shop::Price; println!("{}", vec![1u32, 2].price()); }'
    flags = ("-C", f"symbol-mangling-version={scheme}") + (("-Z", "unstable-options") if scheme == "legacy" else ())
    try:
        program = compile_rust(tmp_path, source, *flags)
    except AssertionError:
        program = compile_rust(tmp_path, source)

    shown = {demangle(function.name) for function in functions(program)}

    assert any(name.startswith("<alloc::vec::Vec<") and name.endswith("shop::Price>::price") for name in shown)
    assert [name for name in shown if "$LT$" in name] == []
