/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "hyper/sim.h"

/* sim.c: the world, its hosts and simple requests. sim_load.c: the file it is made from.
 * sim_move.h: moves, and what strikes them. sim_agent.c: the hosts' agents. sim_link.c: the
 * paths between them. sim_storage.h: what hosts keep. All under sim->lock. sim_witness.c: what
 * happened, seen from outside. */

typedef struct SimStore SimStore;

typedef struct {
    GwVm *vm;           /* its disks: as the process has them, where there is one */
    GPtrArray *defined; /* GwDisk: those of the definition, where they differ; NULL: they do not */
    GPtrArray *writing; /* SimImage: what it writes to, while it runs */
    GPtrArray *snapshots; /* char *: their XML, parents first; NULL: none */
    char *snapshot;       /* the current one's name */
    char *reason;
    gboolean job;
    gboolean undefined; /* its definition goes soon, untold (sim_hands.c) */
    guint memory;       /* which of the disk's states this memory belongs to; 0: it is incomplete */
} SimVm;

typedef struct SimLeave SimLeave;

typedef struct {
    char *uri;
    GwHostFacts *facts;
    GHashTable *vms;      /* uuid -> SimVm */
    GHashTable *markers;  /* pool/name -> number, as text */
    SimStore *own;        /* its files outside of pools */
    GHashTable *files;    /* path -> SimStore: those outside of pools that are not its own */
    GHashTable *storages; /* pool -> key of the storage it is, where the file says so */
    char **reaches;       /* servers; NULL: all */
    gboolean down;
    gint64 latency_us;
    gint64 stalled_until_us; /* requests are served no earlier */
    guint moves, most_moves; /* under way, in and out */
    char *id;                /* the engine's, since CONNECT */
    char *name;              /* the same, kept when the connection is gone: agents know it */
    gint64 libvirtd_down_until_us;
    GHashTable *lingering; /* uuid -> gint64 *: a process is seen until then, which libvirt no
                              longer knows of */
    /* Only of hosts with an agent. */
    GHashTable *leaves; /* vm uuid -> SimLeave, of the highest epoch; NULL: no agent */
    gint64 agent_down_until_us;
} SimHost;

typedef enum {
    SIM_SETUP,
    SIM_DISKS, /* the disks that are copied are read once; from then on they are kept alike */
    SIM_COPY,
    SIM_SWITCHOVER, /* the source pauses, the rest is sent */
    SIM_FINISH,     /* the destination has it all */
    SIM_CONFIRM,    /* the source ends its process */
    SIM_OVER,
} SimPhase;

typedef struct {
    guint64 request_id;
    SimHost *source, *destination;
    char *vm_uuid;
    GwMigrate *how;
    SimPhase phase;
    gint64 began_us;
    gint64 paused_us;
    gint64 remaining_bytes, sent_bytes;
    gint64 iteration;
    gboolean orphan; /* its client is gone */
    gboolean aborted;
    gboolean over;
    gboolean counted; /* in its hosts' moves */
    gboolean through_agents;
    gint64 linger_ms;
    GPtrArray *mirrors; /* SimDiskCopy (sim_disks.c); NULL: no disk is copied */
    gint64 disk_bytes, disk_done_bytes;
    guint refs;
} SimMove;

typedef struct {
    char *at;       /* phase word, or a request's */
    char *what;     /* what strikes */
    gint64 ms;      /* for how long, where that has a meaning */
    gint64 percent; /* of a copy: once it has come that far */
} SimFault;

typedef void (*SimFn)(GwSim *sim, gpointer data);
typedef void (*SimVmFn)(GwSim *sim, const SimHost *host, SimVm *vm, gpointer user);

struct GwSim {
    GMutex lock;
    GCond cond;
    GwClock *clock;
    GPtrArray *hosts; /* SimHost */
    GQueue due;       /* SimDue, by time, then by order of scheduling */
    guint64 order;
    gint64 link_bps;
    gint64 disk_bps;
    gint64 dirty_bps;
    gint64 confirm_us;
    gboolean counted;         /* what hosts have free, and use, follows from their VMs */
    GPtrArray *faults;        /* SimFault */
    GPtrArray *moves;         /* SimMove */
    GPtrArray *leaves;        /* SimLeave */
    GHashTable *most_running; /* uuid -> guint */
    GHashTable *disks;        /* uuid -> guint: the state that who runs has brought it to */
    guint stale_runs;
    GHashTable *stores;    /* key -> SimStore */
    GPtrArray *copies;     /* SimCopy */
    GPtrArray *block_jobs; /* SimBlockJob */
    GHashTable *contents;  /* uuid/target -> guint: what the disk has to hold */
    guint last_content;    /* no two different contents bear one number */
    GPtrArray *violations; /* char * */
    SimHost *cut[2];       /* whose agents do not reach each other, until: */
    gint64 cut_until_us;
    guint lost_notices;  /* of the next ones between agents */
    guint agent_resumes; /* what agents did by themselves */
    struct SimDriver *driver;
};

typedef struct SimDriver {
    GwHyper hyper;
    GwSim *sim;
    gboolean owns_sim;
    GThread *thread; /* under a system clock */
    gboolean closing;
} SimDriver;

void gw_sim_later(GwSim *sim, gint64 span_us, SimFn fn, gpointer data);
void gw_sim_serve(GwSim *sim, gpointer request); /* sim_serve.c; answers it, and frees it */
void gw_sim_reply(GwSim *sim, GwReply *reply);
void gw_sim_event(GwSim *sim, GwHyperEvent *event);
void gw_sim_lifecycle(GwSim *sim, const SimHost *host, const char *uuid, const char *what,
                      const char *detail);
void gw_sim_tell_lost(GwSim *sim, const SimHost *host);
SimVm *gw_sim_find(const SimHost *host, const char *uuid);
SimHost *gw_sim_host_by_id(GwSim *sim, const char *id);
/* Connected or not. */
SimHost *gw_sim_host_by_name(GwSim *sim, const char *name);
SimHost *gw_sim_host_by_uri(GwSim *sim, const char *uri);
/* Of all hosts; @fn neither adds nor removes one. */
void gw_sim_each_vm(GwSim *sim, SimVmFn fn, gpointer user);
void gw_sim_set_state(GwSim *sim, const SimHost *host, SimVm *vm, GwVmState state,
                      const char *reason);
/* The process ends: off where it is defined, gone where it is not. */
void gw_sim_end_process(GwSim *sim, SimHost *host, const char *uuid, const char *reason);
SimHost *gw_sim_add_host(GwSim *sim, const char *uri);
SimVm *gw_sim_add_vm(SimHost *host, const GwVm *like);

gboolean gw_sim_load(GwSim *sim, json_t *fabric, GError **error);

/* Whether a fault has such a phase and such an effect; either may be NULL. */
gboolean gw_sim_fault_known(const char *at, const char *what);
GwLook *gw_sim_look_of(const GwSim *sim, const SimHost *host, const char *uuid);
void gw_sim_count_running(GwSim *sim, const char *uuid);
/* @vm begins to run: its disk goes on from what its memory knows, or is corrupted by it. */
void gw_sim_note_running(GwSim *sim, SimVm *vm, gboolean booted);
void gw_sim_host_down(GwSim *sim, SimHost *host, gint64 ms);

/* A libvirtd that is away: for agents as well, unlike a connection that is lost. */
void gw_sim_libvirtd_down(GwSim *sim, SimHost *host, gint64 ms);
/* The end of moves' streams through agents: of @host, to or from @other (NULL: any), of @vm_uuid
 * (NULL: any). Before the handover the move fails, and the VM stays. */
void gw_sim_break_moves(GwSim *sim, const SimHost *host, const SimHost *other, const char *vm_uuid);

/* Whether the agents of the two may carry a copy with this leave. */
gboolean gw_sim_agents_may_copy(GwSim *sim, const SimHost *from, const SimHost *to,
                                const GwPermit *permit, GError **error);

void gw_sim_leave_free(gpointer leave);
/* A process of the VM is there, whatever libvirt says. */
gboolean gw_sim_lingers(const GwSim *sim, const SimHost *host, const char *uuid);
gboolean gw_sim_has_agent(const SimHost *host);
void gw_sim_agent_serve(GwSim *sim, SimHost *host, const GwRequest *request, GwReply *reply);
/* A VM's process ended at @host. */
void gw_sim_agent_ended(GwSim *sim, SimHost *host, const char *vm_uuid, const char *reason);
/* Why a move cannot go as @how says; NULL: it can, as far as agents go. */
const char *gw_sim_agent_refuses(const GwSim *sim, const SimHost *source, const SimHost *to,
                                 const GwMigrate *how, const char *vm_uuid);
SimLeave *gw_sim_agent_way(const SimHost *source, const GwMigrate *how, const char *vm_uuid);
void gw_sim_agent_dies(GwSim *sim, SimHost *host, gint64 ms);

/* sim_link.c */
#define GW_SIM_LINK_US 1000 /* one way, between two agents, or to an agent's own libvirt */
gboolean gw_sim_agent_is_up(const GwSim *sim, const SimHost *host);
/* Whether the agents of the two reach each other. */
gboolean gw_sim_is_linked(const GwSim *sim, const SimHost *a, const SimHost *b);
void gw_sim_measure_link(GwSim *sim, const SimHost *host, const GwRequest *request, GwReply *reply);
void gw_sim_check_agent(GwSim *sim, const SimHost *host, const GwRequest *request, GwReply *reply);
void gw_sim_link_cut(GwSim *sim, SimHost *a, SimHost *b, gint64 ms);

/* sim_hands.c. What the host has free; where the world counts, by the VMs that have a process. */
gint64 gw_sim_free_kib(const GwSim *sim, const SimHost *host);
/* The same of what it uses. */
void gw_sim_count_usage(const GwSim *sim, const SimHost *host, GwHostUsage *usage);

/* sim_cpu.c. What @host can give VMs as a CPU, where its file says so. */
gboolean gw_sim_load_cpu(SimHost *host, json_t *json, GError **error);
/* The XML of @vm's CPU, where the file describes one. */
void gw_sim_load_vm_cpu(GwVm *vm);
/* It starts on @host, with what its definition asks for. */
void gw_sim_boot_cpu(const SimHost *host, GwVm *vm);
void gw_sim_cpu_serve(SimHost *host, const GwRequest *request, GwReply *reply);

/* sim_usage.c */
void gw_sim_usage_serve(GwSim *sim, SimHost *host, const GwRequest *request, GwReply *reply);
/* Makes unknown what @json's "usage" does not say; @usage, made from it, may be NULL. */
void gw_sim_usage_unsaid(const GwRecord *record, gpointer usage, json_t *json);
/* What of its memory holds something: all of it, unless its usage says less. */
gint64 gw_sim_memory_bytes(const SimVm *vm);
/* What @vm (may be NULL) dirties. */
gint64 gw_sim_dirty_bps(const GwSim *sim, const SimVm *vm);

void gw_sim_begin_move(GwSim *sim, SimHost *source, const GwRequest *request);
SimMove *gw_sim_move_of(GwSim *sim, const SimHost *source, const char *uuid);
void gw_sim_abort(GwSim *sim, SimMove *move);
void gw_sim_client_lost(GwSim *sim);
GwProgress *gw_sim_progress(GwSim *sim, const SimMove *move);
void gw_sim_move_unref(gpointer move);
