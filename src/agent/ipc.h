/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/json.h"
#include "wire/loop.h"

/* The agent is two processes. The *warden* starts, keeps the rights that are needed (libvirt's
 * socket, the folder of sockets, the state) and never touches the network. The *front* is its
 * child: it has the network, TLS and the host's key, and no rights at all. They talk over one
 * SOCK_SEQPACKET pair: a packet is one JSON object, with at most one descriptor beside it.
 *
 *   {"id": n, "method": "…", "params": {…}}                     a call
 *   {"id": n, "result": …} or {"id": n, "error": {code, message, remedy}}   its answer
 *   {"method": "…", "params": {…}}                              a notice
 *
 * Neither side trusts the other's packets: the warden because the front faces the network, the
 * front because it is the same code. When one ends, the other does. */

#define GW_IPC_PACKET_MAX (320 * 1024) /* a session's largest call, and what is around it */
#define GW_IPC_CALLS_MAX 1024          /* unanswered */

typedef struct GwIpc GwIpc;

typedef struct {
    gpointer user;
    /* @fd: the caller's descriptor or -1; taken. Answer, now or later, by gw_ipc_answer. */
    void (*call)(GwIpc *ipc, guint64 id, const char *method, const json_t *params, int fd,
                 gpointer user);
    void (*notice)(GwIpc *ipc, const char *method, const json_t *params, gpointer user);
    void (*closed)(GwIpc *ipc, const GError *why, gpointer user); /* the other process is gone */
} GwIpcOps;

/* On @loop; @fd, a SOCK_SEQPACKET socket, is taken. All functions run on that loop. */
GwIpc *gw_ipc_new(GwLoop *loop, int fd, const GwIpcOps *ops);
void gw_ipc_free(GwIpc *ipc);

/* @fd in the answer: taken by @done, or -1. */
typedef void (*GwIpcDone)(const json_t *result, int fd, const GError *error, gpointer user);
/* @fd (-1: none) is sent and stays the caller's. Where the call cannot be sent (too large, too many
 * are open, the other does not read), @done is called before this returns. */
void gw_ipc_call(GwIpc *ipc, const char *method, json_t *params_stolen, int fd, GwIpcDone done,
                 gpointer user);
void gw_ipc_answer(GwIpc *ipc, guint64 id, json_t *result_stolen, int fd, const GError *error);
/* Dropped where the other does not read. */
void gw_ipc_notice(GwIpc *ipc, const char *method, json_t *params_stolen);
