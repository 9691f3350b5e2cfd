"""python -m etl run | fetch | ingest FILE | cat STAMP | status"""

import gc
import os
import sys

gc.disable()  # while modules are imported: nothing of them is garbage, and looking for it costs a fifth of the time

from etl.commands import main  # noqa: E402

if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # all is committed, closed and said: freeing every row of a file first costs a twentieth of a load
