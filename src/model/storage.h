/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "model/host.h"
#include "model/vm.h"

/* Images and what is done with them: the words of Live (VSM), Migrate Storage, cold moves and Undo.
 */

/* One image as a host has it, or as it is to be made: a volume of a pool or, where @pool is NULL,
 * a file, block device or network name by itself. */
typedef struct {
    char *pool;
    char *name;   /* of the volume in its pool; one file name, never a path */
    char *path;   /* absolute; of a network disk protocol:name */
    char *server; /* of a network disk: host[:port], … */
    char *kind;   /* file, block, network, directory */
    char *format; /* raw, qcow2, … as the definition or the pool says, never probed in content */
    gint64 capacity_bytes;   /* what the guest sees */
    gint64 allocation_bytes; /* what it takes of its storage */
    gint64 length_bytes;     /* of the file or device */
    char *modified; /* when its content changed last, in its host's words: only to be compared with
                       what the same host says later; NULL: not told */
    gint64 cluster_bytes; /* of qcow2; 0: default */
    char *compat;         /* of qcow2: 0.10, 1.1 */
    gboolean lazy_refcounts;
    gboolean extended_l2;
    gboolean encrypted;
    gint64 internal_snapshots; /* inside a qcow2; -1: not told */
    char *backing_path;        /* the image below it; NULL: none */
    char *backing_format;
    char *owner, *group, *mode; /* numbers as text ("107", "107", "0600"); NULL: not told (R30) */
    char *label;                /* security label */
    char *acl;                  /* access list beyond mode, as text; NULL: none, or not told */
    char *used_by; /* of a block device: the VM of its host that has it, under whatever path, for
                      people; NULL: none, or not told */
} GwVolume;
GW_DECLARE_RECORD(GwVolume, gw_volume)

/* How one disk (or "nvram", or "tpm": the VM's other state on its host) gets where it goes. */
typedef enum {
    GW_DISK_STAYS,       /* both ends reach it where it is */
    GW_DISK_MIRROR,      /* copied by QEMU while the VM runs, before its memory (R12) */
    GW_DISK_WITH_MEMORY, /* its content travels in QEMU's own stream: NVRAM and TPM of a live move
                          */
    GW_DISK_BLOCK_COPY,  /* mirrored within its host while the VM runs, then pivoted (R14) */
    GW_DISK_NETWORK,     /* the VM is off: copied over the network */
    GW_DISK_FAST_COPY,   /* the VM is off: reflink or server-side copy (R34) */
    GW_DISK_CONVERT,     /* the VM is off: written anew in another format on its host */
    GW_DISK_SAN,         /* a LUN handed over instead of copied (R27) */
    GW_DISK_LEFT,        /* not moved: an empty drive */
} GwDiskHow;
extern const GwEnum gw_disk_how_enum;

/* One image of a chain, from where it is to what it becomes. */
typedef struct {
    GwVolume *from;
    GwVolume *to;
    gboolean create;  /* we make @to; FALSE: it is there already (a block device, a kept copy) */
    gboolean replace; /* a kept copy of this very disk is in the way, and is removed first */
    gboolean delta;   /* a kept copy of this very disk is there: only what differs is sent */
    gboolean flatten; /* @to takes the content of @from and of all below it */
} GwImageMove;
GW_DECLARE_RECORD(GwImageMove, gw_image_move)

typedef struct {
    char *target;      /* vda, nvram, tpm */
    int how;           /* GwDiskHow */
    char *why;         /* why so, for people */
    GPtrArray *images; /* GwImageMove, the top first; empty where nothing is copied */
    GPtrArray *left;   /* GwVolume: images below a disk that becomes one, where nothing of the VM
                          needs them any more: they are kept, and go, like its old copy */
    gint64 need_bytes; /* what the destination needs for it */
    gint64 copy_bytes; /* what is to be copied, at most */
} GwDiskMove;
GW_DECLARE_RECORD(GwDiskMove, gw_disk_move)

#define GW_DISK_CHOICES_MAX 256 /* of one request: more than a VM can have */

/* What a person chose for one disk. */
typedef struct {
    char *target; /* vda */
    char *
        storage; /* pool, path of a pool, share path, or a block device's path; NULL: as the rest */
    char *name;  /* of the volume; NULL: as it is called now */
    char *format; /* raw or qcow2; NULL: as it is */
} GwDiskChoice;
GW_DECLARE_RECORD(GwDiskChoice, gw_disk_choice)

/* What the hosts said of a VM's storage just now, beside their facts. */
typedef struct {
    char *target;
    GPtrArray *images; /* GwVolume: the disk's chain at the source, the top first */
    char *error;       /* why it could not be read: a backing file that is missing, … */
} GwDiskImages;
GW_DECLARE_RECORD(GwDiskImages, gw_disk_images)

typedef struct {
    char *target;
    gboolean reached; /* the host opened, or was shown, what the disk lives on (R28) */
    gboolean told;    /* FALSE: it could not be tried */
    char *why;
} GwDiskReached;
GW_DECLARE_RECORD(GwDiskReached, gw_disk_reached)

/* One step of a job on a host: journaled before it is begun and when it is done, each of them
 * idempotent (I5). Undoing takes back only what is marked as made. */
typedef enum {
    GW_TASK_VOLUME_CREATE,    /* undo: delete it */
    GW_TASK_VOLUME_REPLACE,   /* removes a kept copy that is in the way; no undo */
    GW_TASK_VOLUME_COPY,      /* @from of @peer_host_id, or of @host_id, into @volume; no undo */
    GW_TASK_BLOCK_COPY,       /* mirrors a running VM's disk to @volume until it is ready; undo:
                                 aborts the mirror */
    GW_TASK_BLOCK_PIVOT,      /* the VM goes on with @volume; no undo (a way back is a copy) */
    GW_TASK_DEFINE,           /* at @host_id, as @peer_host_id has it, with the job's disks; undo:
                                 undefine, or define as it was */
    GW_TASK_UNDEFINE,         /* at @host_id, where @peer_host_id (NULL: nobody is asked) has it
                                 too; undo: define as it was */
    GW_TASK_SNAPSHOTS_FORGET, /* their metadata, kept in the job; undo: remember */
    GW_TASK_SNAPSHOTS_REMEMBER,
    GW_TASK_START,
    GW_TASK_AUTOSTART,
    GW_TASK_VOLUME_KEEP,   /* the old copy becomes a kept volume; nothing is done on the host */
    GW_TASK_VOLUME_DELETE, /* proved not to be in use; no undo */
    GW_TASK_OVERLAY,       /* a running VM's writes go to a new image above @from; undo: merge */
    GW_TASK_MERGE,         /* and back into it */
    GW_TASK_HBA_STOP,      /* the virtual HBA that is @volume's pool logs out; undo: log in again */
    GW_TASK_HBA_START,     /* it logs in as @peer_host_id defines it; undo: log out, and forget */
    GW_TASK_HBA_CHECK,     /* it shows the VM's LUNs, and the same; nothing is done */
    GW_TASK_HBA_FORGET,    /* its definition is removed; no undo */
} GwTaskKind;
extern const GwEnum gw_task_kind_enum;

typedef enum {
    GW_TASK_TODO,
    GW_TASK_DOING,
    GW_TASK_DONE,
    GW_TASK_FAILED,
    GW_TASK_UNDOING,
    GW_TASK_UNDONE,
} GwTaskState;
extern const GwEnum gw_task_state_enum;

/* When a task's turn is. */
typedef enum {
    GW_TASK_BEFORE, /* the copy of a live move; all of a job without one */
    GW_TASK_AFTER,  /* the VM is known to run, or to be registered, at the destination: from the
                       first of these on nothing is undone */
} GwTaskTurn;
extern const GwEnum gw_task_turn_enum;

typedef struct {
    int kind;           /* GwTaskKind */
    int turn;           /* GwTaskTurn */
    int state;          /* GwTaskState */
    char *host_id;      /* where it is done */
    char *peer_host_id; /* where @from is, when elsewhere */
    char *target;       /* the disk it is about; NULL: the VM */
    GwVolume *volume;
    GwVolume *from;
    int how;             /* GwDiskHow, of copies */
    gboolean delta;      /* of copies: only what differs is sent */
    gboolean made;       /* it is known that we made what it makes: an undo removes that */
    gboolean lost;       /* an answer was lost: it may be done, whatever was said since */
    gint64 copied_bytes; /* of copies: how far it surely got, to resume from */
    gint64 total_bytes;
    char *why; /* why it failed */
} GwTask;
GW_DECLARE_RECORD(GwTask, gw_task)

/* What a finished copy says of itself. */
typedef struct {
    gint64 read_bytes;    /* of the source, without holes */
    gint64 sent_bytes;    /* on the wire */
    gint64 written_bytes; /* at the destination, without holes */
    gint64 same_bytes;    /* that were there already */
    char *digest;         /* "blake2b:HEX" of the whole content, equal at both ends */
    gboolean verified;    /* the destination's was read back from its storage */
    char *how;            /* in words: reflink, between the agents, through the controller, … */
} GwCopyResult;
GW_DECLARE_RECORD(GwCopyResult, gw_copy_result)

/* An old copy of a disk, kept so that a job can be undone, until its time is over (I4). */
typedef struct {
    char *id;
    char *job_id;
    char *vm_uuid, *vm_name;
    char *target;
    char *host_id;
    GwVolume *volume;
    char *kept_at;    /* RFC 3339 */
    char *expires_at; /* RFC 3339; then it is removed */
    gint64 expires_s; /* wall seconds; what counts */
    char *trouble;    /* why it could not be removed yet */
} GwKeptVolume;
GW_DECLARE_RECORD(GwKeptVolume, gw_kept_volume)

/* A VM's storage is moved: "godwit vm migrate-storage". */
typedef struct {
    char *storage; /* where all of it goes; NULL: only @disks move, or where there are none all, to
                      the first default location */
    GPtrArray *disks; /* GwDiskChoice: chosen disks */
    char *format;     /* of all; NULL: as they are */
    gboolean flatten;
    gboolean add_default_storage; /* R18 */
    gboolean wait_for_merge;
    gint64 bandwidth_mibps;
    gint64 keep_source_s; /* 0: the host's policy; -1: not at all */
} GwStorageRequest;
GW_DECLARE_RECORD(GwStorageRequest, gw_storage_request)

/* What undoing a job would do, said before it is done. */
typedef struct {
    char *job_id;
    gboolean possible;
    char *kind;   /* of the job that would do it: vm-migrate, vm-transfer, vm-migrate-storage,
                     job-repair */
    char **steps; /* what it would do, in words, in order */
    char *why_not;
    char *remedy;
} GwUndoPlan;
GW_DECLARE_RECORD(GwUndoPlan, gw_undo_plan)

/* Whether a running VM's disk goes onto a kept copy of it: two images, of which only the lower one
 * lasts. The upper ones, at both ends, take what the guest writes meanwhile, and are merged. */
gboolean gw_disk_move_is_delta(const GwDiskMove *move);
/* The image that the disk is on before and after the move: the top one, but for such a delta the
 * one below it. NULL: nothing is copied. */
const GwImageMove *gw_disk_move_top(const GwDiskMove *move);

/* Whether both name one volume of a host. */
gboolean gw_same_volume(const GwVolume *a, const GwVolume *b);

#define GW_VOLUME_NAME_MAX 255

/* Whether @name can be a volume's: one file name, no control characters, not "." or "..". */
gboolean gw_volume_check_name(const char *name, GError **error);
