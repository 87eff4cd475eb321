-- Schema 2: water. Volumes in ml, a meter's counts in its own unit.

CREATE TABLE pours (
    txn INTEGER PRIMARY KEY AUTOINCREMENT,
    order_id TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL CHECK (state IN ('claimed', 'refused', 'open', 'ended', 'doubtful')),
    outlet TEXT NOT NULL CHECK (outlet IN ('normal', 'cold', 'warm', 'hot')),
    source TEXT NOT NULL CHECK (source IN ('order', 'button')),
    means TEXT NOT NULL CHECK (means IN ('escrow', 'coin', 'note', 'card', 'scan', 'free')),
    asked_ml INTEGER NOT NULL CHECK (asked_ml > 0),
    price_fen_per_litre INTEGER NOT NULL CHECK (price_fen_per_litre >= 0),
    hold_fen INTEGER NOT NULL CHECK (hold_fen >= 0),
    paid_fen INTEGER NOT NULL CHECK (paid_fen >= 0),
    config_version INTEGER NOT NULL,
    plan TEXT,      -- whose usage it counts in; NULL for a person's pour at service
    nonce TEXT,     -- of the claim, for an order of the cloud
    boot_id TEXT NOT NULL,
    begun_mono_ms INTEGER NOT NULL,
    wall_ms INTEGER NOT NULL,
    -- the intent
    relay INTEGER,
    meter TEXT,
    modulus INTEGER,
    pulses_per_litre_milli INTEGER CHECK (pulses_per_litre_milli > 0),
    totaliser_before INTEGER,
    at_most_ml INTEGER,  -- what can have flowed at most, so that a counter which was reset is found out
    -- the end
    reason TEXT,
    poured_ml INTEGER CHECK (poured_ml >= 0),
    charged_fen INTEGER CHECK (charged_fen BETWEEN 0 AND hold_fen),
    totaliser_after INTEGER,
    open_ms INTEGER,     -- for how long the valve was open; NULL when nobody watched
    overrun_ml INTEGER,
    overrun_ms INTEGER,  -- for how long water still came at the pace of the moment; NULL when nothing was learned
    pace INTEGER,        -- counts per hour once it flowed evenly; NULL when it was too short to tell
    end_seq INTEGER CHECK ((end_seq IS NULL) = (state IN ('claimed', 'open'))),
    CHECK ((totaliser_before IS NOT NULL) = (state IN ('open', 'ended', 'doubtful'))),
    CHECK ((totaliser_before IS NULL) = (pulses_per_litre_milli IS NULL)),
    CHECK ((poured_ml IS NOT NULL) = (state IN ('ended', 'doubtful')))
) STRICT;
CREATE UNIQUE INDEX pours_one_open ON pours (state) WHERE state = 'open';
CREATE INDEX pours_claimed ON pours (state) WHERE state = 'claimed';
CREATE INDEX pours_by_outlet ON pours (outlet);
CREATE TRIGGER pours_terms_are_final
    BEFORE UPDATE OF order_id, outlet, source, means, asked_ml, price_fen_per_litre, hold_fen, paid_fen, plan ON pours
    BEGIN SELECT RAISE(ABORT, 'the terms of a pour are never changed'); END;
CREATE TRIGGER pours_move_by_table BEFORE UPDATE OF state ON pours
    WHEN (OLD.state, NEW.state) NOT IN (VALUES
        ('claimed', 'open'), ('claimed', 'refused'), ('open', 'ended'), ('open', 'doubtful'))
    BEGIN SELECT RAISE(ABORT, 'this pour cannot make this step'); END;
CREATE TRIGGER pours_intent_is_final BEFORE UPDATE OF relay, meter, modulus, pulses_per_litre_milli, totaliser_before
    ON pours WHEN OLD.totaliser_before IS NOT NULL
    BEGIN SELECT RAISE(ABORT, 'the intent of a pour is never changed'); END;
CREATE TRIGGER pours_are_kept BEFORE DELETE ON pours
    BEGIN SELECT RAISE(ABORT, 'a pour is never forgotten'); END;

-- One row per cartridge ever put in; the one with the highest number serves.
CREATE TABLE filters (
    position INTEGER NOT NULL,
    number INTEGER NOT NULL,
    name TEXT NOT NULL,
    powered_ms INTEGER NOT NULL DEFAULT 0,
    worked_ms INTEGER NOT NULL DEFAULT 0,
    poured_ml INTEGER NOT NULL DEFAULT 0,
    installed_wall_ms INTEGER NOT NULL,
    person TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (position, number)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER filters_never_grow_younger BEFORE UPDATE ON filters
    WHEN NEW.powered_ms < OLD.powered_ms OR NEW.worked_ms < OLD.worked_ms OR NEW.poured_ml < OLD.poured_ml
    BEGIN SELECT RAISE(ABORT, 'a filter never grows younger'); END;
CREATE TRIGGER filters_are_kept BEFORE DELETE ON filters
    BEGIN SELECT RAISE(ABORT, 'a filter is never forgotten'); END;

-- The service clock, and the point of the boot clock up to which it and the filters were counted.
CREATE TABLE service_clock (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    wall_ms INTEGER NOT NULL,
    boot_id TEXT NOT NULL,
    mono_ms INTEGER NOT NULL
) STRICT;
CREATE TRIGGER service_clock_never_runs_backwards BEFORE UPDATE ON service_clock WHEN NEW.wall_ms < OLD.wall_ms
    BEGIN SELECT RAISE(ABORT, 'the service clock never runs backwards'); END;

CREATE TABLE plan_usage (
    plan TEXT PRIMARY KEY,
    settled_ml INTEGER NOT NULL,
    day INTEGER NOT NULL,
    today_ml INTEGER NOT NULL CHECK (today_ml >= 0)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER plan_usage_only_grows BEFORE UPDATE ON plan_usage
    WHEN NEW.settled_ml + NEW.today_ml < OLD.settled_ml + OLD.today_ml
    BEGIN SELECT RAISE(ABORT, 'what was used of a plan is never given back'); END;

CREATE TABLE calibrations (
    id INTEGER PRIMARY KEY,
    meter TEXT NOT NULL,
    pulses_per_litre_milli INTEGER NOT NULL CHECK (pulses_per_litre_milli > 0),
    spread_ppm INTEGER NOT NULL,
    runs INTEGER NOT NULL,
    person TEXT NOT NULL,
    wall_ms INTEGER NOT NULL
) STRICT;
CREATE TRIGGER calibrations_are_final BEFORE UPDATE ON calibrations
    BEGIN SELECT RAISE(ABORT, 'a calibration is never changed'); END;

-- What a meter showed when the last pour had settled or a leak was told: growth beyond it, with every valve shut, is a
-- leak, also when it happened while nobody watched.
CREATE TABLE meters (
    meter TEXT PRIMARY KEY,
    count INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
