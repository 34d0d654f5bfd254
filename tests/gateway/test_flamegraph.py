"""The page: true to the profile, and deaf to what hostile names say."""

import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfprofile_agent.pprof.model import Profile, ValueType
from perfprofile_gateway import flamegraph
from perfprofile_gateway.flamegraph import Facts
from perfprofile_gateway.flametree import GROUP, KERNEL, PRUNE_BELOW, USER, Tree, is_kernel, trees
from support.profiles import profile

HOSTILE = (
    "<script>document.title='pwned'</script>",
    "</script><script>document.title='pwned'</script>",
    "<!--<script>",
    "]]>--><img src=x onerror=document.title='pwned'>",
    "\"'><svg onload=document.title='pwned'>",
    "${document.title='pwned'}$title$data",
    "\u2028\u2029\x00\x1b[31m\u202e",
    "&lt;b&gt;",
)
FACTS = Facts(run="run-1", namespace="shop", duration="30s", nodes=2, samples=10, events=("cpu-clock",))


def data_of(page: str) -> dict:
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


class Elements(HTMLParser):
    """Counts elements, as a browser would see them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


def hostile_page() -> str:
    made = profile(samples=40, functions=5, names=HOSTILE)
    labels = tuple(label._replace(text=HOSTILE[1]) if label.key in {"pod", "container"} else label for label in made.samples[0].labels)
    made = made._replace(samples=(made.samples[0]._replace(labels=labels), *made.samples[1:]))
    made = made._replace(mappings=(made.mappings[0]._replace(filename="/app/" + HOSTILE[1]), *made.mappings[1:]))
    facts = Facts(run=HOSTILE[0], namespace=HOSTILE[1], duration=HOSTILE[3], start=HOSTILE[4], events=HOSTILE, notices=HOSTILE, nodes=1)
    return flamegraph.page(made, facts)


def test_hostile_names_make_no_element_and_no_attribute():
    plain, hostile = Elements(flamegraph.page(profile(samples=40), FACTS)), Elements(hostile_page())
    assert hostile.tags.count("script") == plain.tags.count("script") == 2
    assert not {"img", "svg", "iframe", "object", "base", "form"} & set(hostile.tags)
    assert not [name for name, _ in hostile.attributes if name.startswith("on")]


def test_hostile_names_are_still_shown():
    names = data_of(hostile_page())["names"]
    assert HOSTILE[0] in names
    assert HOSTILE[7] in names


def test_the_embedded_data_can_not_end_its_element():
    raw = re.search(r'application/json">(.*?)</script>', hostile_page(), re.DOTALL)[1]
    assert not set("<>&") & set(raw)


def test_the_policy_lets_only_the_pages_own_script_and_style_be():
    policy = flamegraph.content_security_policy()
    page = flamegraph.page(profile(samples=5), FACTS)
    assert html.escape(policy) in page
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'")
    assert policy.count("sha256-") == 2


def test_the_page_needs_nothing_from_anywhere():
    found = Elements(flamegraph.page(profile(samples=5), FACTS))
    assert not [(name, value) for name, value in found.attributes if name in {"src", "href", "action", "srcset"}]
    source = Path(flamegraph.__file__).parent / "page"
    for file in source.iterdir():
        assert not re.search(r"https?://|@import|url\(|fetch\(|XMLHttpRequest|innerHTML|insertAdjacentHTML|eval\(", file.read_text()), (
            file.name
        )


def test_the_header_tells_the_run_and_warns_of_lost_samples():
    page = flamegraph.page(
        profile(samples=5), Facts(run="run-1", namespace="shop", nodes=3, nodes_failed=1, samples=1234, lost=200, lost_ratio=0.14)
    )
    for said in ("run-1", "shop", "3 (1 failed)", "1,234", "200 (14.00%)", "may mislead"):
        assert said in page
    assert "may mislead" not in flamegraph.page(profile(samples=5), FACTS)


# ---- The trees


def children(tree: Tree, node: int) -> list[int]:
    found = []
    for other in range(node + 1, len(tree.depths)):
        if tree.depths[other] <= tree.depths[node]:
            break
        if tree.depths[other] == tree.depths[node] + 1:
            found.append(other)
    return found


def test_every_node_weighs_what_it_spends_itself_and_what_it_calls():
    made = trees(profile(samples=60))
    for tree in (made.plain, made.grouped):
        assert tree.left_out == 0
        for node in range(len(tree.depths)):
            assert tree.weights[node] == tree.own[node] + sum(tree.weights[child] for child in children(tree, node))


def test_the_root_weighs_the_whole_profile():
    made = profile(samples=60)
    both = trees(made)
    total = sum(sample.values[1] for sample in made.samples)
    assert (both.plain.weights[0], both.grouped.weights[0]) == (total, total)
    assert both.plain.counts[0] == sum(sample.values[0] for sample in made.samples)
    assert (both.type, both.unit) == ("cpu", "nanoseconds")


def test_grouped_stacks_stand_below_pod_and_container():
    made = trees(profile(samples=60))
    tree = made.grouped
    pods = [made.frames[tree.frames[node]] for node in children(tree, 0)]
    assert {(frame.name, frame.module, frame.kind) for frame in pods} == {(f"checkout-{index}", "pod", GROUP) for index in range(3)}


def test_small_frames_are_left_out_and_counted():
    made = trees(profile(samples=4000, functions=2000, depth=40))
    least = made.plain.weights[0] * PRUNE_BELOW
    assert min(made.plain.weights) >= least
    assert made.plain.left_out > 0
    assert len(made.plain.frames) < 10_000


def test_a_profile_without_samples_makes_a_page():
    for empty in (Profile(sample_types=()), Profile(sample_types=(ValueType("cpu", "nanoseconds"),)), profile(samples=0)):
        assert data_of(flamegraph.page(empty, FACTS))["plain"]["frame"] == [0]


@pytest.mark.parametrize(
    ("path", "kernel"),
    [
        ("[kernel.kallsyms]", True), ("[kernel.kallsyms]_text", True), ("[nf_tables]", True), ("[guest.kernel.kallsyms]", True),
        ("/lib/modules/6.1/kernel/net/nf_tables.ko.xz", True), ("/usr/lib/debug/boot/vmlinux", True),
        ("[vdso]", False), ("[vsyscall]", False), ("//anon", False), ("", False), ("/usr/bin/vmlinuxer", False), ("/app/x.kotlin", False),
    ],
)  # fmt: skip
def test_kernel_code_is_told_from_programs(path, kernel):
    assert is_kernel(path) is kernel


@given(st.lists(st.tuples(st.lists(st.integers(0, 30), max_size=12), st.integers(0, 1000)), max_size=40))
@settings(deadline=None, max_examples=60)
def test_any_stacks_make_a_sound_tree(stacks):
    base = profile(samples=1, functions=20)
    made = trees(
        base._replace(samples=tuple(base.samples[0]._replace(locations=tuple(stack), values=(1, value)) for stack, value in stacks))
    )
    for tree in (made.plain, made.grouped):
        sizes = {len(values) for values in (tree.frames, tree.depths, tree.weights, tree.own, tree.counts)}
        assert len(sizes) == 1
        assert tree.depths[0] == 0
        assert all(later <= earlier + 1 for earlier, later in zip(tree.depths, tree.depths[1:], strict=False))
        assert {made.frames[frame].kind for frame in tree.frames} <= {USER, KERNEL, GROUP}


# ---- In a real browser


@pytest.mark.slow
def test_a_browser_draws_a_hostile_page_and_runs_nothing_of_it(tmp_path):
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no browser: install chromium (apt-get install chromium)")
    (tmp_path / "page.html").write_text(hostile_page())
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]
    done = subprocess.run(
        [browser, *flags, f"--user-data-dir={tmp_path / 'user'}", "--virtual-time-budget=3000", "--dump-dom", (tmp_path / "page.html").as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    drawn = Elements(done.stdout)
    assert "pwned</title>" not in done.stdout
    assert not {"img", "svg"} & set(drawn.tags)
    assert "every frame is drawn" in done.stdout, "the page's own script has run"
