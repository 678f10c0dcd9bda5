-- SPDX-License-Identifier: LGPL-2.1-or-later
-- Agents: what they join with, and what they were given.

-- id: SHA-256 of the token, never the token.
CREATE TABLE join_token (
    id TEXT PRIMARY KEY NOT NULL,
    body TEXT NOT NULL CHECK (json_valid(body)),
    changed_us BIGINT NOT NULL
);

-- id: serial. Every certificate made for a host until it ends by itself, so that all of a host's
-- can be revoked when it is removed; the revoked ones with when and why.
CREATE TABLE certificate (
    id TEXT PRIMARY KEY NOT NULL,
    body TEXT NOT NULL CHECK (json_valid(body)),
    changed_us BIGINT NOT NULL
);
CREATE INDEX certificate_by_host ON certificate ((body ->> 'host_id'));
