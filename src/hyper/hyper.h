/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/clock.h"
#include "model/job.h"
#include "model/vm.h"

/* What the engine asks of hosts, and how. A driver ("libvirt", "sim") takes requests without
 * blocking and answers each exactly once, from any thread, in any order. Hosts' own news comes as
 * events. Nothing here decides anything: drivers report, the engine judges. */

typedef enum {
    GW_OP_CONNECT,      /* text: URI. Opens the control connection, subscribes; answers facts */
    GW_OP_DISCONNECT,   /* drops the connection; running moves of the host are left alone */
    GW_OP_FACTS,        /* answers facts */
    GW_OP_LIST_VMS,     /* answers vms: every VM of the host, complete or the request fails */
    GW_OP_GET_VM,       /* vm_uuid. Answers vms of 0 (no such VM) or 1 */
    GW_OP_USAGE,        /* answers usage, of the host, and vms: each that runs, with uuid and usage
                           alone. Rates are those since the answer before, -1 in the first */
    GW_OP_DIRTY_START,  /* vm_uuid, number: ms. Begins to sample how much memory it dirties in that
                           time; UNSUPPORTED by an old libvirt or QEMU, CONFLICT while it migrates */
    GW_OP_DIRTY_READ,   /* vm_uuid. Answers dirty_bps; -1: it is still being sampled */
    GW_OP_GET_XML,      /* vm_uuid. Answers text: the inactive definition, without secrets */
    GW_OP_LOOK,         /* vm_uuid. Answers look, from the host itself, never from a cache */
    GW_OP_CPU_COMPARE,  /* text: <cpu> of a VM; number: 1 where it is TCG (text2: machine, virt).
                           Answers verdict and, where FALSE, text: why */
    GW_OP_CPU_BASELINE, /* definitions: <cpu> texts, at most GW_HYPER_BASELINE_MAX; number: 0: what
                           KVM here can give a VM, 1: TCG, 2: whatever the hosts' own CPUs (of
                           capabilities) have in common. Answers cpu: the richest that all of them
                           have and that does not hinder moves; its features are all, those of the
                           model too. Of one CPU: the same with all features named */
    GW_OP_MIGRATE,      /* vm_uuid, migrate. Answers when libvirt returns; an error is an unknown
                           outcome */
    GW_OP_PROGRESS,     /* vm_uuid. Answers progress; none while no job runs: progress NULL */
    GW_OP_STATS,        /* vm_uuid, on the destination: completed job's figures as result */
    GW_OP_ABORT, /* vm_uuid. Asks to abort the running job; the answer is only that it was asked */
    GW_OP_SET_BANDWIDTH, /* vm_uuid, number: MiB/s; 0: none */
    GW_OP_SET_DOWNTIME,  /* vm_uuid, number: ms */
    GW_OP_POST_COPY,     /* vm_uuid. Switches the running migration to post-copy */
    GW_OP_RESUME,        /* vm_uuid. Runs a paused VM; succeeds if it already runs */
    GW_OP_PAUSE,         /* vm_uuid. Succeeds if it is already paused */
    GW_OP_DESTROY,       /* vm_uuid. Kills the process; succeeds if there is none */
    GW_OP_UNDEFINE,      /* vm_uuid. Removes the persistent definition, keeps disks and NVRAM;
                            refuses (CONFLICT) while the VM is active, also where it is started
                            just then; succeeds if there is none */
    GW_OP_DEFINE,        /* text: XML. Makes the VM persistent; succeeds if it already is */
    GW_OP_AUTOSTART,     /* vm_uuid, number: 0 or 1 */
    GW_OP_START,         /* vm_uuid. Boots a defined VM */
    GW_OP_MARKER_WRITE,  /* text: pool, text2: marker name; number: content. Creates the volume */
    GW_OP_MARKER_READ,   /* the same. verdict: seen with that content; FALSE: not there */
    GW_OP_MARKER_REMOVE, /* text: pool, text2: name. Succeeds if it is not there */
    GW_OP_LOCK_HOLD,     /* text: pool, text2: marker. Starts a paused throw-away VM that holds the
                            marker's write lock; verdict FALSE: the lock was refused */
    GW_OP_LOCK_DROP,     /* text: pool, text2: marker. Ends that VM; succeeds if there is none */
    /* Storage. A volume is named by pool and name; one without a pool by its path alone. */
    GW_OP_POOL_LOOK,     /* text: pool. Reads it anew; answers pool */
    GW_OP_VOLUME_LOOK,   /* volume; number: 1 with every image below it. Answers volumes, the top
                            first; of length 0: there is none. A missing backing file is an error
                            (NOT_FOUND) that names it */
    GW_OP_VOLUME_CREATE, /* volume, in a pool. Succeeds where the same is there and was never
                            written to (number: 1, what a restart found half done); else one that
                            is there is a CONFLICT */
    GW_OP_VOLUME_DELETE, /* volume. Refuses (CONFLICT) what a VM of the host uses, or has below a
                            disk, and (BUSY) while it cannot be told, as of a VM that is arriving;
                            succeeds if there is none */
    GW_OP_VOLUME_PROVE,  /* volume, with its path. Refuses as VOLUME_DELETE does where a VM of the
                            host uses it, and does nothing; it need not be there */
    GW_OP_VOLUME_COPY,   /* copy. Of a file that nothing writes to. Answers copied when it is over;
                            again with the same copy id: goes on where it was */
    GW_OP_COPY_PROGRESS, /* text: copy id. Answers progress; NULL: no such copy is under way */
    GW_OP_COPY_ABORT,    /* text: copy id. The copy fails as CANCELLED; succeeds if there is none */
    GW_OP_BLOCK_COPY,    /* vm_uuid, text: target, volume: where to, made before. Begins the mirror;
                            succeeds where it runs already, or where the VM is on @volume. number:
                            MiB/s; 0: no limit */
    GW_OP_BLOCK_PROGRESS, /* vm_uuid, text: target. Answers progress (phase "ready": can be
                             pivoted), NULL where no job runs (why); text: the live disk's
                             source */
    GW_OP_BLOCK_PIVOT, /* vm_uuid, text: target, volume. Succeeds where the VM is on it already */
    GW_OP_BLOCK_ABORT, /* vm_uuid, text: target. The VM stays where it is; succeeds if none */
    GW_OP_DEFINE_FROM, /* vm_uuid, peer_host_id (may be the host itself), disks (GwDiskMove), nics
                          (GwNicMove), nics_xml: the definition there, secrets included, with
                          these disks and adapters, is (re)defined here; where the peer has none any
                          more: succeeds if it is here. CONFLICT where it is the host's own, and
                          runs on a disk that was copied while it was off */
    GW_OP_REACH,       /* disk: whether the host gets to what it lives on, tried (R28). verdict;
                          text: why not. UNSUPPORTED: it cannot be tried */
    GW_OP_SNAPSHOTS,   /* vm_uuid. Answers definitions (XML, parents first), text: the current */
    GW_OP_SNAPSHOTS_FORGET,   /* vm_uuid. Their metadata only */
    GW_OP_SNAPSHOTS_REMEMBER, /* vm_uuid, definitions, text: the current one, disks (GwDiskMove)
                                 and nics (GwNicMove): as they are named now. Those that are there
                                 stay */
    GW_OP_OVERLAY, /* vm_uuid, text: target, volume: what is written to from now on, above the
                      image that is there; made by this, or before (number 1), when it is empty and
                      names that image. Succeeds where it is so already */
    GW_OP_MERGE,   /* vm_uuid, text: target, volume: what was laid above. Begins to merge it into
                      the one below; BLOCK_PROGRESS and BLOCK_PIVOT end it. Succeeds where it is the
                      disk's top no more */
    /* Virtual HBAs (R41): pools of type scsi with a WWPN of their own. */
    GW_OP_HBA_LOOK,  /* text: pool, read anew. Answers hba; NOT_FOUND: there is no such pool,
                        CONFLICT: it is no virtual HBA */
    GW_OP_HBA_STOP,  /* hba: where pool, WWPN and, where hba->was tells it, UUID are those of a
                        virtual HBA here, it logs out, and does not start by itself any more; number
                        1: its definition is removed as well, else it is kept. vm_uuid: whose it is.
                        CONFLICT where another VM of the host, or that one as it runs, has disks
                        behind it; BUSY where that, or what is here, cannot be told, and while the
                        WWPN is logged in through another pool, or none. Succeeds where there is
                        none */
    GW_OP_HBA_START, /* hba, peer_host_id: what the peer defines is defined here, carried by
                        hba->to, and logs in; it starts by itself where hba->was did. The peer may
                        be the host itself: as it is defined. Succeeds where it is so already;
                        CONFLICT where another pool has its name, or the peer is logged in with the
                        WWPN; BUSY where that cannot be told. Where it fails, nothing is left logged
                        in, as far as can be done */
    /* Only hosts with an agent; others answer UNSUPPORTED. */
    GW_OP_PERMIT,  /* permit. Gives the agent leave for one move's streams; of the source,
                      paths is answered. Again for the same job: renews it */
    GW_OP_CLOSE,   /* vm_uuid, text: job id, number: epoch. Ends that leave for good; succeeds
                      where there is none */
    GW_OP_MEASURE, /* text: the other host's id. Answers link: the path between the agents */
    GW_OP_CHECK,   /* text: the other host's id or NULL, permit for a trial or NULL. Answers
                      lines: what a move needs, tried for real */
    GW_OP_REVOKED, /* text: serials, one a line: certificates no longer taken */
    GW_OP_RENEW,   /* answers text: a certificate request, PEM; with text: takes the
                      certificate that was made of it */
    GW_OP_COUNT
} GwOp;

/* CPUs of one baseline. */
#define GW_HYPER_BASELINE_MAX 64

/* What GW_OP_LOCK_HOLD's throw-away VMs are called, before the marker's name. */
#define GW_LOCK_VM_PREFIX "godwit-lock-"

#define GW_HYPER_NO_AGENT_REMEDY "Install the agent on the host: godwit host add HOST --install."

const char *gw_op_word(GwOp op);

/* How to move: everything is decided before; drivers only carry it out. */
typedef struct {
    char *destination_host_id;
    char *peer_uri;      /* the destination's URI as the source's libvirt sees it; p2p only */
    char *migration_uri; /* tcp://address, unix:///path, or NULL */
    char *disks_uri;     /* unix:///path, or NULL */
    gboolean peer_to_peer;
    gboolean paused;  /* leave the destination paused (commit by resume) */
    gboolean persist; /* make it persistent at the destination */
    gboolean unsafe;  /* sharing is proved where libvirt cannot see it */
    gboolean auto_converge;
    gboolean post_copy;
    gboolean tls;
    gint64 bandwidth_mibps; /* 0: none */
    gint64 max_downtime_ms; /* 0: default */
    gint64 channels;        /* 0: no multifd */
    char *compression;      /* "zstd", "xbzrle", … or NULL */
    GPtrArray *disks; /* GwDiskMove: those that MIRROR are copied to volumes made before (the top
                         image only where it keeps images below it); others were copied as files,
                         and are named where they are now, or stay. NULL: all stay. Counted; nobody
                         changes it once it is handed over */
    GPtrArray *nics;  /* GwNicMove: those that change are attached elsewhere (R40). NULL: none does.
                         Counted likewise */
    char *nics_xml;   /* the definition of an earlier time, where adapters come back to what they
                         were in it; NULL: none does */
} GwMigrate;

/* Leave for one move between two hosts with agents; the driver signs it (wire/ticket.h). */
typedef struct {
    char *job_id;
    char *vm_uuid;
    char *vm_name;
    gint64 epoch;
    char *source_host_id;
    char *destination_host_id;
    char *destination_address; /* "ip:port" of the destination's agent as the source reaches it;
                                  NULL: as the controller does */
    gint64 lifetime_s;
    gint64 channels;
    gboolean commit_by_resume; /* the agents commit */
    gboolean post_copy;
    gboolean trial; /* of a check: echo and measuring streams, and an RPC that prepares nothing,
                       from the host that is asked to the other */
    gboolean disks; /* QEMU copies disks: NBD streams */
    gboolean files; /* the agents copy files of a VM that is off, or below a running one's disks;
                       no RPC, no migration */
} GwPermit;

/* A copy of one file's (or block device's) content to another. */
typedef struct {
    char *id; /* of the copy: the same until it is over, whoever asks */
    char *from_host_id;
    GwVolume *from;
    char *to_host_id; /* the request's host */
    GwVolume *to;     /* there already, at least as long as @from; taken as unknown content unless
                         @resume_bytes or @delta */
    int how;          /* GwDiskHow: NETWORK, FAST_COPY (both on one host), CONVERT (the same). By
                         libvirt the last two make @to anew, as it is told here, in the place of what
                         is there; where they fail it is empty */
    gboolean delta;   /* @to holds an old copy: compare, and send only what differs */
    gint64 resume_bytes;    /* this much of @to is known to be right */
    gint64 bandwidth_mibps; /* 0: none */
    GwPermit *permit;       /* between agents; NULL: through the controller */
} GwCopy;

/* What libvirt and QEMU at the source are given instead of addresses. */
typedef struct {
    char *peer_uri;      /* qemu+unix:///system?socket=… */
    char *migration_uri; /* unix:///… */
    char *disks_uri;     /* unix:///… */
} GwPaths;

typedef struct {
    guint64 id; /* the engine's, echoed in the reply */
    GwOp op;
    char *host_id;
    char *vm_uuid;
    char *text, *text2;
    gint64 number;
    GwMigrate *migrate; /* GW_OP_MIGRATE */
    GwPermit *permit;   /* GW_OP_PERMIT, GW_OP_CHECK */
    GwCopy *copy;       /* GW_OP_VOLUME_COPY */
    GwVolume *volume;
    GwDisk *disk;
    GPtrArray *disks; /* GwDiskMove */
    GPtrArray *nics;  /* GwNicMove */
    char *nics_xml;   /* as of GwMigrate */
    GwHbaMove *hba;
    char *peer_host_id;
    char **definitions;
    gint64 timeout_us; /* the engine stops waiting then; a driver may give up earlier */
} GwRequest;

/* What a host says of one VM right now: the input of every decision (RECOVERY.md). */
typedef struct {
    gboolean present; /* libvirt knows it, active or defined */
    int state;        /* GwVmState; OFF where it is only defined */
    char *reason;     /* migration, migrated, user, post-copy, post-copy-failed, … */
    gboolean persistent;
    gboolean autostart;
    gboolean job_active; /* a migration, in or out, is under way here */
    gboolean attested;   /* an agent read the process table as well; FALSE: libvirt's word alone */
    gint64 processes;    /* of the VM, where attested */
} GwLook;

typedef struct {
    guint64 id;
    GError *error; /* set: nothing else is */
    GwHostFacts *facts;
    GPtrArray *vms; /* GwVm */
    GwHostUsage *usage;
    gint64 dirty_bps;
    GwLook *look;
    GwProgress *progress;
    GwMoveResult *result;
    GwPaths *paths;
    GwLinkFacts *link;
    GPtrArray *lines; /* GwCheckLine */
    GwPool *pool;
    GwCpu *cpu;
    GwVirtualHba *hba;
    GPtrArray *volumes; /* GwVolume */
    GwCopyResult *copied;
    char **definitions;
    char *text;
    char *why; /* GW_OP_BLOCK_PROGRESS, where no job runs: what was said of its end, if anything */
    gboolean verdict;
    gint64 at_us; /* monotonic, when the driver had the answer */
} GwReply;

typedef enum {
    GW_EVENT_HOST_LOST,     /* text: why. The connection is gone; CONNECT anew */
    GW_EVENT_VM_CHANGED,    /* vm_uuid. Something about it is different: ask */
    GW_EVENT_VM_LIFECYCLE,  /* vm_uuid, text: started, suspended, resumed, stopped, defined,
                               undefined, crashed, …; text2: libvirt's detail (migrated, …) */
    GW_EVENT_FACTS_CHANGED, /* a pool or network is different: ask */
    GW_EVENT_ITERATION,     /* vm_uuid, number: migration pass */
    GW_EVENT_ALARM,         /* vm_uuid or NULL, text: what an agent did or prevented by itself */
} GwHyperEventKind;

typedef struct {
    GwHyperEventKind kind;
    char *host_id;
    char *vm_uuid;
    char *text, *text2;
    gint64 number;
    gint64 at_us; /* monotonic */
} GwHyperEvent;

/* Called by drivers from any thread; both take ownership. */
typedef struct {
    void (*reply)(GwReply *reply, gpointer user);
    void (*event)(GwHyperEvent *event, gpointer user);
    gpointer user;
} GwHyperSink;

typedef struct GwHyper GwHyper;

typedef struct {
    const char *name;
    /* Takes ownership of @request, returns at once. */
    void (*submit)(GwHyper *hyper, GwRequest *request);
    /* Waits until no thread of the driver calls the sink any more; replies still owed are dropped.
     */
    void (*close)(GwHyper *hyper);
    /* Only drivers that can run under a virtual clock; NULL otherwise. When something is due next
     * (0: nothing), and doing all that is due at @now_us. */
    gint64 (*next_us)(GwHyper *hyper);
    void (*run)(GwHyper *hyper, gint64 now_us);
} GwHyperDriver;

/* Every driver's object begins with this. */
struct GwHyper {
    const GwHyperDriver *driver;
    GwHyperSink sink;
};

static inline void gw_hyper_submit(GwHyper *hyper, GwRequest *request)
{
    hyper->driver->submit(hyper, request);
}
static inline void gw_hyper_close(GwHyper *hyper)
{
    if (hyper != NULL)
        hyper->driver->close(hyper);
}

GwRequest *gw_request_new(GwOp op, const char *host_id, const char *vm_uuid);
void gw_request_free(GwRequest *request);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwRequest, gw_request_free)
GwMigrate *gw_migrate_copy(const GwMigrate *migrate);
void gw_migrate_free(GwMigrate *migrate);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwMigrate, gw_migrate_free)
GwCopy *gw_copy_copy(const GwCopy *copy);
void gw_copy_free(GwCopy *copy);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwCopy, gw_copy_free)
void gw_permit_free(GwPermit *permit);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwPermit, gw_permit_free)
GwPermit *gw_permit_copy(const GwPermit *permit);
void gw_paths_free(GwPaths *paths);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwPaths, gw_paths_free)
GwReply *gw_reply_new(guint64 id);
void gw_reply_free(GwReply *reply);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwReply, gw_reply_free)
void gw_look_free(GwLook *look);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwLook, gw_look_free)
GwHyperEvent *gw_hyper_event_new(GwHyperEventKind kind, const char *host_id, const char *vm_uuid);
void gw_hyper_event_free(GwHyperEvent *event);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwHyperEvent, gw_hyper_event_free)

/* The drivers. */
GwHyper *gw_libvirt_open(GwHyperSink sink, GError **error);
/* A fabric from JSON (docs/simulator.md), with scripted times and faults. Under a virtual clock it
 * runs when it is told to; under a system clock in a thread of its own. */
GwHyper *gw_sim_open(GwHyperSink sink, GwClock *clock, json_t *fabric, GError **error);
