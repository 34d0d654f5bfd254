"""The root of this package's error tree; each room subclasses it in its own errors.py."""


class PerfProfileError(Exception):
    """Root of every error this package raises on purpose."""
