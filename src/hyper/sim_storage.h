/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "hyper/sim_internal.h"

/* What simulated hosts keep. sim_storage.c: storages, images and the space they take.
 * sim_volume.c: requests about them. sim_copy.c: copies of files. sim_block.c: block jobs.
 * sim_disks.c: disks copied by a live move. sim_define.c: definitions and snapshots. sim_fault.c:
 * what strikes requests and hosts. sim_content.c: which data an image holds, and what must never
 * be. */

/* One storage: every pool, on whichever host, that shows the same. */
struct SimStore {
    char *key;
    GHashTable *images;    /* name in it -> SimImage */
    gint64 capacity_bytes; /* 0: it is never full */
    gint64 used_bytes;     /* by its images */
    gint64 other_bytes;    /* by what is not simulated */
    gint64 full_until_us;
};

/* Counted: a process has a file open that was deleted. */
typedef struct {
    SimStore *store;
    char *name;
    GwVolume *volume;    /* pool, name and path are each host's own: they are not in here */
    guint content;       /* what data it holds */
    guint below;         /* what the image below has to hold; 0: there is none */
    guint part_of;       /* of an unfinished copy: of which content, */
    gint64 part_bytes;   /* and how much of it */
    guint writers;       /* VMs that run on it */
    guint busy;          /* copies that fill or read it */
    gboolean written;    /* not as it was made */
    gboolean from_start; /* the file has it */
    gboolean libvirts;   /* libvirt made it by itself: NVRAM, TPM state */
    gboolean gone;
} SimImage;

SimImage *gw_sim_image_ref(SimImage *image);
void gw_sim_image_unref(gpointer image);

/* The storage that @pool of @host is. */
SimStore *gw_sim_store_of_pool(GwSim *sim, const SimHost *host, const GwPool *pool);
SimStore *gw_sim_store(GwSim *sim, const char *key);
void gw_sim_store_free(gpointer store);
gint64 gw_sim_available(const GwSim *sim, const SimStore *store);
/* Where @path of @host leads: a storage and a name in it (owned). */
SimStore *gw_sim_resolve(GwSim *sim, const SimHost *host, const char *path, const char *server,
                         char **name);
/* NULL: there is none. */
SimImage *gw_sim_image_at(GwSim *sim, const SimHost *host, const char *path, const char *server);
SimImage *gw_sim_image_of(GwSim *sim, const SimHost *host, const GwVolume *volume);
SimImage *gw_sim_image_of_disk(GwSim *sim, const SimHost *host, const GwDisk *disk);
SimImage *gw_sim_image_below(GwSim *sim, const SimHost *host, const SimImage *image);
/* The path of @volume on @host, by its pool where it has none; NULL: no such pool. Owned. */
char *gw_sim_path_of(const SimHost *host, const GwVolume *volume);
/* Belongs to its storage. Of @like: what does not depend on who looks. */
SimImage *gw_sim_add_image(GwSim *sim, SimStore *store, const char *name, const GwVolume *like);
void gw_sim_remove_image(SimImage *image);
/* FALSE: there is no space for it. */
gboolean gw_sim_allocate(const GwSim *sim, SimImage *image, gint64 bytes);
const GwPool *gw_sim_pool(const SimHost *host, const char *name);
GwPool *gw_sim_pool_answer(GwSim *sim, const SimHost *host, const GwPool *pool);
/* Where @vm's state beside its disks is: target "nvram" or "tpm"; NULL: it has none. Owned. */
char *gw_sim_state_path(const GwVm *vm, const char *target);
/* The words for both; NULL-terminated. */
extern const char *const gw_sim_states[];
/* What it takes with all that is below it. */
gint64 gw_sim_chain_bytes(GwSim *sim, const SimHost *host, const SimImage *image);
/* NULL: every image that @disk needs is there; else the path of the one that is not. Owned. */
char *gw_sim_missing(GwSim *sim, const SimHost *host, const GwDisk *disk);

/* sim_load_storage.c */
gboolean gw_sim_load_pools(GwSim *sim, SimHost *host, json_t *facts, GError **error);
gboolean gw_sim_load_files(GwSim *sim, SimHost *host, json_t *json, GError **error);
/* Once all hosts are there: images that VMs name and the file does not, and who runs on what. */
void gw_sim_load_disks(GwSim *sim);
/* The same of one VM that somebody defines later. */
void gw_sim_load_disks_of(GwSim *sim, const SimHost *host, const SimVm *vm);

void gw_sim_volume_serve(GwSim *sim, SimHost *host, const GwRequest *request, GwReply *reply);
/* Whether a VM of @host has @image as a disk, or below one. */
gboolean gw_sim_is_used(GwSim *sim, const SimHost *host, const SimImage *image);

/* sim_hba.c */
void gw_sim_hba_serve(GwSim *sim, SimHost *host, const GwRequest *request, GwReply *reply);

/* sim_copy.c. Answers when it is over. */
void gw_sim_begin_copy(GwSim *sim, SimHost *host, const GwRequest *request);
void gw_sim_copy_serve(GwSim *sim, SimHost *host, const GwRequest *request, GwReply *reply);
void gw_sim_copies_client_lost(GwSim *sim);
/* The controller does not reach @host. */
void gw_sim_copies_host_lost(GwSim *sim, const SimHost *host);
/* Ends copies between agents: of @host, to or from @other (NULL: any), of @vm_uuid (NULL: any). */
void gw_sim_break_copies(GwSim *sim, const SimHost *host, const SimHost *other,
                         const char *vm_uuid);
void gw_sim_copy_unref(gpointer copy);
/* Nothing that is due holds it any more. */
void gw_sim_copy_alone(gpointer copy);
gint64 gw_sim_slice(gint64 bytes);
gint64 gw_sim_span(gint64 bytes, gint64 bps, gint64 limit_mibps);

void gw_sim_block_serve(GwSim *sim, SimHost *host, const GwRequest *request, GwReply *reply);
void gw_sim_block_ended(GwSim *sim, const SimHost *host, const char *vm_uuid);
gboolean gw_sim_has_block_job(const GwSim *sim, const SimHost *host, const char *vm_uuid);
gboolean gw_sim_is_mirrored_to(const GwSim *sim, const SimImage *image);
void gw_sim_block_unref(gpointer job);
void gw_sim_block_alone(gpointer job);

/* sim_disks.c. FALSE: the move cannot begin. */
gboolean gw_sim_disks_begin(GwSim *sim, SimMove *move, SimVm *vm, GError **error);
gboolean gw_sim_copies_disks(const GwMigrate *how);
/* Another part of them; answers how long it takes, 0: they are done, -1: @why it failed. */
gint64 gw_sim_disks_round(GwSim *sim, SimMove *move, const char **why);
/* The source is paused: both ends are alike. */
void gw_sim_disks_final(GwSim *sim, SimMove *move);
void gw_sim_disks_over(SimMove *move);
void gw_sim_disks_fill(GwSim *sim, const SimMove *move, gint64 ms);
/* How far they are; 100 where none is copied. */
gint64 gw_sim_disks_percent(const SimMove *move);
/* NVRAM and TPM state come with memory. */
void gw_sim_disks_arrive(GwSim *sim, SimMove *move, const SimVm *vm);

/* sim_define.c */
void gw_sim_define_serve(GwSim *sim, SimHost *host, const GwRequest *request, GwReply *reply);
/* @vm's @disks (GwDisk) as @moves (GwDiskMove) say, as seen on @host. */
gboolean gw_sim_apply_moves(const SimHost *host, GwVm *vm, GPtrArray *disks, const GPtrArray *moves,
                            GError **error);
/* sim_network.c. The adapters of @vm as @moves (GwNicMove, may be NULL) has them. */
gboolean gw_sim_apply_nics(GwVm *vm, const GPtrArray *moves, GError **error);
/* Whether @host, where it tells its networks, has those that @vm's adapters are on. */
gboolean gw_sim_has_networks(const SimHost *host, const GwVm *vm, GError **error);
GPtrArray *gw_sim_disks_copy(const GPtrArray *disks);
/* The disks of the definition. */
GPtrArray *gw_sim_defined(const SimVm *vm);
/* The process is gone: the definition is what is left. */
void gw_sim_forget_live(SimVm *vm);

/* sim_fault.c. The first fault at @at that a copy has reached, or NULL; the caller's. */
SimFault *gw_sim_take_fault(GwSim *sim, const char *at, gint64 percent);
void gw_sim_fault_free(gpointer fault);
gboolean gw_sim_op_fault_known(const char *at, const char *what);
/* A host, with its agent where it has one, is away; its guests go on. */
void gw_sim_take_away(GwSim *sim, SimHost *host, gint64 ms);
/* All its processes end as well. */
void gw_sim_lose_power(GwSim *sim, SimHost *host, gint64 ms);
void gw_sim_fill(GwSim *sim, SimStore *store, gint64 ms);
/* Whether @request was struck, and is answered, or will be. Takes it then. */
gboolean gw_sim_op_struck(GwSim *sim, SimHost *host, GwRequest *request);

/* sim_content.c */
void gw_sim_violation(GwSim *sim, const char *format, ...) G_GNUC_PRINTF(2, 3);
guint gw_sim_new_content(GwSim *sim);
/* @vm begins to run, goes on running, and stops: what it wrote is on its disks. */
void gw_sim_runs(GwSim *sim, const SimHost *host, SimVm *vm);
void gw_sim_writes(GwSim *sim, const SimHost *host, const SimVm *vm);
void gw_sim_stops(GwSim *sim, const SimHost *host, SimVm *vm);
/* Its files are closed. */
void gw_sim_close_images(SimVm *vm);
/* It goes on with other images. */
void gw_sim_runs_elsewhere(GwSim *sim, const SimHost *host, SimVm *vm);
/* What was written until now is in it: it can be read. */
void gw_sim_settle_content(GwSim *sim, const SimImage *image);
void gw_sim_know_contents(GwSim *sim, const SimHost *host, const SimVm *vm);
