-- SPDX-License-Identifier: LGPL-2.1-or-later
-- One row for each record, as the model describes it. What must be unique is so here too, below
-- the engine that checks it first. "body ->> 'name'" reads the same in PostgreSQL (with JSONB).

CREATE TABLE host_group (
    id TEXT PRIMARY KEY NOT NULL,
    body TEXT NOT NULL CHECK (json_valid(body)),
    changed_us BIGINT NOT NULL -- wall time of the last write, since 1970
);
CREATE UNIQUE INDEX host_group_by_name ON host_group ((body ->> 'parent_id'), (body ->> 'name'));

CREATE TABLE host (
    id TEXT PRIMARY KEY NOT NULL,
    body TEXT NOT NULL CHECK (json_valid(body)),
    changed_us BIGINT NOT NULL
);
CREATE UNIQUE INDEX host_by_name ON host ((body ->> 'name'));
CREATE UNIQUE INDEX host_by_uri ON host ((body ->> 'uri'));

CREATE TABLE share (
    id TEXT PRIMARY KEY NOT NULL,
    body TEXT NOT NULL CHECK (json_valid(body)),
    changed_us BIGINT NOT NULL
);
CREATE UNIQUE INDEX share_by_name ON share ((body ->> 'name'));

CREATE TABLE job (
    id TEXT PRIMARY KEY NOT NULL,
    body TEXT NOT NULL CHECK (json_valid(body)),
    changed_us BIGINT NOT NULL
);

-- id: SHA-256 of the token, never the token.
CREATE TABLE token (
    id TEXT PRIMARY KEY NOT NULL,
    body TEXT NOT NULL CHECK (json_valid(body)),
    changed_us BIGINT NOT NULL
);

-- id: UUID of the VM.
CREATE TABLE vm_epoch (
    id TEXT PRIMARY KEY NOT NULL,
    body TEXT NOT NULL CHECK (json_valid(body)),
    changed_us BIGINT NOT NULL
);

-- id: Idempotency-Key. Kept for a day.
CREATE TABLE reply (
    id TEXT PRIMARY KEY NOT NULL,
    body TEXT NOT NULL CHECK (json_valid(body)),
    changed_us BIGINT NOT NULL
);
CREATE INDEX reply_by_age ON reply (changed_us);

-- Append-only while the job exists; goes with it.
CREATE TABLE journal (
    sequence INTEGER PRIMARY KEY,
    job_id TEXT NOT NULL,
    wall_us BIGINT NOT NULL,
    state TEXT NOT NULL,
    event TEXT NOT NULL,
    why TEXT NOT NULL
);
CREATE INDEX journal_by_job ON journal (job_id, sequence);
