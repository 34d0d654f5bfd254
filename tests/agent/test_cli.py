"""The command line: light, documented, and clear about what it doesn't understand."""

import json
import subprocess
import sys

import pytest

from perfprofile_agent import __version__
from perfprofile_agent.agent.cli import EXIT_CODES, main, parser

FORBIDDEN = (
    "kopf",
    "kubernetes",
    "asyncio",
    "googleapiclient",
    "google",
    "numpy",
    "aiohttp",
    "sqlalchemy",
    "cryptography",
    "yaml",
    "msgspec",
    "ssl",
    "logging",
)
RSS_CEILING_KIB = 20 << 10
JOIN_CEILING_KIB = 40 << 10


def imported(statement: str) -> tuple[set[str], int]:
    """Run ``statement`` in a new interpreter; give the top-level modules it loads, and its resident memory in KiB."""
    program = f"{statement}\nimport sys, json, resource; print(json.dumps([sorted(sys.modules), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))"
    # Not an execve of this process, whose peak the child would inherit: a shell stands between them.
    done = subprocess.run(["sh", "-c", '"$0" -c "$1"; exit $?', sys.executable, program], capture_output=True, text=True, check=True)
    modules, peak = json.loads(done.stdout)
    return {name.partition(".")[0] for name in modules}, peak


def test_importing_the_command_line_loads_nothing_heavy() -> None:
    modules, peak = imported("import perfprofile_agent.agent.cli")

    assert modules.isdisjoint(FORBIDDEN)
    assert peak < RSS_CEILING_KIB


@pytest.mark.parametrize("module", ["standalone", "join"])
def test_the_commands_themselves_stay_lean(module: str) -> None:
    modules, peak = imported(f"import perfprofile_agent.agent.{module}")

    assert modules.isdisjoint(set(FORBIDDEN) - {"msgspec", "ssl", "logging"})
    assert peak < JOIN_CEILING_KIB


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"perfprofile-agent {__version__}\n"


@pytest.mark.parametrize("command", ["record", "convert", "join", "version"])
def test_help_of_every_command_tells_the_exit_status(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])

    said = capsys.readouterr().out
    assert all(meaning in said for meaning in EXIT_CODES.values())


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["record", "--duration", "1x"], "for example 30s"),
        (["record", "--duration", "0s"], "no time to record"),
        (["record", "-F", "0"], "not a positive whole number"),
        (["record", "-F", "99", "-c", "5"], "not allowed with"),
        (["record", "-p", "1", "-a"], "not allowed with"),
        (["record", "-p", "me"], "not a positive whole number"),
        (["record", "--labels", "team"], "write KEY=VALUE"),
        (["join"], "--gateway"),
        ([], "COMMAND"),
    ],
)
def test_what_makes_no_sense_is_told_with_status_2(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ending:
        main(arguments)

    assert ending.value.code == 2
    assert complaint in capsys.readouterr().err


def test_times_labels_and_pids_are_understood() -> None:
    parsed = parser().parse_args(["record", "-d", "1m30s", "--labels", "team=shop", "--label", "note=a=b", "-p", "1,2", "-p", "3"])

    assert parsed.duration == 90
    assert parsed.labels == [("team", "shop"), ("note", "a=b")]
    assert parsed.pid == [1, 2, 3]
    assert parser().parse_args(["record", "-d", "10"]).duration == 10
