-- SPDX-License-Identifier: LGPL-2.1-or-later
-- Placement: the rules that people make about where VMs may run.

CREATE TABLE placement_rule (
    id TEXT PRIMARY KEY NOT NULL,
    body TEXT NOT NULL CHECK (json_valid(body)),
    changed_us BIGINT NOT NULL
);
