"""Bulk import and export: `python -m cloud load FILE` and `python -m cloud dump FILE`.

A *book* is what people hand in: a YAML or JSON file, a folder of CSV files, or one XLSX workbook. It has a *sheet* per
*noun* (brands, goods, machines, aisles, ...), a sheet has *lines*, a line has a value per *column*. All four forms say
the same; `formats` reads and writes them, and nothing behind it knows which one it was.

A noun is one row of `nouns.NOUNS`: the shape of its lines, its key, how to read what is there, how to write what is
new. `load` goes through the nouns from left to right and compares each line with what is there: unknown keys are
created, differing values are changed, and the rest is left alone. So a book may be loaded again and again. Nothing is
ever deleted by it, nothing ends by it, and what has ended is left alone.

A dump is a book: loaded into an empty database it makes all of it again (`docs/load.md` says what is in it). So a noun
also has what only a new line brings and no later one changes: since when it is there, until when it was, its money.
"""
