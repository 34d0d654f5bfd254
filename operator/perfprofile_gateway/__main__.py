"""The command ``perfprofile-gateway``."""


def main() -> None:
    """Run the gateway; see :mod:`perfprofile_gateway.program`."""
    # Imported only here: worker processes import this module too (multiprocessing's spawn does that), and must not load all of it.
    from perfprofile_gateway.program import main as run  # noqa: PLC0415

    run()


if __name__ == "__main__":
    main()
