"""A table as a file of another format."""

import json

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["as_bytes"]


def as_bytes(rows: pa.Table, form: str) -> bytes:
    """A table's rows as a file.

    Args:
        rows: Any table.
        form: "csv" (lists as JSON), "json" (an object a line) or "parquet".
    """
    if form == "parquet":
        sink = pa.BufferOutputStream()
        pq.write_table(rows, sink)
        return bytes(sink.getvalue().to_pybytes())
    frame = rows.to_pandas()
    if form == "json":
        text = frame.to_json(orient="records", lines=True, date_format="iso", double_precision=15)
        return str(text).encode()
    for field in rows.schema:
        if pa.types.is_list(field.type):  # as JSON, which a reader of the cell can take apart
            lists = rows[field.name].to_pylist()
            frame[field.name] = [None if cell is None else json.dumps(cell) for cell in lists]
    return str(frame.to_csv(index=False)).encode()
