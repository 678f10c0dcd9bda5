/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "model/agent.h"
#include "model/balance.h"
#include "model/cpu.h"
#include "model/hba.h"
#include "model/network.h"
#include "model/placement.h"
#include "model/prediction.h"

/* Host groups form a tree under "All Hosts", whose id is GW_GROUP_ROOT. */
#define GW_GROUP_ROOT "all-hosts"

typedef struct {
    char *id;
    char *name;
    char *parent_id;              /* NULL only for the root */
    GwPlacementPolicy *placement; /* NULL: the parent's */
    GwBalanceSettings *balance;   /* NULL: the parent's, and balanced together with it */
} GwGroup;
GW_DECLARE_RECORD(GwGroup, gw_group)

typedef struct {
    char *name;
    char *type; /* libvirt's pool type: dir, netfs, fs, logical, iscsi, gluster, rbd, … */
    char *target_path;
    char *source; /* server:/export, target or device; what the storage is, not where it is seen */
    char *wwpn;   /* of a virtual HBA (R41); NULL: it is none */
    char *parent_hba; /* which HBA carries it, as its definition says; NULL: libvirt chooses */
    char *share_id;   /* derived: equal on two hosts exactly when they see the same storage (R4) */
    gboolean active;
    gint64 capacity_bytes;
    gint64 available_bytes;
} GwPool;
GW_DECLARE_RECORD(GwPool, gw_pool)

/* What a host says of itself. */
typedef struct {
    char *host_uuid; /* libvirt's, distinguishes hosts whatever their URI */
    char *hostname;
    char *arch;
    gint64 cpus;
    char *cpu_model;
    char *cpu_xml;      /* <cpu> of the host's capabilities */
    GPtrArray *vm_cpus; /* GwHostCpu: what it can give VMs, by kind; empty: not told */
    gint64 memory_kib;
    gint64 free_memory_kib;
    gint64 libvirt_version; /* major * 1000000 + minor * 1000 + release, as libvirt counts */
    gint64 qemu_version;
    char **machines; /* canonical machine types its emulator knows */
    char **bridges;
    GPtrArray *networks; /* GwNetwork */
    GPtrArray *pools;    /* GwPool */
    GPtrArray *hbas;     /* GwHba: those that can carry virtual ones */
    GwHostUsage *usage;  /* NULL: not seen yet */
    GwAgentFacts *agent; /* NULL: no agent there */
} GwHostFacts;
GW_DECLARE_RECORD(GwHostFacts, gw_host_facts)

typedef enum {
    GW_HOST_CONNECTING,
    GW_HOST_OK,         /* with the agent */
    GW_HOST_OK_LIMITED, /* agentless: the controller drives both ends (R29) */
    GW_HOST_NOT_RESPONDING,
} GwHostStatus;
extern const GwEnum gw_host_status_enum;

/* Whether it may be given VMs (R49). */
typedef enum {
    GW_MAINTENANCE_NONE,
    GW_MAINTENANCE_ENTERING, /* it is being emptied, and gets no VM any more */
    GW_MAINTENANCE_IN,       /* it is empty, or what is left there stays by a person's word */
} GwMaintenance;
extern const GwEnum gw_maintenance_enum;

/* Speed methods (R24). */
typedef enum {
    GW_METHOD_DEFAULT, /* of a move: the source host's; of a host: Compression where supported */
    GW_METHOD_STANDARD,
    GW_METHOD_COMPRESSION,
    GW_METHOD_MULTICHANNEL,
} GwMethod;
extern const GwEnum gw_method_enum;

#define GW_KEEP_SOURCE_DEFAULT_S 86400
#define GW_KEEP_SOURCE_MAX_S (365 * 86400)

#define GW_LIMIT_DEFAULT 2 /* simultaneous live, and storage, migrations of a host (R20, R21) */

typedef struct {
    char *id;
    char *name;
    char *uri;
    char *group_id;
    char *peer_uri;          /* how other hosts' libvirt reaches it; NULL: derived from uri */
    char *migration_address; /* where migration data goes; NULL: the URI's host */
    char *management_bridge; /* the bridge its own management address is on; NULL: none (R52) */
    gboolean live_migration_enabled;
    gint64 live_limit;
    gint64 storage_limit;
    gint64 live_in_use;
    gint64 storage_in_use;
    int method;             /* GwMethod */
    gint64 bandwidth_mibps; /* limit of one move; 0: none */
    char **default_storage; /* pools or their paths where VMs' disks go by default (R16) */
    gint64 keep_source_s;   /* how long old copies of moved disks are kept for Undo; 0: not */
    gint64 completion_timeout_s_per_gib;
    gint64 progress_timeout_s;
    int maintenance;            /* GwMaintenance */
    char **tags;                /* words and key=value, for placement rules (R57) */
    char **network_tags;        /* "br0=dmz": which physical network is behind which (R40) */
    gint64 cpu_reserve_percent; /* left alone, beside what its group leaves alone */
    gint64 memory_reserve_kib;
    gint64 disk_reserve_bytes; /* of each pool */
    int status;                /* GwHostStatus */
    char *status_reason;
    char *status_remedy;
    char *last_seen;                    /* RFC 3339 */
    char *agent_certificate_serial;     /* the last that was made for its agent; NULL: none */
    char *agent_certificate_expires_at; /* RFC 3339 */
    GwHostFacts *facts;                 /* NULL until the first answer */
} GwHost;
GW_DECLARE_RECORD(GwHost, gw_host)

/* A new host with the product's defaults. */
GwHost *gw_host_new_default(void);
/* Whether @uri can be a libvirt URI of a QEMU host: qemu[+transport]://[user@]host/system…,
 * bounded, printable ASCII, no password, only parameters known to be harmless (none that makes
 * libvirt run a program: command=, netcat=). */
gboolean gw_host_check_uri(const char *uri, GError **error);
/* The host part of @uri, NULL where it has none (a local socket). */
char *gw_host_uri_address(const char *uri);
/* Whether it is reached through its agent: its URI is godwit://ADDRESS[:PORT]/HOST_ID. */
gboolean gw_host_has_agent(const GwHost *host);
#define GW_AGENT_PORT 8447
#define GW_AGENT_SCHEME "godwit"
/* The parts of such a URI; FALSE where it is none. @address may be NULL; both are the caller's. */
gboolean gw_host_agent_uri(const char *uri, char **address, guint16 *port, char **host_id);
/* The URI by which another host's libvirt reaches @host, or NULL where it cannot (local socket). */
char *gw_host_peer_uri(const GwHost *host);

typedef struct {
    char *host_id;
    char *pool;
} GwShareMember;
GW_DECLARE_RECORD(GwShareMember, gw_share_member)

/* A directory declared shared, and proved so by a marker written through one member and read
 * through every other (R2). */
typedef struct {
    char *id;
    char *name;
    GPtrArray *members; /* GwShareMember */
    gboolean proved;
    gboolean locks_proved; /* a disk lock taken through one member is refused through another */
    char *proved_at;
    char *reason; /* why it is not proved */
} GwShare;
GW_DECLARE_RECORD(GwShare, gw_share)
