-- SPDX-License-Identifier: LGPL-2.1-or-later
-- Storage: old copies of disks, kept so that a job can be undone, until their time is over.

CREATE TABLE kept_volume (
    id TEXT PRIMARY KEY NOT NULL,
    body TEXT NOT NULL CHECK (json_valid(body)),
    changed_us BIGINT NOT NULL
);

-- Hosts that were managed before keep old copies as new ones do.
UPDATE host SET body = json_set(body, '$.keep_source_s', 86400)
    WHERE body ->> 'keep_source_s' IS NULL;
