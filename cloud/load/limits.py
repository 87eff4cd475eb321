"""How large a book may be. All of it is in memory once, so these bound what a file from a stranger can cost."""

# A hundred thousand lines of all nouns are about 20 MB as text.
FILE_BYTES_MAX = 128 * 1024 * 1024
# Twice the machines, aisles, goods and members of the largest operator that this is made for.
LINES_MAX = 500_000
# What a workbook may unpack to; XML is some ten times larger than its zip.
UNPACKED_BYTES_MAX = 1024 * 1024 * 1024
# Members of a workbook's zip: a sheet, its relations and comments, for each noun, and a margin.
ZIP_MEMBERS_MAX = 1_000
# Columns of one table.
COLUMNS_MAX = 200
# Nesting of a text file: sheets, lines, columns, and a purifier's filters in one of them.
DEPTH_MAX = 12
# What Excel takes in one cell.
CELL_CHARS_MAX = 32_767
