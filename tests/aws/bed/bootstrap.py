"""The program of a sandbox: it starts AWS's runtime client with nothing else on the import path.

Usage: python -S -P bootstrap.py HANDLER FOLDER...

The folders are those of the function, of its layers and, last, of the runtime.
"""

import os
import sys

handler, *folders = sys.argv[1:]
sys.path[:] = [*folders[:-1], *(entry for entry in sys.path if "site-packages" not in entry), folders[-1]]
os.chdir(folders[0])

from awslambdaric.__main__ import main  # noqa: E402

main(["bootstrap", handler])
