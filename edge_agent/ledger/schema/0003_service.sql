-- Schema 3: what people do beside the machine. mono_ms since boot (with boot_id), wall_ms as the machine believed.

-- Motors turned for a test. No order, no money: what fell was booked out when `booked` is 1.
CREATE TABLE trials (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    aisle TEXT NOT NULL,
    goods TEXT NOT NULL,
    board INTEGER NOT NULL,
    motor INTEGER NOT NULL,
    last_motor_before INTEGER,
    person TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    mono_ms INTEGER NOT NULL,
    wall_ms INTEGER NOT NULL,
    outcome TEXT CHECK (outcome IN ('delivered', 'failed', 'unknown')),
    reason TEXT,
    result TEXT CHECK (result IN ('ok', 'over_current', 'open', 'no_stop_signal')),
    drop_seen INTEGER CHECK (drop_seen IN (0, 1)),
    max_current_ma INTEGER NOT NULL DEFAULT 0,
    avg_current_ma INTEGER NOT NULL DEFAULT 0,
    run_time_ms INTEGER NOT NULL DEFAULT 0,
    booked INTEGER NOT NULL DEFAULT 0 CHECK (booked IN (0, 1))
) STRICT;
CREATE UNIQUE INDEX trials_one_open ON trials ((outcome IS NULL)) WHERE outcome IS NULL;
CREATE TRIGGER trials_evidence_is_final BEFORE UPDATE ON trials WHEN OLD.outcome IS NOT NULL
    BEGIN SELECT RAISE(ABORT, 'the outcome of a trial is never changed'); END;
CREATE TRIGGER trials_are_kept BEFORE DELETE ON trials
    BEGIN SELECT RAISE(ABORT, 'a trial is never forgotten'); END;

CREATE TABLE visits (
    id TEXT PRIMARY KEY,
    person TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    mono_ms INTEGER NOT NULL,
    wall_ms INTEGER NOT NULL,
    end_seq INTEGER  -- of the fact that told it; NULL while it goes on
) STRICT;
CREATE UNIQUE INDEX visits_one_open ON visits ((end_seq IS NULL)) WHERE end_seq IS NULL;
CREATE TRIGGER visits_end_once BEFORE UPDATE ON visits WHEN OLD.end_seq IS NOT NULL
    BEGIN SELECT RAISE(ABORT, 'a visit that ended is never changed'); END;
CREATE TRIGGER visits_are_kept BEFORE DELETE ON visits
    BEGIN SELECT RAISE(ABORT, 'a visit is never forgotten'); END;

CREATE TABLE visit_actions (
    id INTEGER PRIMARY KEY,
    visit TEXT NOT NULL REFERENCES visits (id),
    action TEXT NOT NULL,
    wall_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX visit_actions_by_visit ON visit_actions (visit);
CREATE TRIGGER visit_actions_are_final BEFORE UPDATE ON visit_actions
    BEGIN SELECT RAISE(ABORT, 'an action is never changed'); END;
CREATE TRIGGER visit_actions_are_kept BEFORE DELETE ON visit_actions
    BEGIN SELECT RAISE(ABORT, 'an action is never forgotten'); END;
