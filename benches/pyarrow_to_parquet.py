"""Converts a CSV file into Parquet by pyarrow, batch by batch, in one thread. usage: pyarrow_to_parquet.py CSV PARQUET"""

import sys

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

pa.set_cpu_count(1)
pa.set_io_thread_count(1)
reader = pa.csv.open_csv(
    sys.argv[1],
    read_options=pa.csv.ReadOptions(use_threads=False),
    parse_options=pa.csv.ParseOptions(newlines_in_values=True),
)
with pa.parquet.ParquetWriter(sys.argv[2], reader.schema, compression="zstd") as writer:
    for batch in reader:
        writer.write_batch(batch)
