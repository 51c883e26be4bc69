"""Tables as Parquet. Only who asks for it needs pyarrow: nothing else may import this module."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from services.kernel.adapters.export_files import Rows
from services.kernel.adapters.feed_columns import Column, Shape

_SCALARS: Mapping[str, Any] = {
    "string": pa.string(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "double": pa.float64(),
    "bool": pa.bool_(),
    "bytes": pa.binary(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}


class Parquet:
    """One column per column; lists of structs stay lists of structs."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._schema = pa.schema([(column.name, _type(column.shape)) for column in columns])

    def write(self, segment: Path, rows: Rows) -> None:
        columns = [
            pa.array([row[n] for row in rows], field.type) for n, field in enumerate(self._schema)
        ]
        pq.write_table(pa.Table.from_arrays(columns, schema=self._schema), segment)

    def join(self, segments: Sequence[Path], target: Path) -> None:
        with pq.ParquetWriter(target, self._schema, compression="zstd") as writer:
            for segment in segments:
                writer.write_table(pq.read_table(segment, schema=self._schema))


def _type(shape: Shape) -> Any:
    if shape.kind == "list":
        return pa.list_(_type(shape.parts[0][1]))
    if shape.kind == "struct":
        return pa.struct([(name, _type(part)) for name, part in shape.parts])
    return _SCALARS[shape.kind]
