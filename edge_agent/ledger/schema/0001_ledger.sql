-- The machine's ledger, schema 1. One file is one stream: (machine, epoch).
-- Money is fen. Times: mono_ms since boot (with boot_id), wall_ms since 1970 as the machine believed.

CREATE TABLE stream (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    machine TEXT NOT NULL,
    epoch TEXT NOT NULL,
    next_seq INTEGER NOT NULL DEFAULT 1 CHECK (next_seq > acked),
    acked INTEGER NOT NULL DEFAULT 0 CHECK (acked >= pruned),
    pruned INTEGER NOT NULL DEFAULT 0 CHECK (pruned >= 0),
    incarnation TEXT,  -- the cloud database that gave `acked`
    damage TEXT        -- why the file before this one was set aside, until a person confirms; NULL otherwise
) STRICT;

-- Cloud databases that a later one has replaced: what they still say about `acked` is stale.
CREATE TABLE past_incarnations (incarnation TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;

CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY,
    key TEXT,  -- messages.state_key of a state fact; NULL for a ledger fact, which is never compacted
    fact BLOB NOT NULL,
    hash TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    mono_ms INTEGER NOT NULL,
    wall_ms INTEGER NOT NULL,
    clock_state TEXT NOT NULL CHECK (clock_state IN ('unset', 'restored', 'synced'))
) STRICT;
CREATE INDEX outbox_by_key ON outbox (key, seq) WHERE key IS NOT NULL;
CREATE TRIGGER outbox_fact_is_final BEFORE UPDATE ON outbox
    BEGIN SELECT RAISE(ABORT, 'a fact is never changed'); END;

CREATE TABLE orders (
    id TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('claimed', 'tombstoned', 'open', 'delivered', 'failed', 'unknown')),
    reason TEXT,
    source TEXT NOT NULL CHECK (source IN ('order', 'button')),
    means TEXT NOT NULL CHECK (means IN ('escrow', 'coin', 'note', 'card', 'scan', 'free')),
    price_fen INTEGER NOT NULL CHECK (price_fen >= 0),
    paid_fen INTEGER NOT NULL CHECK (paid_fen >= 0),
    goods TEXT NOT NULL,
    aisle TEXT NOT NULL,
    config_version INTEGER NOT NULL,
    nonce TEXT,
    boot_id TEXT NOT NULL,
    begun_mono_ms INTEGER NOT NULL,
    wall_ms INTEGER NOT NULL,
    end_seq INTEGER CHECK ((end_seq IS NULL) = (state IN ('claimed', 'open')))
) STRICT;
CREATE INDEX orders_unresolved ON orders (state) WHERE state IN ('claimed', 'open', 'unknown');
CREATE UNIQUE INDEX orders_one_open ON orders (state) WHERE state = 'open';
CREATE TRIGGER orders_terms_are_final BEFORE UPDATE OF id, source, means, price_fen, paid_fen, goods ON orders
    BEGIN SELECT RAISE(ABORT, 'the terms of an order are never changed'); END;
CREATE TRIGGER orders_move_by_table BEFORE UPDATE OF state ON orders
    WHEN (OLD.state, NEW.state) NOT IN (VALUES
        ('claimed', 'open'), ('claimed', 'tombstoned'),
        ('open', 'delivered'), ('open', 'failed'), ('open', 'unknown'),
        ('unknown', 'delivered'), ('unknown', 'failed'))
    BEGIN SELECT RAISE(ABORT, 'this order cannot make this step'); END;
CREATE TRIGGER orders_are_kept BEFORE DELETE ON orders
    BEGIN SELECT RAISE(ABORT, 'an order is never forgotten'); END;

CREATE TABLE attempts (
    txn INTEGER PRIMARY KEY AUTOINCREMENT,
    order_id TEXT NOT NULL REFERENCES orders (id),
    aisle TEXT NOT NULL,
    board INTEGER NOT NULL,
    motor INTEGER NOT NULL,
    last_motor_before INTEGER,  -- the board's memory of its last run just before the start; NULL when it has none
    boot_id TEXT NOT NULL,
    mono_ms INTEGER NOT NULL,
    wall_ms INTEGER NOT NULL,
    outcome TEXT CHECK (outcome IN ('delivered', 'failed', 'unknown')),
    result TEXT CHECK (result IN ('ok', 'over_current', 'open', 'no_stop_signal')),
    drop_seen INTEGER CHECK (drop_seen IN (0, 1)),
    max_current_ma INTEGER NOT NULL DEFAULT 0,
    avg_current_ma INTEGER NOT NULL DEFAULT 0,
    run_time_ms INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX attempts_by_order ON attempts (order_id);
CREATE INDEX attempts_by_board ON attempts (board);
CREATE UNIQUE INDEX attempts_one_delivery ON attempts (order_id) WHERE outcome = 'delivered';
CREATE UNIQUE INDEX attempts_one_open ON attempts ((outcome IS NULL)) WHERE outcome IS NULL;
CREATE TRIGGER attempts_evidence_is_final BEFORE UPDATE ON attempts WHEN OLD.outcome IS NOT NULL
    BEGIN SELECT RAISE(ABORT, 'the outcome of an attempt is never changed'); END;
CREATE TRIGGER attempts_are_kept BEFORE DELETE ON attempts
    BEGIN SELECT RAISE(ABORT, 'an attempt is never forgotten'); END;

CREATE TABLE movements (
    id INTEGER PRIMARY KEY,
    aisle TEXT NOT NULL,
    goods TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('load', 'count', 'release', 'allocate', 'consume', 'cancel')),
    on_hand_delta INTEGER NOT NULL,
    held_delta INTEGER NOT NULL,
    order_id TEXT,
    person TEXT NOT NULL DEFAULT '',
    command TEXT,
    wall_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX movements_by_order ON movements (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX movements_by_aisle ON movements (aisle);
CREATE TRIGGER movements_are_final BEFORE UPDATE ON movements
    BEGIN SELECT RAISE(ABORT, 'a movement is never changed'); END;
CREATE TRIGGER movements_are_kept BEFORE DELETE ON movements
    BEGIN SELECT RAISE(ABORT, 'a movement is never removed'); END;

-- The sum of an aisle's movements, kept by the trigger below and by nothing else.
CREATE TABLE balances (
    aisle TEXT PRIMARY KEY,
    goods TEXT NOT NULL,
    on_hand INTEGER NOT NULL CHECK (on_hand >= held),
    held INTEGER NOT NULL CHECK (held >= 0)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER movements_make_balances AFTER INSERT ON movements
    BEGIN
        INSERT OR IGNORE INTO balances (aisle, goods, on_hand, held) VALUES (NEW.aisle, NEW.goods, 0, 0);
        UPDATE balances
            SET goods = NEW.goods, on_hand = on_hand + NEW.on_hand_delta, held = held + NEW.held_delta
            WHERE aisle = NEW.aisle;
    END;

CREATE TABLE commands (
    id TEXT PRIMARY KEY,
    ask BLOB,  -- until answered; after that the hash alone tells a repeat from a forgery
    hash TEXT NOT NULL,
    wall_ms INTEGER NOT NULL,
    done INTEGER CHECK (done IN (0, 1)),
    detail TEXT,
    CHECK ((done IS NULL) = (ask IS NOT NULL))
) STRICT;
CREATE INDEX commands_unanswered ON commands (wall_ms) WHERE done IS NULL;

-- The last fact said about each state key, so that only a change is said again.
CREATE TABLE conditions (
    key TEXT PRIMARY KEY,
    fact BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE configs (
    version INTEGER PRIMARY KEY,
    document BLOB NOT NULL,
    mac TEXT NOT NULL,
    hash TEXT NOT NULL  -- of the document, for the checks that do not know the machine's key
) STRICT;
