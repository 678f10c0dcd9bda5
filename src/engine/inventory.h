/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "engine/engine_internal.h"

/* Hosts, and what they hold. inventory.c: reaching each, and hearing of it. */

struct HostRun {
    char *id;
    gboolean connected;
    gboolean listed; /* the full list of VMs was read since the connection came up */
    gboolean seen;   /* it was, at some time: its facts are not only what was stored */
    gboolean busy;   /* connecting or listing */
    guint failures;
    gint64 retry_us; /* when to connect again; 0: not waiting */
    Call *waiter; /* answered with the host once it is listed, or lost again; NULL: nobody waits */
    gint64 facts_us; /* when to ask for facts; 0: no need */
    gboolean facts_busy;
    gint64 relist_us;   /* when to list its VMs anew; 0: no need */
    gboolean listing;   /* a list is being made, in which */
    GHashTable *heard;  /* these VM UUIDs may be older than what was heard meanwhile */
    GHashTable *asking; /* VM UUIDs being asked for; value: GINT_TO_POINTER(ask again) */
    gint64 awaited_us;  /* its agent has joined and starts: not missed before then; 0: no */
    gint64 renew_us;    /* when to look at its agent's certificate; 0: never */
    gboolean renewing;
    char *renew_trouble; /* why it is not renewed */
    char *alarm;         /* its agent's last, shown until then: */
    gint64 alarm_until_us;
};
/* NULL: not managed. */
HostRun *gw_inventory_find(GwEngine *engine, const char *host_id);
void gw_inventory_start_host(GwEngine *engine, const char *host_id);
/* The same for a host whose agent has just joined, and is to be there within @span_us. */
void gw_inventory_await_agent(GwEngine *engine, const char *host_id, gint64 span_us);
/* Says anew how a host that is there is: OK, or OK (Limited), and what a person should know. */
void gw_inventory_show_up(GwEngine *engine, const char *host_id);
/* Answers @call with the host when its first list is in, so that who adds a host sees it whole. */
void gw_inventory_answer_when_listed(GwEngine *engine, const char *host_id, Call *call);
/* Forgets all hosts; who waits for one is answered. */
void gw_inventory_stop(GwEngine *engine);
void gw_inventory_stop_host(GwEngine *engine, const char *host_id);
void gw_inventory_event(GwEngine *engine, const GwHyperEvent *event);
gint64 gw_inventory_next_us(GwEngine *engine);
void gw_inventory_timers(GwEngine *engine, gint64 now_us);
/* A host has a deadline then: said whenever one is set, or counts again. */
void gw_inventory_due(GwEngine *engine, gint64 at_us);
void gw_host_run_free(gpointer run);

/* inventory_facts.c: what they say of themselves */
void gw_inventory_ask_facts(GwEngine *engine, const char *host_id);
/* The same, when it is time. */
void gw_inventory_facts_timers(GwEngine *engine, HostRun *run, gint64 now_us);
/* Puts facts into the picture, with share ids derived. */
void gw_inventory_put_facts(GwEngine *engine, const char *host_id, const GwHostFacts *facts);
/* The pool @name of a host, as it was just read anew. */
void gw_inventory_put_pool(GwEngine *engine, const char *host_id, const char *name,
                           const GwPool *pool);
/* After shares changed: derive every pool's share id anew. */
void gw_inventory_derive_shares(GwEngine *engine);

/* inventory_vms.c: which VMs they have */
/* All that a host has by now. */
void gw_inventory_take_list(GwEngine *engine, const char *host_id, const GPtrArray *vms);
/* Lists its VMs once more, in a moment. */
void gw_inventory_relist(GwEngine *engine, HostRun *run);
/* There is news of that VM. */
void gw_inventory_hear(HostRun *run, const char *uuid);
void gw_inventory_ask_vm(GwEngine *engine, const char *host_id, const char *uuid);
void gw_inventory_put_vm(GwEngine *engine, const char *host_id, const char *uuid,
                         const GPtrArray *vms);

/* restart.c: vm->restart_changes, from the definition and the facts of its host (R11). */
void gw_restart_derive(const GwFabric *fabric, GwVm *vm);
/* Whether they may be others by @facts than by @old (NULL: the first). */
gboolean gw_restart_is_news(const GwHostFacts *old, const GwHostFacts *facts);
void gw_restart_derive_all(GwEngine *engine, const char *host_id);
