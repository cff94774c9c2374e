"""Lets `python -m weighbridge` stand for the `weighbridge` command."""

from weighbridge.cli.app import main

if __name__ == "__main__":
    raise SystemExit(main())
