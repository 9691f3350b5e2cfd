"""python -m etl run | fetch | ingest FILE | cat STAMP | status"""

import gc
import os
import sys

gc.disable()  # during the imports: nothing of them is garbage, and collecting takes a fifth of their time

from etl.commands import main  # noqa: E402

if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # all is committed, closed and written: freeing every row of a file takes a twentieth of a load
