/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/json.h"

/* What an agent asks of a controller, once, before it has a certificate: POST /api/v1/agents/join
 * over HTTPS with the controller known by its key alone. */

#define GW_CLIENT_PORT 8447

/* Whether @controller is HOST, HOST:PORT or [ADDRESS]:PORT and @fingerprint sha256:HEX (INVALID).
 */
gboolean gw_client_join_check(const char *controller, const char *fingerprint, GError **error);
/* The answer, or the problem's error; UNAUTHORIZED where another key is shown: nothing was sent
 * then. @body holds a secret: it goes nowhere but there. */
json_t *gw_client_join(const char *controller, const char *fingerprint, const json_t *body,
                       GError **error);
