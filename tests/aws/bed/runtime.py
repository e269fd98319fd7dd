"""The first lines of a sandbox's process: AWS's runtime client, and nothing else on the path.

Usage: python -S -P -B runtime.py HANDLER FOLDER...   (the function's, its layers', the runtime's)
"""

import os
import sys

handler, *folders = sys.argv[1:]
sys.path[:] = [*folders[:-1], *(place for place in sys.path if "site-packages" not in place), folders[-1]]
sys.path[:] = [place for place in sys.path if place != os.path.dirname(os.path.abspath(__file__))]

from awslambdaric.__main__ import main  # noqa: E402

main(["bootstrap", handler])
