"""``python -m wrenlite``: the command ``wrenlite``."""

from wrenlite.cli import main

main(prog_name="python -m wrenlite")
