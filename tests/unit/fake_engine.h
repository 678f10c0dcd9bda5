/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "engine/engine.h"

/* A test double of engine.h: a fabric loaded from JSON, changed at once, without hosts. It behaves
 * by names: a host whose URI contains "unreachable" cannot be added, a move to a host called
 * "refuses" is refused with findings, one to "slow" is accepted after a second. */

#define FAKE_TOKEN "fake-administrator-token" /* of user "admin"; OTHER is of "other" */
#define FAKE_TOKEN_OTHER "fake-other-token"
#define FAKE_JOIN_TOKEN "godwit-join-fake" /* what every join token is; the last one is good */

/* {"groups": [], "hosts": [], "vms": [], "shares": [], "jobs": []} in stored form. */
GwEngine *fake_engine_new(const char *path, GError **error);
void fake_engine_free(GwEngine *engine);
/* Adds @count VMs with disks and adapters, spread over the hosts. */
void fake_engine_add_vms(GwEngine *engine, guint count);
/* Lets time pass once: running jobs go on by one percent, and the feed says so. */
void fake_engine_tick(GwEngine *engine);
/* How many moves were really begun. */
guint fake_engine_moves(GwEngine *engine);
