"""``python -m pvefw``."""

from pvefw.cli import main

main()
