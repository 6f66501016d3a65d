"""A table as an answer: JSON by column, or the very text that ``octodon predict`` writes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy import ndarray
from starlette.responses import Response

from octodon.predict.stream import header_as_text, rows_as_text

TYPES = {
    "json": "application/json",
    "tsv": "text/tab-separated-values; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
}


def table_response(frame: pd.DataFrame, form: str, **said: Any) -> Response:
    """Return the table as "json", "tsv" or "csv"; what else is said goes into JSON only."""
    if form == "json":
        table = {name: plain_values(frame[name].to_numpy()) for name in frame.columns}
        content = json.dumps(said | {"table": table}, allow_nan=False).encode()
    else:
        delimiter = "\t" if form == "tsv" else ","
        rows = pa.Table.from_pandas(frame, preserve_index=False)
        content = header_as_text(rows.schema.names, delimiter) + rows_as_text(rows, delimiter)
    return Response(content, media_type=TYPES[form])


def plain_values(values: ndarray) -> list[Any]:
    """Return values as JSON knows them; float32 with the digits that tell it from its neighbours, NaN as null."""
    if values.dtype == np.float32:
        values = values.astype(np.str_).astype(np.float64)
    if values.dtype == np.float64 and not np.isfinite(values).all():
        return [value if np.isfinite(value) else None for value in values.tolist()]
    return values.tolist()
