-- What /readyz writes to prove that this database takes writes: one row, and nothing else reads it.

CREATE TABLE readiness (
    is_only boolean PRIMARY KEY DEFAULT true
        CONSTRAINT readiness_has_one_row CHECK (is_only),
    probes bigint NOT NULL
);
