"""Run a command to its end; a failure says which one, where its output is, and what it said last."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

TAIL_LINES = 25


class CommandError(RuntimeError):
    """A command ended with a status other than 0."""

    def __init__(self, argv: Sequence[str], status: int, output: str) -> None:
        tail = "\n".join(f"    {line}" for line in output.strip().splitlines()[-TAIL_LINES:])
        super().__init__(f"`{' '.join(argv)[:400]}` ended with status {status}:\n{tail}")
        self.argv, self.status, self.output = tuple(argv), status, output


def run(
    *argv: str | Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    log: Path | None = None,
    timeout: float | None = None,
) -> str:
    """Run ``argv`` and give its standard output.

    ``env`` adds to the environment. With ``log``, both of its outputs go to that file instead, and the answer is empty.

    Raises:
        CommandError: it ended with a status other than 0.
        subprocess.TimeoutExpired: it took longer than ``timeout`` seconds.
    """
    words = [str(word) for word in argv]
    environment = {**os.environ, **(env or {})}
    if log is None:
        done = subprocess.run(words, cwd=cwd, env=environment, input=stdin, capture_output=True, text=True, timeout=timeout, check=False)
        if done.returncode:
            raise CommandError(words, done.returncode, done.stderr or done.stdout)
        return done.stdout
    with log.open("w") as sink:
        status = subprocess.run(
            words, cwd=cwd, env=environment, input=stdin, stdout=sink, stderr=subprocess.STDOUT, text=True, timeout=timeout, check=False
        ).returncode
    if status:
        raise CommandError(words, status, f"{log.read_text(errors='replace')}\n(all of it: {log})")
    return ""
