"""What may be done with categories."""

from __future__ import annotations

from cloud.catalog import store
from cloud.catalog.model import Category, in_order
from cloud.database import Work
from cloud.errors import FleetError
from cloud.serials import next_serial, skip_to
from shared.ids import MalformedId, check_id

# What people can still browse; and every answer by category holds them all.
CATEGORIES_MAX = 500


async def add_category(
    work: Work, tenant: str, name: str, *, category: str | None = None, parent: str | None = None
) -> Category:
    """A new category of the first level, or of the second under `parent`; without an id of the caller's it gets one.

    FleetError: invalid id or parent, conflict when the id is taken or there are too many.
    """
    known = {one.category: one for one in await store.all_categories(work, tenant)}
    if len(known) >= CATEGORIES_MAX:
        raise FleetError("conflict", f"there are {CATEGORIES_MAX} categories already", field="category")
    _check_parent(known, None, parent)
    chosen = await _mint(work, tenant, known) if category is None else _checked(category)
    if chosen in known:
        raise FleetError("conflict", f"the category {chosen!r} exists already", field="category")
    added = Category(tenant, chosen, name, parent, work.now_ms)
    await store.put_category(work, added)
    return added


async def change_category(
    work: Work, tenant: str, category: str, *, name: str | None = None, parent: str | None = None
) -> Category:
    """Change what is given and keep the rest; with a `parent` of '' it is of the first level.

    FleetError: not_found, invalid parent.
    """
    known = {one.category: one for one in await store.all_categories(work, tenant)}
    found = known.get(category)
    if found is None:
        raise FleetError("not_found", f"there is no category {category!r}", field="category")
    above = found.parent if parent is None else parent or None
    _check_parent(known, category, above)
    changed = Category(tenant, category, found.name if name is None else name, above, work.now_ms)
    await store.put_category(work, changed)
    return changed


async def list_categories(work: Work, tenant: str) -> list[Category]:
    """The whole tree, by id."""
    return sorted(await store.all_categories(work, tenant), key=lambda one: in_order(one.category))


def _check_parent(known: dict[str, Category], category: str | None, parent: str | None) -> None:
    """The tree has two levels: what has a parent is nobody's."""
    if parent is None:
        return
    above = known.get(parent)
    if above is None or above.parent is not None or parent == category:
        raise FleetError("invalid", f"{parent!r} is not a category of the first level", field="parent")
    if any(one.parent == category for one in known.values() if category is not None):
        raise FleetError("invalid", f"there are categories under {category!r}", field="parent")


async def _mint(work: Work, tenant: str, known: dict[str, Category]) -> str:
    numbers = [in_order(one)[1] for one in known if one.startswith("VGC")]
    await skip_to(work, tenant, "category", max(numbers, default=0))
    return f"VGC{await next_serial(work, tenant, 'category')}"


def _checked(category: str) -> str:
    try:
        return check_id("category", category)
    except MalformedId as error:
        raise FleetError("invalid", str(error), field="category") from error
