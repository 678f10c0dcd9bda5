/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cli/session.h"

/* `godwit host add NAME --install` and `--join`: a host gets its agent. Handlers, as those of
 * command.h. */
int gw_install_agent(GwSession *session, const GwArgs *args, GError **error);
int gw_print_join(GwSession *session, const GwArgs *args, GError **error);

/* What both begin with: a fresh token, and where the agent finds the controller. */
typedef struct {
    char *controller; /* HOST:PORT */
    json_t *token;    /* the API's JoinToken */
    gboolean known;   /* the host is managed already, without or with an agent */
} GwJoinOffer;

void gw_join_offer_clear(GwJoinOffer *offer);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GwJoinOffer, gw_join_offer_clear)
gboolean gw_join_offer_make(GwJoinOffer *offer, GwSession *session, const GwArgs *args,
                            GError **error);
/* Takes the token back, where it is still there. */
void gw_join_offer_withdraw(const GwJoinOffer *offer, GwSession *session);
