"""Rows out of files: CSV, TSV, JSONL and JSON (.gz too), and Parquet, each with the place it begins at.

Read as a stream, so that a file costs the memory of what is kept of it; a JSON array has to be parsed whole.
Left out: Excel, which pandas reads and `from_records` takes from it; dialects of CSV other than commas or tabs with
double quotes.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import zlib
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TextIO

from catlite.errors import ConfigError, DataError, MissingExtra
from catlite.extras import install

Row = tuple[str, Mapping[str, Any]]  # ("line 7", {"prompt": …})
LINE_LIMIT = 10_000_000  # characters of a line or of a CSV cell; a longer one is a broken file

_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")
_ELSEWHERE = {
    ".xlsx": "pandas.read_excel(path)",
    ".xls": "pandas.read_excel(path)",
    ".arrow": "datasets.Dataset.from_file(path)",
}


def read(path: Path, encoding: str = "utf-8") -> Iterator[Row]:
    """Read the rows of a file by its suffix, as they are asked for.

    Raises DataError at once for a file of another kind and later for a line that cannot be read, ConfigError for an
    unknown encoding, MissingExtra for Parquet without catlite[data].
    """
    kind = _kind(path)
    if kind == ".parquet":
        return _parquet(path)
    encoding = _encoding(encoding)
    if kind in (".csv", ".tsv"):
        return _separated(path, encoding, "\t" if kind == ".tsv" else ",")
    return _array(path, encoding) if kind == ".json" else _objects(path, encoding)


def stem(path: Path) -> str:
    """The name of a file without the suffixes this module knows."""
    name = path.name.removesuffix(".gz")
    return name.removesuffix(Path(name).suffix) or name


def _kind(path: Path) -> str:
    try:
        if path.is_dir():
            inside = sorted(file.name for file in path.iterdir() if file.suffix in _SUFFIXES)[:3]
            raise DataError(f"{path} is a directory: name one file{f', such as {inside[0]}' if inside else ' in it'}")
        if not path.exists():
            raise DataError(f"{path} does not exist (looked in {path.absolute().parent})")
        if not path.is_file():
            raise DataError(f"{path} is not a file")
    except OSError as error:
        raise DataError(f"{str(path)[:200]} cannot be read: {error.strerror}") from None
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    if suffix in _SUFFIXES:
        return suffix
    instead = _ELSEWHERE.get(suffix)
    raise DataError(
        f"{path} ends in {suffix!r}, which does not say how to read it: want {', '.join(_SUFFIXES)}, or .gz of one"
        + (f"; or give from_records({instead})" if instead else "")
    )


def _encoding(encoding: str) -> str:
    try:
        name = codecs.lookup(encoding).name
        io.TextIOWrapper(io.BytesIO(), encoding=name)
    except (LookupError, TypeError):
        raise ConfigError(f'encoding={encoding!r}: Python knows no such encoding: try "utf-8" or "cp1252"') from None
    return "utf-8-sig" if name == "utf-8" else name


@contextmanager
def _opened(path: Path, encoding: str) -> Iterator[TextIO]:
    """Open a file; what cannot be read of it in the block is a DataError that says where."""
    opener: Any = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with opener(path, "rt", encoding=encoding, newline="") as file:
            yield file
    except UnicodeError:
        raise DataError(_undecodable(path, encoding)) from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _lines(path: Path, encoding: str) -> Generator[str, None, None]:
    """Physical lines with their ends, none longer than LINE_LIMIT."""
    number = 0
    with _opened(path, encoding) as file:
        while line := file.readline(LINE_LIMIT + 1):
            number += 1
            if len(line) > LINE_LIMIT:
                raise DataError(f"{path}, line {number}: longer than {LINE_LIMIT / 1e6:g} MB, which no row should be")
            yield line


def _undecodable(path: Path, encoding: str) -> str:
    """Say where the first wrong byte is. A second pass, since a decoder counts within its chunk only."""
    encoding = "utf-8" if encoding == "utf-8-sig" else encoding
    decoder = codecs.getincrementaldecoder(encoding)()
    start, line = 0, 1
    with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
        head = file.peek(2)[:2]
        while True:
            chunk = file.read(1 << 20)
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                early = len(error.object) - len(chunk)  # bytes the decoder held back from the chunk before
                line += chunk.count(b"\n", 0, max(0, error.start - early))
                place = f"{path}, line {line}: not {encoding} at byte {start - early + error.start} (counted from 0)"
                likely = "utf-16" if head in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "cp1252"
                return f'{place}. If it was saved otherwise, say so: encoding="{likely}"'
            except UnicodeError as error:
                return f"{path} is not {encoding}: {error}. Say how it was saved with encoding=…"
            if not chunk:
                return f"{path} is not {encoding}. Say how it was saved with encoding=…"
            start += len(chunk)
            line += chunk.count(b"\n")


def _objects(path: Path, encoding: str) -> Iterator[Row]:
    with closing(_lines(path, encoding)) as lines:  # an error would leave the file open
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line.rstrip())  # an error at its end would be told as on the next line
            except (ValueError, RecursionError) as error:
                laid_out = ". A .jsonl file holds an object per line; save an array as .json"
                hint = laid_out if line.strip() in "[{" else ""
                raise DataError(f"{path}, line {number}: not JSON: {_fault(error)}{hint}") from None
            if not isinstance(row, dict):
                raise DataError(f"{path}, line {number}: a JSON {type(row).__name__}, not an object {{…}}")
            yield f"line {number}", row


def _array(path: Path, encoding: str) -> Iterator[Row]:
    with _opened(path, encoding) as file:
        text = file.read()
    try:
        rows = json.loads(text)
    except json.JSONDecodeError as error:
        if not error.doc.strip():
            return
        hint = ". One object per line is JSONL: name the file .jsonl" if error.msg == "Extra data" else ""
        raise DataError(f"{path}, line {error.lineno}: not JSON: {_fault(error)}{hint}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON: {_fault(error)}") from None
    if not isinstance(rows, list):
        keys = f" with keys {sorted(rows)[:12]}" if isinstance(rows, dict) else ""
        raise DataError(f"{path} holds a JSON {type(rows).__name__}{keys}: want an array of objects")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise DataError(f"{path}, row {number}: a JSON {type(row).__name__}, not an object {{…}}")
        yield f"row {number}", row


def _parquet(path: Path) -> Iterator[Row]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise MissingExtra(f"{path} is Parquet, which needs catlite[data]: {install('data')}") from None
    try:
        with parquet.ParquetFile(path) as file:
            rows = (row for batch in file.iter_batches() for row in batch.to_pylist())
            for number, row in enumerate(rows, 1):
                yield f"row {number}", row
    except (OSError, ArrowException) as error:
        raise DataError(f"{path} cannot be read as Parquet: {str(error).splitlines()[0]:.200}") from None


def _fault(error: Exception) -> str:
    """The fault of a JSON text, without a quotation of it."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at column {error.colno}"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error).split(";")[0]


def _separated(path: Path, encoding: str, delimiter: str) -> Iterator[Row]:
    # For the whole process, and not put back, since another thread may be reading.
    if csv.field_size_limit() < LINE_LIMIT:
        csv.field_size_limit(LINE_LIMIT)
    with closing(_lines(path, encoding)) as lines:  # an error would leave the file open
        yield from _under_header(path, csv.reader(lines, delimiter=delimiter, strict=True))


def _under_header(path: Path, reader: Any) -> Iterator[Row]:
    header: list[str] = []
    rows = 0
    while True:
        start = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            fault = str(error)
            if "unexpected end" in fault or "field limit" in fault:
                fault = 'a " opened here is not closed' + (" within 10 MB" if "limit" in fault else "")
            raise DataError(
                f"{path}, line {start}: {fault}. A cell with a quote, a separator or a line break in it is "
                'written "…", and a quote within it ""'
            ) from None
        if cells is None:
            break
        if not cells:
            continue
        if not header:
            header = cells
            twice = sorted({name for name in header if header.count(name) > 1})
            if twice:
                raise DataError(f"{path}, line {start}: the header names {twice} more than once")
            continue
        if len(cells) != len(header):
            raise DataError(f"{path}, line {start}: {len(cells)} cells under a header of {len(header)} columns")
        rows += 1
        yield f"line {start}", dict(zip(header, cells, strict=True))
    if header and not rows:
        raise DataError(f"{path} holds a header and no rows")
