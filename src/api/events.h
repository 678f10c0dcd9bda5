/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "api/call.h"

/* Answers with the stream of changes, from after Last-Event-ID where the client sends one. */
gboolean gw_events_answer(GwCall *call, GError **error);
