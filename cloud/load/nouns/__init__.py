"""The nouns that can be loaded and dumped, in the order in which they are written: what is named comes first.

To add one: a shape (`Row`) and one `TableNoun`, in a file beside these, and its row here.
"""

from __future__ import annotations

from typing import Any

from cloud.load.noun import Noun
from cloud.load.nouns.accounts import ACCOUNTS
from cloud.load.nouns.brands import BRANDS, SIGNINGS
from cloud.load.nouns.categories import CATEGORIES
from cloud.load.nouns.communities import COMMUNITIES, HOUSES, RESIDENTS
from cloud.load.nouns.devices import DEVICE_PROFILES
from cloud.load.nouns.goods import GOODS
from cloud.load.nouns.machines import AISLES, MACHINES
from cloud.load.nouns.members import DEVICE_BINDINGS, MEMBER_WECHATS, MEMBERS
from cloud.load.nouns.products import PRODUCTS
from cloud.load.nouns.promotions import ADVERTISEMENTS, COUPONS, PROMOTIONS
from cloud.load.nouns.rentals import RENTALS
from cloud.load.nouns.suppliers import SUPPLIED_GOODS, SUPPLIERS
from cloud.load.nouns.units import UNITS
from cloud.load.nouns.warehouse import WAREHOUSE

NOUNS: tuple[Noun[Any], ...] = (
    BRANDS,
    SIGNINGS,
    UNITS,
    ACCOUNTS,
    CATEGORIES,
    GOODS,
    WAREHOUSE,
    PRODUCTS,
    MACHINES,
    AISLES,
    DEVICE_PROFILES,
    MEMBERS,
    MEMBER_WECHATS,
    DEVICE_BINDINGS,
    RENTALS,
    PROMOTIONS,
    COUPONS,
    ADVERTISEMENTS,
    SUPPLIERS,
    SUPPLIED_GOODS,
    COMMUNITIES,
    HOUSES,
    RESIDENTS,
)
