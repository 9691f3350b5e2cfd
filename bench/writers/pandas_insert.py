"""pandas: `DataFrame.to_sql` as it comes."""

import sys

import pandas as pd  # type: ignore[import-not-found,import-untyped,unused-ignore]
from sqlalchemy import create_engine, types  # type: ignore[import-not-found,unused-ignore]

engine = create_engine(sys.argv[1].replace("postgresql://", "postgresql+psycopg://"))
frame = pd.read_csv(sys.argv[2], dtype=str, keep_default_na=False)
frame.to_sql("copied", engine, index=False, dtype=types.Text())
