"""How long texts may be, for whoever takes them in: the dialects and the load files alike. Pure.

One place, so that what came in by one door fits through the other: what was dumped can be loaded.
"""

from __future__ import annotations

# A line that people read: a name, a title, an address, a note on a door.
NAME_CHARS_MAX = 200
# An address of a picture or a page, with its parameters.
LINK_CHARS_MAX = 1_000
# A page of text: what is said about a product.
TEXT_CHARS_MAX = 4_000
# Whatever a program that we do not know adds to a thing, as JSON.
EXTRA_CHARS_MAX = 8_000
# A secret that somebody else's platform gave: keys of theirs are far shorter.
SECRET_CHARS_MAX = 512
# An account of WeChat, with room.
OPENID_CHARS_MAX = 64
# A phone number as people write it, with spaces; an empty one is none.
PHONE = r"^\+?[0-9 -]{0,31}$"
# The first moment that is not in a year of four digits, in ms since 1970.
MOMENT_END_MS = 253_402_300_800_000
# A number that somebody else gave a meaning: what every program can hold in four bytes.
FIGURE_MIN, FIGURE_MAX = -(2**31), 2**31 - 1
