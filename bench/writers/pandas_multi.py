"""pandas: `DataFrame.to_sql(method="multi")`, many rows a statement."""

import sys

import pandas as pd  # type: ignore[import-not-found,import-untyped,unused-ignore]
from sqlalchemy import create_engine, types  # type: ignore[import-not-found,unused-ignore]

engine = create_engine(sys.argv[1].replace("postgresql://", "postgresql+psycopg://"))
frame = pd.read_csv(sys.argv[2], dtype=str, keep_default_na=False)
# A statement takes 65,535 parameters, but fewer are faster: 20,000 rows took 102 s by 1,000 rows, 33 s by 100 rows.
frame.to_sql("copied", engine, index=False, dtype=types.Text(), method="multi", chunksize=100)
