"""python -m etl run | fetch | ingest FILE | cat STAMP | status"""

import gc

gc.disable()  # while modules are imported: nothing of them is garbage, and looking for it costs a fifth of the time

from etl.commands import main  # noqa: E402

if __name__ == "__main__":
    raise SystemExit(main())
