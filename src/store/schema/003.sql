-- SPDX-License-Identifier: LGPL-2.1-or-later
-- Storage: old copies of disks, kept so that a job can be undone, until their time is over.

CREATE TABLE kept_volume (
    id TEXT PRIMARY KEY NOT NULL,
    body TEXT NOT NULL CHECK (json_valid(body)),
    changed_us BIGINT NOT NULL
);
