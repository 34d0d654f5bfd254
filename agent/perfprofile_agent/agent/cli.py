"""The command line. Only arguments are read here; each command's module is imported when it runs, so that ``--help`` is instant.

Exit status, alike for all commands: see EXIT_CODES.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from perfprofile_agent import __version__
from perfprofile_agent.api.durations import parse_duration

EXIT_CODES: Final = {
    0: "success",
    1: "recording, conversion or delivery failed",
    2: "the arguments make no sense",
    3: "the kernel refused perf (permissions)",
    4: "perf is missing, or the event is not supported here",
    5: "nothing was sampled",
}

_EPILOG = "exit status:\n" + "\n".join(f"  {code}  {meaning}" for code, meaning in EXIT_CODES.items())
_RECORD = """Record with perf and write a pprof profile with function names.

  perfprofile-agent record --duration 30s -o cpu.pb.gz            every process of this machine (as root)
  perfprofile-agent record --duration 30s -p 4711 -o cpu.pb.gz    one process (as its owner)

Ctrl-C ends the recording early; what was recorded is still written."""
_CONVERT = """Turn a perf.data file, or perf's output in pipe mode, into a pprof profile.

  perfprofile-agent convert -i perf.data -o cpu.pb.gz
  perf record -o - -ag sleep 10 | perfprofile-agent convert -i - -o cpu.pb.gz

Functions get names where the files are at hand: convert on the machine that recorded, soon after."""
_JOIN = """Work for a PerfProfile gateway: ask for the assignment, record, deliver. This is what the operator's DaemonSets run.
Starts as root with CAP_SETUID, CAP_SETGID and CAP_SETPCAP besides the capabilities for perf, and gives root up at once."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that ``arguments`` (default: the process's) name, and give the exit status."""
    parsed = parser().parse_args(arguments)
    command: str = parsed.command
    if command == "record":
        from perfprofile_agent.agent.standalone import record  # noqa: PLC0415 - heavy, see above

        return record(parsed)
    if command == "convert":
        from perfprofile_agent.agent.standalone import convert  # noqa: PLC0415 - heavy, see above

        return convert(parsed)
    if command == "join":
        return _join(parsed)
    print(f"perfprofile-agent {__version__}")
    return 0


def parser() -> argparse.ArgumentParser:
    """Give the parser of all commands; docs/ is checked against it."""
    root = argparse.ArgumentParser(
        prog="perfprofile-agent",
        description="Records CPU profiles with Linux perf, names their functions, and delivers them as pprof.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_record(_command(commands, "record", "record this machine or some processes", _RECORD))
    _add_convert(_command(commands, "convert", "convert a perf.data file or stream", _CONVERT))
    _add_join(_command(commands, "join", "work for a gateway (used by the operator)", _JOIN))
    _command(commands, "version", "print the version", "Print the version.")
    return root


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, short: str, description: str
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name, help=short, description=description, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def _add_record(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "-d", "--duration", type=_seconds, default=10.0, metavar="TIME", help="how long, for example 30s or 5m (default: 10s)"
    )
    rate = command.add_mutually_exclusive_group()
    rate.add_argument("-F", "--frequency", type=_positive, metavar="HZ", help="samples a second and CPU (default: 99)")
    rate.add_argument("-c", "--period", type=_positive, metavar="N", help="sample each time N events have happened")
    command.add_argument(
        "-e",
        "--event",
        action="append",
        metavar="EVENT",
        help="what to sample, as `perf list` names it; may be repeated (default: auto, the first of cycles, cpu-clock and task-clock that works)",
    )
    whom = command.add_mutually_exclusive_group()
    whom.add_argument("-p", "--pid", type=_pids, action="extend", metavar="PID[,PID...]", help="only these processes and their threads")
    whom.add_argument("-a", "--all", action="store_true", help="every process of this machine (the default without -p)")
    command.add_argument(
        "--call-graph", choices=("fp", "none"), default="fp", help="how callers are found: by frame pointers, or not at all (default: fp)"
    )
    command.add_argument("--no-kernel", action="store_true", help="leave out the kernel's samples and frames")
    _add_output(command)


def _add_convert(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "-i", "--input", default="perf.data", metavar="FILE", help="what perf wrote; - is standard input (default: perf.data)"
    )
    _add_output(command)


def _add_output(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "-o", "--output", default="profile.pb.gz", metavar="FILE", help="gzipped pprof; - is standard output (default: profile.pb.gz)"
    )
    command.add_argument(
        "--labels", "--label", type=_label, action="append", default=[], metavar="KEY=VALUE", help="label for every sample; may be repeated"
    )
    command.add_argument("--pid-labels", action="store_true", help="label samples with process and thread ids")
    command.add_argument("--top", type=int, default=15, metavar="N", help="print the N hottest functions (default: 15; 0: none)")


def _add_join(command: argparse.ArgumentParser) -> None:
    command.add_argument("--gateway", required=True, metavar="URL", help="https address of the gateway's agents port")
    command.add_argument("--gateway-ca", required=True, type=Path, metavar="FILE", help="CA of the gateway's certificate, PEM")
    command.add_argument("--token-file", required=True, type=Path, metavar="FILE", help="service-account token, read anew for each request")
    command.add_argument("--spool", required=True, type=Path, metavar="DIR", help="writable directory for profiles on their way")


def _join(parsed: argparse.Namespace) -> int:
    import os  # noqa: PLC0415 - only this command has settings in the environment

    from perfprofile_agent.agent.config import JoinSettings  # noqa: PLC0415 - heavy, see above
    from perfprofile_agent.agent.join import join  # noqa: PLC0415 - heavy, see above

    settings = JoinSettings(
        gateway=parsed.gateway,
        gateway_ca=parsed.gateway_ca,
        token_file=parsed.token_file,
        spool=parsed.spool,
        pod_uid=os.environ.get("POD_UID", ""),
    )
    return join(settings)


def _seconds(text: str) -> float:
    seconds = float(text) if text.isdecimal() else _duration(text)
    if seconds <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no time to record")
    return seconds


def _duration(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


def _pids(text: str) -> list[int]:
    return [_positive(part) for part in text.split(",")]


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is not a label: write KEY=VALUE")
    return key, value


if __name__ == "__main__":
    sys.exit(main())
