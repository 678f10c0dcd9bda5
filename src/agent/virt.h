/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "hyper/hyper.h"
#include "wire/loop.h"

/* This host's libvirt, through the driver that the controller uses, with its answers brought to the
 * agent's loop and its connection brought back whenever libvirtd restarts. All functions and
 * callbacks run on that loop. */
typedef struct GwVirt GwVirt;

typedef struct {
    gpointer user;
    void (*up)(gpointer user); /* connected, at first and again */
    void (*down)(const char *why, gpointer user);
    void (*event)(const GwHyperEvent *event, gpointer user);
} GwVirtOps;

/* gw_libvirt_open, or a test's. */
typedef GwHyper *(*GwVirtOpen)(GwHyperSink sink, GError **error);

GwVirt *gw_virt_new(GwLoop *loop, const char *uri, GwVirtOpen open, const GwVirtOps *ops,
                    GError **error);
/* What was asked is answered now: CANCELLED. No callback comes afterwards. */
void gw_virt_free(GwVirt *virt);
gboolean gw_virt_is_up(const GwVirt *virt);

/* @done is called exactly once, from the loop and not from here; @reply is lent. */
typedef void (*GwVirtDone)(const GwReply *reply, gpointer user);
void gw_virt_ask(GwVirt *virt, GwOp op, const char *vm_uuid, gint64 number, gint64 timeout_us,
                 GwVirtDone done, gpointer user);
