"""What goods look like and how people browse them, aisles as rows, warehouses, restocks and returns, orders by shop."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

from cloud.migrations.guards import append_only, tenant_only

revision = "0006"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        # What is there of every tenant is carried over.
        op.execute("SELECT set_config('aisleflow.tenant', '*', true)")
    _catalog()
    _aisles()
    _warehouses()
    _records()
    _orders()
    tenant_only(
        "categories",
        "goods_categories",
        "aisles",
        "warehouse_movements",
        "warehouse_balances",
        "aisle_asks",
        "restocks",
        "returns",
    )
    append_only("warehouse_movements", "aisle_asks", "restocks")


def _catalog() -> None:
    op.add_column("goods", sa.Column("spec", sa.Text(), nullable=True))
    op.add_column("goods", sa.Column("pictures", sa.Text(), nullable=False, server_default="[]"))
    op.create_index("ix_goods_barcode", "goods", ["tenant", "barcode"], unique=False)
    op.create_table(
        "categories",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("parent", sa.Text(), nullable=True),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "category", name="pk_categories"),
    )
    op.create_table(
        "goods_categories",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("goods", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "goods", "category", name="pk_goods_categories"),
    )
    op.create_index("ix_goods_categories_category", "goods_categories", ["tenant", "category"], unique=False)


def _aisles() -> None:
    aisles = op.create_table(
        "aisles",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("aisle", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("goods", sa.Text(), nullable=False),
        sa.Column("price_fen", sa.BigInteger(), nullable=False),
        sa.Column("capacity", sa.BigInteger(), nullable=False),
        sa.Column("for_sale", sa.Boolean(), nullable=False),
        sa.Column("listed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "machine", "aisle", name="pk_aisles"),
        sa.UniqueConstraint("tenant", "id", name="uq_aisles_tenant_id"),
    )
    op.create_index(
        "ix_commands_waiting",
        "commands",
        ["tenant", "machine"],
        unique=False,
        postgresql_where=sa.text("state = 'waiting'"),
        sqlite_where=sa.text("state = 'waiting'"),
    )
    rows = _configured()
    if rows:
        op.bulk_insert(aisles, rows)


def _configured() -> list[dict[str, object]]:
    """The aisles of the configurations that are there, numbered; the numbers are taken from then on."""
    bind = op.get_bind()
    newest = bind.execute(
        sa.text(
            "SELECT c.tenant, c.machine, c.document FROM machine_configs c WHERE c.version ="
            " (SELECT max(n.version) FROM machine_configs n WHERE n.tenant = c.tenant AND n.machine = c.machine)"
            " ORDER BY c.tenant, c.machine"
        )
    ).all()
    rows: list[dict[str, object]] = []
    numbers: dict[str, int] = {}
    for tenant, machine, document in newest:
        for aisle in json.loads(document)["aisles"]:
            numbers[tenant] = numbers.get(tenant, 0) + 1
            rows.append(
                {
                    "tenant": tenant,
                    "machine": machine,
                    "aisle": aisle["aisle"],
                    "id": f"AI{numbers[tenant]}",
                    "name": aisle.get("name") or aisle["aisle"],
                    "goods": aisle["goods"],
                    "price_fen": aisle["price_fen"],
                    "capacity": aisle["capacity"],
                    "for_sale": aisle.get("for_sale", True),
                    "listed": True,
                }
            )
    for tenant, last in numbers.items():
        bind.execute(
            sa.text("INSERT INTO serials (tenant, kind, last) VALUES (:tenant, 'aisle', :last)"),
            {"tenant": tenant, "last": last},
        )
    return rows


def _warehouses() -> None:
    op.create_table(
        "warehouse_movements",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("goods", sa.Text(), nullable=False),
        sa.Column("shop", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "source", "goods", name="pk_warehouse_movements"),
    )
    op.create_index("ix_warehouse_movements_at", "warehouse_movements", ["tenant", "shop", "at_ms"], unique=False)
    op.create_table(
        "warehouse_balances",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("shop", sa.Text(), nullable=False),
        sa.Column("goods", sa.Text(), nullable=False),
        sa.Column("on_hand", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("on_hand >= 0", name="ck_warehouse_balances_never_below_nothing"),
        sa.PrimaryKeyConstraint("tenant", "shop", "goods", name="pk_warehouse_balances"),
    )
    op.create_table(
        "aisle_asks",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("aisle", sa.Text(), nullable=False),
        sa.Column("goods", sa.Text(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("shop", sa.Text(), nullable=True),
        sa.Column("restock", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "command", name="pk_aisle_asks"),
    )
    op.create_index("ix_aisle_asks_restock", "aisle_asks", ["tenant", "restock"], unique=False)


def _records() -> None:
    op.create_table(
        "restocks",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("restock", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("shop", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("made_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "restock", name="pk_restocks"),
    )
    op.create_index("ix_restocks_shop", "restocks", ["tenant", "shop", "made_ms"], unique=False)
    op.create_index("ix_restocks_digest", "restocks", ["tenant", "digest", "made_ms"], unique=False)
    op.create_table(
        "returns",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("shop", sa.Text(), nullable=False),
        sa.Column("goods", sa.Text(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=True),
        sa.Column("scanned_by", sa.Text(), nullable=False),
        sa.Column("scanned_ms", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("quantity > 0", name="ck_returns_quantity"),
        sa.PrimaryKeyConstraint("tenant", "number", name="pk_returns"),
    )
    op.create_index("ix_returns_shop", "returns", ["tenant", "shop", "at_ms"], unique=False)


def _orders() -> None:
    op.add_column("orders", sa.Column("shop", sa.Text(), nullable=True))
    op.execute(
        "UPDATE orders SET shop = (SELECT m.shop FROM machines m"
        " WHERE m.tenant = orders.tenant AND m.machine = orders.machine)"
    )
    op.create_index(
        "ix_orders_shop",
        "orders",
        ["tenant", "shop", "ended_ms"],
        unique=False,
        postgresql_include=["state", "paid_fen", "refunded_fen", "machine", "goods"],
    )
