-- Why nobody can say how much a pour has given, for whoever stands before the machine.

ALTER TABLE pours ADD COLUMN doubt TEXT CHECK (doubt IS NULL OR state = 'doubtful');
