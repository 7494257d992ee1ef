"""``python -m retouch`` is ``retouch``."""

from .cli import main

main()
