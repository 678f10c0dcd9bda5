/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include "hyper/hyper.h"

/* What the files of the libvirt driver share.
 *
 * One lock, driver->lock, guards every field marked (L). It is held for bookkeeping only: never
 * across a libvirt call, nor while the sink is called. */

typedef struct GwLvDriver GwLvDriver;
typedef struct GwLvHost GwLvHost;
typedef struct GwLvConn GwLvConn;
typedef struct GwLvTask GwLvTask;

/* A host is reached over lines: connections that one thread at a time calls on. libvirt's client
 * (9.0, virnetclient.c) lets threads share a connection, but when keep-alive ends one that several
 * threads wait on, only one of them wakes; the others hang, and what wakes them later writes to the
 * stack of a thread that has gone (seen as a hang of the whole event loop). The first line is the
 * control connection, which also carries the events; the others are opened when they are needed. */
#define GW_LV_CONTROL_LINES 3
#define GW_LV_STORAGE_LINE 3 /* for calls that can stall with the host's storage */
#define GW_LV_LINES 4
#define GW_LV_LINE_PATIENCE_US (250 * G_TIME_SPAN_MILLISECOND) /* before another line is opened */

#define GW_LV_DIALS_MAX 8 /* hanging attempts to connect to one host */
#define GW_LV_DIAL_US (9500 * G_TIME_SPAN_MILLISECOND)
#define GW_LV_CALL_US (60 * G_TIME_SPAN_SECOND) /* where a request names no time-out */

#define GW_LV_RECONNECT "The controller connects again by itself; check the host."

typedef enum {
    GW_LV_CONTROL, /* on one of the host's lines */
    GW_LV_SLOW,    /* on the line for what may stall with its storage: one at a time */
    GW_LV_OWN,     /* opens connections of its own, or needs none */
} GwLvLane;

typedef gboolean (*GwLvRun)(GwLvTask *task, GwReply *reply, GError **error);

typedef struct {
    GwLvRun run;
    GwLvLane lane;
} GwLvOp;

struct GwLvDriver {
    GwHyper base;
    GMutex lock;
    GCond changed;        /* something below went down */
    GHashTable *hosts;    /* (L) id -> GwLvHost */
    GThreadPool *workers; /* grows as needed, threads are shared with the whole process */
    gboolean closing;     /* (L) the sink is not to be called any more */
    guint in_sink;        /* (L) threads that call it now */
    guint busy;           /* (L) tasks handed to workers */
    guint64 next_serial;  /* (L) */
    int timer;            /* the sweep of deadlines, in the event loop */
    gatomicrefcount refs;
};

typedef struct {
    GwLvConn *conn;  /* NULL: not open */
    gboolean busy;   /* a task has it */
    gint64 since_us; /* when that began */
} GwLvLine;

/* Lives as long as the driver. */
struct GwLvHost {
    GwLvDriver *driver;
    char *id;
    char *uri;                   /* (L) of the last CONNECT */
    GwLvLine lines[GW_LV_LINES]; /* (L) the first open: the host is connected */
    guint64 epoch;               /* (L) of the lines: goes up when they are dropped or replaced */
    GQueue waiting;              /* (L) tasks not begun */
    GPtrArray *running;          /* (L) tasks handed to workers */
    guint dials;                 /* (L) attempts to connect under way */
    guint64 libvirt_version;     /* (L) of the host, when it was last asked; 0: not known */
    guint64 generation;          /* (L) of the last CONNECT or DISCONNECT: earlier are overtaken */
    GHashTable *block_ends;      /* (L) "uuid/target" -> see libvirt_block_end.c */
    GHashTable *sizes;           /* (L) "uuid/target" -> gint64 *, see libvirt_facts.c */
    GPtrArray *pools;            /* (L) GwPool, the last that were read */
    GHashTable *counts;          /* (L) VM's UUID, or "" -> GwUsageCounts, see libvirt_usage.c */
    gboolean storage_busy;       /* (L) they are being read */
    gboolean storage_late;       /* (L) and facts have gone out without them */
    GMutex folders_lock; /* held while pools that pass are made and ended (libvirt_place.c) */
    GHashTable *folders; /* such a pool -> its users; folders_lock guards it */
};

/* Closed, in a worker, when the last user is through. */
struct GwLvConn {
    gatomicrefcount refs;
    GwLvDriver *driver;
    GwLvHost *host;
    virConnectPtr ptr;
    GMutex calls; /* held while a thread calls; the only lock held across I/O */
    guint64 serial;
    gboolean announced; /* (L) CONNECT was answered: its news, and its loss, are told */
    gboolean listening; /* has callbacks */
    int domain_ids[8];
    int pool_ids[2];
    int network_id;
    int monitor_id;
};

struct GwLvTask {
    GwLvDriver *driver;
    GwLvHost *host;
    GwRequest *request;
    const GwLvOp *op;
    GwLvConn *conn;     /* of its line, while it runs */
    int line;           /* (L) -1: none */
    guint64 epoch;      /* of the host's lines when it got that */
    gboolean spawned;   /* by the driver, to read the host's storage */
    GError *refused;    /* to be answered with this, without being run */
    gint64 deadline_us; /* (L) 0: none */
    guint64 generation; /* of the host when it was submitted */
    gboolean answered;  /* (L) */
    gboolean began;     /* (L) GW_OP_MIGRATE, GW_OP_VOLUME_COPY: connected, its time begins */
    gboolean cancelled; /* (L) the same: aborted, a migration before that */
    gboolean writes;    /* (L) GW_OP_VOLUME_COPY: nobody else writes what it writes */
    gboolean limited;   /* (L) GW_OP_MIGRATE: it has the limit of its memory, not of its disks */
    GwProgress *copied; /* (L) GW_OP_VOLUME_COPY: how far it is; NULL: not begun */
};

typedef struct {
    virTypedParameterPtr list;
    int count;
} GwLvParams;
static inline void gw_lv_params_clear(GwLvParams *params)
{
    virTypedParamsFree(params->list, params->count);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GwLvParams, gw_lv_params_clear)

/* libvirt.c */
GwLvDriver *gw_lv_driver_ref(GwLvDriver *driver);
void gw_lv_driver_unref(GwLvDriver *driver);
GwLvHost *gw_lv_host(GwLvDriver *driver, const char *id); /* needs the lock; NULL: unknown */
/* Hand an event, or a reply, to the sink unless it is closed; take ownership. */
void gw_lv_emit(GwLvDriver *driver, GwHyperEvent *event);
void gw_lv_deliver(GwLvDriver *driver, GwReply *reply);

/* libvirt_task.c */
void gw_lv_task_free(GwLvTask *task);
/* Puts @task to work, or in its host's queue; takes it; needs the lock. */
void gw_lv_task_submit(GwLvTask *task);
/* A task of the driver's own, which nobody waits for. */
void gw_lv_task_spawn(GwLvHost *host, const GwLvOp *op);
void gw_lv_task_run(gpointer task, gpointer user);
/* A thread of its own for @run, which close() waits for. */
void gw_lv_work(GwLvDriver *driver, GFunc run, gpointer data);
/* Answers what is overdue, and opens further lines where calls hang. */
void gw_lv_sweep(GwLvDriver *driver);
/* Fails what uses or waits for the lines of @host, if @serial is its control connection's, and
 * tells the sink, once. */
void gw_lv_lost(GwLvDriver *driver, GwLvHost *host, guint64 serial, const char *why);
/* Takes the lines off the host of a DISCONNECT, unless a later request overtook it. */
void gw_lv_detach(GwLvTask *task);
/* Makes @conn the host's control connection, in the hands of @task, unless that is overtaken. */
gboolean gw_lv_install(GwLvTask *task, GwLvConn *conn, GError **error);
/* Whether @task may go on to ask libvirt to migrate: nobody was told that it failed, or aborted. */
gboolean gw_lv_begin(GwLvTask *task, GError **error);

/* libvirt_connect.c */
virConnectPtr gw_lv_dial(GwLvTask *task, const char *uri, GError **error);
GwLvConn *gw_lv_conn_ref(GwLvConn *conn);
void gw_lv_conn_unref(GwLvConn *conn);
/* A connection of @task's host over @ptr, which it takes. */
GwLvConn *gw_lv_conn_new(GwLvTask *task, virConnectPtr ptr);
/* Ends a connection's events, and drops one reference, in a thread of its own. */
void gw_lv_conn_retire(GwLvConn *conn);
gboolean gw_lv_op_connect(GwLvTask *task, GwReply *reply, GError **error);
gboolean gw_lv_op_disconnect(GwLvTask *task, GwReply *reply, GError **error);
/* Whether the connection still carries calls. */
gboolean gw_lv_alive(virConnectPtr ptr);
/* @uri so that nothing can ask a person for anything. Free with g_free. */
char *gw_lv_quiet_uri(const char *uri);

/* libvirt_events.c */
gboolean gw_lv_loop_ref(GError **error);
void gw_lv_loop_unref(void);
/* Subscribes to the host's news; what an older libvirt lacks is left out. */
gboolean gw_lv_listen(GwLvConn *conn, GError **error);
void gw_lv_unlisten(GwLvConn *conn);

/* libvirt_error.c */
/* Sets @error from libvirt's last error in this thread. */
void gw_lv_error(GError **error);
/* libvirt's last error in this thread, VIR_ERR_OK where there is none. */
int gw_lv_last_code(void);

/* libvirt_words.c */
int gw_lv_state(int state);
const char *gw_lv_reason(int state, int reason);
const char *gw_lv_event_word(int event);
const char *gw_lv_detail_word(int event, int detail);
const char *gw_lv_block_job(int type);

/* What kind of job runs on a domain. */
typedef enum {
    GW_LV_JOB_NONE,
    GW_LV_JOB_OUT, /* migration out */
    GW_LV_JOB_IN,  /* migration in */
    GW_LV_JOB_OTHER,
    GW_LV_JOB_UNKNOWN, /* could not be told: QEMU does not answer */
} GwLvJob;

/* libvirt_vm.c */
/* The request's VM. NULL with @error unset where the host has none. */
virDomainPtr gw_lv_find(GwLvTask *task, GError **error);
/* The same, but that is an error. */
virDomainPtr gw_lv_need(GwLvTask *task, GError **error);
GwLvJob gw_lv_job(virDomainPtr domain);
/* It migrates in: its definition can be read only once it is there. */
gboolean gw_lv_is_arriving(virDomainPtr domain);
/* Its definition by libvirt's flags (virDomainXMLFlags). Free with g_free. */
char *gw_lv_xml(virDomainPtr domain, guint flags, GError **error);
gboolean gw_lv_op_list(GwLvTask *task, GwReply *reply, GError **error);
gboolean gw_lv_op_get(GwLvTask *task, GwReply *reply, GError **error);
gboolean gw_lv_op_xml(GwLvTask *task, GwReply *reply, GError **error);
gboolean gw_lv_op_look(GwLvTask *task, GwReply *reply, GError **error);

/* libvirt_control.c */
gboolean gw_lv_op_resume(GwLvTask *task, GwReply *reply, GError **error);
gboolean gw_lv_op_pause(GwLvTask *task, GwReply *reply, GError **error);
gboolean gw_lv_op_destroy(GwLvTask *task, GwReply *reply, GError **error);
/* After its definition was removed; @xml (secrets included) and @autostart: what it was. FALSE,
 * with a CONFLICT: the VM was started meanwhile, and is defined again. */
gboolean gw_lv_undefined(virConnectPtr ptr, const char *uuid, const char *xml, gboolean autostart,
                         GError **error);
gboolean gw_lv_op_undefine(GwLvTask *task, GwReply *reply, GError **error);
gboolean gw_lv_op_define(GwLvTask *task, GwReply *reply, GError **error);
gboolean gw_lv_op_autostart(GwLvTask *task, GwReply *reply, GError **error);
gboolean gw_lv_op_start(GwLvTask *task, GwReply *reply, GError **error);

/* libvirt_facts.c */
gboolean gw_lv_op_facts(GwLvTask *task, GwReply *reply, GError **error);
GwPool *gw_lv_read_pool(virStoragePoolPtr handle);
/* The host's memory, and what of it can be had; 0 where it does not tell. */
void gw_lv_read_memory(virConnectPtr ptr, gint64 *total_kib, gint64 *available_kib);
/* The facts of the host behind @ptr, which is its control connection. */
GwHostFacts *gw_lv_facts(GwLvHost *host, virConnectPtr ptr, GError **error);
/* Fills in the sizes of @vm's disks that were read with the facts; needs no lock. */
void gw_lv_fill_sizes(GwLvHost *host, GwVm *vm);
/* Asks its QEMU for the sizes of its network disks. */
void gw_lv_ask_sizes(virDomainPtr domain, GwVm *vm);

/* libvirt_usage.c */
gboolean gw_lv_op_usage(GwLvTask *task, GwReply *reply, GError **error);
gboolean gw_lv_op_dirty_start(GwLvTask *task, GwReply *reply, GError **error);
gboolean gw_lv_op_dirty_read(GwLvTask *task, GwReply *reply, GError **error);

/* libvirt_hba.c: facts->hbas. */
void gw_lv_read_hbas(virConnectPtr ptr, GwHostFacts *facts);

/* libvirt_vport.c, as GW_OP_HBA_LOOK, HBA_STOP and HBA_START say. @own: the UUID of the VM that it
 * goes along with. */
GwVirtualHba *gw_lv_hba_look(virConnectPtr ptr, const char *pool, GError **error);
gboolean gw_lv_hba_stop(virConnectPtr ptr, const GwHbaMove *hba, const char *own, gboolean forget,
                        GError **error);
gboolean gw_lv_hba_start(virConnectPtr here, virConnectPtr there, const GwHbaMove *hba,
                         GError **error);
gboolean gw_lv_op_hba_look(GwLvTask *task, GwReply *reply, GError **error);
gboolean gw_lv_op_hba_stop(GwLvTask *task, GwReply *reply, GError **error);
gboolean gw_lv_op_hba_start(GwLvTask *task, GwReply *reply, GError **error);

/* libvirt_vport_logins.c */
/* What could not be looked at is BUSY, or its host cannot be reached; in the words of @error @what
 * ("the state of pool"). FALSE. */
gboolean gw_lv_cannot_tell(virConnectPtr ptr, const char *what, const char *name, const char *why,
                           GError **error);
/* The virtual HBA that is logged in with @wwpn, by whoever made it. NULL with @error unset: none
 * is, or this kind of host does not tell its devices. */
virNodeDevicePtr gw_lv_hba_login(virConnectPtr ptr, const char *wwpn, GError **error);
/* BUSY where one is. Nobody knows who uses it, so it is not ours to end. */
gboolean gw_lv_hba_logged_out(virConnectPtr ptr, const char *wwpn, GError **error);
/* Ends one whose pool was ours and used by nobody. */
gboolean gw_lv_hba_log_out(virConnectPtr ptr, const char *wwpn, GError **error);

/* libvirt_vport_users.c. CONFLICT where a VM has disks behind it, other than @own while that is
 * off; BUSY where that cannot be told. */
gboolean gw_lv_hba_unused(virConnectPtr ptr, const char *own, const char *pool, GError **error);

/* libvirt_cpu.c */
/* facts->vm_cpus, and the model that is shown. */
void gw_lv_read_cpus(virConnectPtr ptr, GwHostFacts *facts);
gboolean gw_lv_op_cpu_baseline(GwLvTask *task, GwReply *reply, GError **error);
gboolean gw_lv_op_cpu_compare(GwLvTask *task, GwReply *reply, GError **error);

/* libvirt_move.c */
/* A connection of its own to a host, in the words of an error @which ("source"); close it. */
virConnectPtr gw_lv_dial_host(GwLvTask *task, const char *host_id, const char *which,
                              GError **error);
void gw_lv_close_connection(virConnectPtr ptr);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(virConnect, gw_lv_close_connection)
gboolean gw_lv_op_migrate(GwLvTask *task, GwReply *reply, GError **error);
gboolean gw_lv_op_abort(GwLvTask *task, GwReply *reply, GError **error);
gboolean gw_lv_op_set_bandwidth(GwLvTask *task, GwReply *reply, GError **error);
gboolean gw_lv_op_set_downtime(GwLvTask *task, GwReply *reply, GError **error);
gboolean gw_lv_op_post_copy(GwLvTask *task, GwReply *reply, GError **error);

/* The memory of the task's VM is being copied: what limited each of its disks limits all of it. */
void gw_lv_limit_memory(GwLvTask *task, virDomainPtr domain);

/* libvirt_progress.c */
gboolean gw_lv_op_progress(GwLvTask *task, GwReply *reply, GError **error);
gboolean gw_lv_op_stats(GwLvTask *task, GwReply *reply, GError **error);

/* libvirt_proof.c */
gboolean gw_lv_op_marker_write(GwLvTask *task, GwReply *reply, GError **error);
gboolean gw_lv_op_marker_read(GwLvTask *task, GwReply *reply, GError **error);
gboolean gw_lv_op_marker_remove(GwLvTask *task, GwReply *reply, GError **error);
gboolean gw_lv_op_lock_hold(GwLvTask *task, GwReply *reply, GError **error);
gboolean gw_lv_op_lock_drop(GwLvTask *task, GwReply *reply, GError **error);

/* libvirt_disks.c */
/* How many of its disks are copied. */
guint gw_lv_copied_disks(const GwMigrate *move);
/* libvirt_define.c. @xml, taken over, with adapters as @nics says; as @saved (may be NULL) has them
 * where they come back to it. @inactive: what is not in it is left out. NULL where @xml is. */
char *gw_lv_with_nics(char *xml, const GPtrArray *nics, const char *saved, gboolean inactive,
                      GError **error);
/* The flags (virDomainMigrateFlags) that its disks ask for. */
gboolean gw_lv_disk_flags(const GwMigrate *move, guint *flags, GError **error);
/* Adds to @params what its disks ask for. @destination: libvirt's version there, 0: not known.
 * FALSE without @error: libvirt has no memory. */
gboolean gw_lv_add_disks(virDomainPtr domain, const GwMigrate *move, guint64 destination,
                         GwLvParams *params, GError **error);

/* libvirt_block.c */
gboolean gw_lv_op_block_copy(GwLvTask *task, GwReply *reply, GError **error);
gboolean gw_lv_op_block_progress(GwLvTask *task, GwReply *reply, GError **error);
gboolean gw_lv_op_block_pivot(GwLvTask *task, GwReply *reply, GError **error);
gboolean gw_lv_op_block_abort(GwLvTask *task, GwReply *reply, GError **error);
gboolean gw_lv_op_overlay(GwLvTask *task, GwReply *reply, GError **error);
gboolean gw_lv_op_merge(GwLvTask *task, GwReply *reply, GError **error);

/* libvirt_block_end.c */
GHashTable *gw_lv_block_ends_new(void);
/* A block job of the disk is about to begin: what was said of earlier ones is forgotten. */
void gw_lv_block_begins(GwLvHost *host, const char *uuid, const char *target);
/* QEMU's event, as libvirt hands it on. */
void gw_lv_block_said(GwLvHost *host, const char *uuid, const char *event, const char *details);
/* Why the last one that began ended, for people; it may still be on its way, and is waited for a
 * moment. NULL: it did not fail, or nobody said. Free with g_free. */
char *gw_lv_block_why(GwLvHost *host, const char *uuid, const char *target);
/* Nobody will ask any more. */
void gw_lv_block_forget(GwLvHost *host, const char *uuid, const char *target);

/* libvirt_define.c */
gboolean gw_lv_op_define_from(GwLvTask *task, GwReply *reply, GError **error);
gboolean gw_lv_op_snapshots(GwLvTask *task, GwReply *reply, GError **error);
gboolean gw_lv_op_snapshots_forget(GwLvTask *task, GwReply *reply, GError **error);
gboolean gw_lv_op_snapshots_remember(GwLvTask *task, GwReply *reply, GError **error);

/* libvirt's handles, freed by scope. */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(virDomain, virDomainFree)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(virNetwork, virNetworkFree)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(virInterface, virInterfaceFree)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(virStoragePool, virStoragePoolFree)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(virStorageVol, virStorageVolFree)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(virNodeDevice, virNodeDeviceFree)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(virStream, virStreamFree)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(virDomainSnapshot, virDomainSnapshotFree)
