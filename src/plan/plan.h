/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "model/fabric.h"
#include "model/migration_plan.h"
#include "model/request.h"
#include "model/verdict.h"

/* The planner is pure: a picture of the fabric in, verdicts with reasons out. */

typedef struct GwStoragePlan GwStoragePlan;
/* What all candidates of one picture share (jobs by host, rules by VM): made once for as many
 * questions as are asked of that picture, by one thread at a time. */
typedef struct GwPlanShared GwPlanShared;
GwPlanShared *gw_plan_shared_new(const GwFabric *fabric);
void gw_plan_shared_free(GwPlanShared *shared);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwPlanShared, gw_plan_shared_free)

typedef struct {
    const GwFabric *fabric;
    const GwVm *vm;
    const GwHost *source;
    const GwHost *destination;
    const GwMoveOptions *options;
    GwCpuVerdict cpu; /* what the destination's libvirt said when it was asked to compare */
    const char
        *cpu_why; /* libvirt's words where incompatible; with UNKNOWN: why it could not tell */
    const char *job_id; /* the job of this very move, where there is one already: neither its hold
                           on the VM nor its memory counts against it */
    const GPtrArray *reaches; /* the planner's own: leave it NULL */
    const GPtrArray *hbas;    /* the same */
    /* What the hosts said of the VM's storage; all NULL in a list of candidates, where only facts
     * are at hand and nothing is asked. */
    const GPtrArray *images;      /* GwDiskImages: of the source */
    const GPtrArray *there;       /* GwVolume: those of the destination that bear a name that a disk
                                     would get; none: all names are free */
    const GPtrArray *reached;     /* GwDiskReached: of the destination (R28) */
    const GwStoragePlan *storage; /* the planner's own: leave it NULL */
    const GPtrArray *nics;        /* GwNicMove; the planner's own: leave it NULL */
    GwPlanShared *shared;         /* of @fabric; NULL: made for this question alone */
    gboolean brief;               /* the verdict without what only explains it: the explanations of
                                     transfer types, a rating's factors. Findings are there */
} GwPlanInput;

/* Where each disk goes, how, and which transfer type that comes to. */
struct GwStoragePlan {
    GwTransfer transfer;
    GPtrArray *disks;     /* GwDiskMove, in the VM's order; then nvram, tpm */
    GPtrArray *transfers; /* GwTransferOption: every type but None, in the enum's order (R34) */
    GPtrArray *findings;  /* GwFinding: what stands in the way of it; the storage rules show them */
};

/* storage.c. Within one host where destination is the source: Migrate Storage (R14). Never NULL. */
GwStoragePlan *gw_plan_storage(const GwPlanInput *input);
void gw_storage_plan_free(GwStoragePlan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwStoragePlan, gw_storage_plan_free)
/* networks.c. Where each adapter of the VM is attached at the destination, and why (R40):
 * GwNicMove, in the VM's order, at most 256. Never NULL; owned by the caller. */
GPtrArray *gw_plan_networks(const GwPlanInput *input);
/* The pools of @host as places to choose (GwStorageLocation): default locations first, then by free
 * space; only those that can hold images. */
GPtrArray *gw_plan_locations(const GwFabric *fabric, const GwHost *host);
/* The pool of @host that @storage (its name, its path, a share path) means, or NULL and an error
 * with the remedy (R16, R17). */
const GwPool *gw_plan_find_storage(const GwHost *host, const char *storage, GError **error);
/* What jobs that are not over still need of @pool of @host, without @job_id's own; of a share also
 * what goes to it through other hosts. */
gint64 gw_plan_promised_bytes(const GwFabric *fabric, const char *host_id, const char *pool,
                              const char *job_id);

/* @request as the options of a move of @vm within its host, with transfer type Storage: what
 * gw_plan_candidate and the scripts are given, source and destination being the same host. */
GwMoveOptions *gw_plan_storage_options(const GwVm *vm, const GwStorageRequest *request);
/* Whether a merge (commit or pull) runs on a disk of @vm, which a job with wait_for_merge waits for
 * instead of being refused (R31). @why gets which, in words (owned); may be NULL. */
gboolean gw_plan_merge_running(const GwVm *vm, char **why);

/* undo.c. What undoing @job would do now, and the request for it: @move for a job that moved a VM
 * between hosts, @storage for one that moved it within its host (both owned by the caller, NULL
 * where it is not that). */
GwUndoPlan *gw_plan_undo(const GwFabric *fabric, const GwJob *job, GwMoveRequest **move,
                         GwStorageRequest **storage);

/* What a move is to be, once nothing forbids it. All strings are owned. */
typedef struct {
    gboolean commit_by_resume; /* no proven cross-host lock covers every writable disk */
    gboolean through_agents;   /* both ends have one: every stream goes between those two */
    gboolean unsafe;           /* sharing proved where libvirt cannot see it */
    gboolean auto_converge;
    gboolean post_copy;
    gboolean tls;      /* QEMU's own; never through agents, where all is encrypted */
    char *compression; /* libvirt's method name: "zstd", "xbzrle"; NULL: none */
    gint64 channels;   /* 0: a single connection */
    gint64 bandwidth_mibps;
    gint64 max_downtime_ms;
    gint64 completion_timeout_us; /* of the whole copy; 0: none (R59) */
    gint64 progress_timeout_us;   /* without progress; 0: none (R60) */
    char *method_words; /* "Compression (multifd with zstd)" and why where it is not what was asked;
                           and how it travels */
} GwMoveDecision;

void gw_move_decision_free(GwMoveDecision *decision);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwMoveDecision, gw_move_decision_free)

/* Runs every preflight rule. Owned by the caller. */
GwCandidate *gw_plan_candidate(const GwPlanInput *input);
/* One candidate for every host (the source's own too, with its reason), rated, best first: suitable
 * before unsuitable, then by rating, name and id. options may be NULL. */
GPtrArray *gw_plan_candidates(const GwFabric *fabric, const GwVm *vm, const GwMoveOptions *options);
/* known_hosts.c. What rankings of one picture after the other read of hosts, kept for as long as
 * their records stay as they are: pictures that are published, since nobody changes those. For one
 * ranking at a time. */
typedef struct GwKnownHosts GwKnownHosts;
GwKnownHosts *gw_known_hosts_new(void);
/* For questions about one picture: less is read. */
GwKnownHosts *gw_known_hosts_for_once(void);
/* Lets go of what @fabric, a later picture, does not have as it was read: who keeps it would hold
 * on to VMs and hosts that nobody sees any more. */
void gw_known_hosts_drop_old(GwKnownHosts *known, const GwFabric *fabric);
void gw_known_hosts_free(GwKnownHosts *known);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwKnownHosts, gw_known_hosts_free)

/* ranking.c. The same hosts, in the same order, with the same transfer type, findings and rating,
 * for who looks at the order and reads few of them: those are @told, so many of the suitable ones
 * and of the others, and brief (GwPlanInput). Of the rest nothing is said of disks, adapters and
 * HBAs, and a finding that is the same for hosts that are alike has no words of its own: it says
 * what the rule requires. @known: NULL where nothing is kept. */
GPtrArray *gw_plan_ranking(const GwFabric *fabric, const GwVm *vm, const GwMoveOptions *options,
                           guint told, GwKnownHosts *known);
#define GW_TOLD_MAX 64 /* of a list: nobody reads a thousand */
GwMoveDecision *gw_plan_decide(const GwPlanInput *input);

/* rating.c. Sets candidate->rating (R33): what preflight found first, then the resources that the
 * destination would have left, by its group's policy. A candidate that is suitable has 0 stars
 * where a reserve would not be left: a person may move there, the planner places nothing there.
 * Where the destination is the source the VM takes nothing more: what its own host is worth to it
 * (a candidate without findings will do), to be compared with the others. docs/placement.md */
void gw_plan_rate(const GwPlanInput *input, GwCandidate *candidate);
/* Whether the destination's reserve of memory is left beside the VM and what other moves bring
 * (R57). Else @error says how much is missing. */
gboolean gw_plan_keeps_reserve(const GwPlanInput *input, GError **error);
/* The policy that holds for @host: its group's, or the nearest parent's that has one, or the
 * product's. Borrowed from the fabric, or static. */
const GwPlacementPolicy *gw_plan_policy(const GwFabric *fabric, const GwHost *host);
const GwPlacementPolicy *gw_plan_policy_of_group(const GwFabric *fabric, const char *group_id);

/* balance_read.c. How the group is balanced: its own settings, or the nearest parent's, or the
 * product's (off). Borrowed from the fabric, or static. */
const GwBalanceSettings *gw_plan_balance_settings(const GwFabric *fabric, const GwGroup *group);
/* Whether the host is balanced with the group: it is in it, or in a group below that has no
 * settings of its own. */
gboolean gw_plan_is_balanced_with(const GwFabric *fabric, const GwHost *host, const GwGroup *group);

/* place.c. The best host for @vm, and the best pool on it, within @where (id or name of a host or a
 * host group; NULL: everywhere): automatic placement (R26, R46). Within a group, or everywhere,
 * only default storage locations are taken. *@chosen gets @options with what was chosen filled in;
 * owned by the caller, as is the answer. NULL with REFUSED where none will do, the error saying why
 * the best of them does not; with NOT_FOUND where there is no such place. */
GwCandidate *gw_plan_place(const GwFabric *fabric, const GwVm *vm, const char *where,
                           const GwMoveOptions *options, GwMoveOptions **chosen, GError **error);
/* Whether @rule can be kept at all beside the others: names what contradicts it (R57). */
gboolean gw_plan_check_rule(const GwFabric *fabric, const GwPlacementRule *rule, GError **error);

/* predict.c. Learns from the finished jobs of @fabric, once for as many predictions as are asked of
 * one picture. */
typedef struct GwPredictor GwPredictor;
GwPredictor *gw_predictor_new(const GwFabric *fabric);
void gw_predictor_free(GwPredictor *predictor);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwPredictor, gw_predictor_free)
/* Never NULL; owned by the caller. @candidate: of @input, suitable. */
GwPrediction *gw_predict(const GwPredictor *predictor, const GwPlanInput *input,
                         const GwCandidate *candidate);

/* many.c. A plan of many moves (R19, R49): capacity, slots and rules hold at every step. What
 * cannot be moved is in its stays; an error only where the request itself is wrong. */
GwMigrationPlan *gw_plan_many(const GwFabric *fabric, const GwPlanRequest *request,
                              const GwPredictor *predictor, GError **error);
/* many_fingerprint.c. What @plan, which was just made, rests on: a line for each VM and host.
 * NULL-terminated, owned. */
char **gw_plan_rests_on(const GwFabric *fabric, const GwMigrationPlan *plan);
/* Of all that, in @fabric as it is now: where it is not plan->fingerprint, the plan has to be made
 * again. Of the plan's moves it looks at those alone that are no longer waiting: an order, or a
 * destination, that somebody changed makes no other one. Owned. */
char *gw_plan_fingerprint(const GwFabric *fabric, const GwMigrationPlan *plan);
/* CONFLICT, naming what has changed since the plan was made. */
gboolean gw_plan_check_drift(const GwFabric *fabric, const GwMigrationPlan *plan, GError **error);
/* many_asked.c. Whether @plan moves what its request asks for, to where that allows, and nothing
 * else. */
gboolean gw_plan_many_asked(const GwFabric *fabric, const GwMigrationPlan *plan, GError **error);
/* many_retime.c. Gives the moves of a plan that somebody changed new waves and times, by the order
 * in which they stand there: each begins when what it is to follow is over and both ends have
 * slots, and takes as long as it did. */
void gw_plan_many_retime(const GwFabric *fabric, GwMigrationPlan *plan);
/* many_check.c. Replays what of @plan still waits, from @fabric as it is now: an error names the
 * first move that would break capacity, slots, a rule or the order (for a plan that was kept, or
 * changed by hand). It shares nothing with the planner but the preflight rules. */
gboolean gw_plan_many_check(const GwFabric *fabric, const GwMigrationPlan *plan, GError **error);
/* many_ready.c. Whether move @index (from 0) of @plan may begin now, by the states of the others;
 * @why gets what it waits for (owned). Slots and preflight are the queue's. */
gboolean gw_plan_move_ready(const GwMigrationPlan *plan, guint index, char **why);
/* The same for all moves of a plan, of thousands too, as it is now: it is to be made again when a
 * state changes. Of a plan that was made anew, the moves before @first had begun by then: the later
 * ones are proven without them, whatever became of those. @beginning: UUIDs of VMs whose move is
 * being begun, and says so only later: its host counts as one that is being emptied; may be NULL.
 */
typedef struct GwPlanTurns GwPlanTurns;
GwPlanTurns *gw_plan_turns_new(const GwMigrationPlan *plan, guint first, GHashTable *beginning);
void gw_plan_turns_free(GwPlanTurns *turns);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwPlanTurns, gw_plan_turns_free)
gboolean gw_plan_turns_ready(const GwPlanTurns *turns, guint index, char **why);

/* Whether a move between the two goes through their agents: both have one, and it answers. */
gboolean gw_plan_through_agents(const GwHost *source, const GwHost *destination);

/* R43. NULL-terminated, owned. */
char **gw_plan_script_cli(const GwPlanInput *input);
char **gw_plan_script_virsh(const GwPlanInput *input, const GwMoveDecision *decision,
                            gboolean peer_to_peer);

/* share.c: what storage is. */
/* The identity of @pool's storage, equal on two hosts exactly when they see the same (R4): from
 * server + export for netfs, cluster + pool for rbd, … and, for a plain directory, only from a
 * proved GwShare. A server that is the host itself (localhost) identifies nothing: another host
 * would mean its own. NULL: local. */
char *gw_share_id_of_pool(const GwFabric *fabric, const GwHost *host, const GwPool *pool);
/* The active pool whose directory holds @path on @host (the deepest), or NULL. */
const GwPool *gw_share_pool_of_path(const GwHost *host, const char *path);

/* slots.c: the ledger, derived from the jobs, never counted separately (R20-R23). */
typedef struct {
    gint64 live;
    gint64 storage;
} GwSlots;

/* What jobs that hold slots use on @host_id now. */
GwSlots gw_slots_in_use(const GwFabric *fabric, const char *host_id);
/* The same of all hosts that have any in use: id -> GwSlots. Its keys are borrowed from the jobs.
 */
GHashTable *gw_slots_table(const GwFabric *fabric);
/* What a move of this type takes at each end (R22). */
GwSlots gw_slots_of_transfer(GwTransfer transfer);
/* Whether @job may begin now; @why gets the reason where not (owned). */
gboolean gw_slots_fit(const GwFabric *fabric, const GwJob *job, char **why);

/* rules: each is a row of gw_rules, in the order they are shown. */
typedef enum {
    GW_RULE_LIVE = 1 << 0,        /* the VM runs, and goes to another host */
    GW_RULE_OFF = 1 << 1,         /* it is off, and goes to another host */
    GW_RULE_WITHIN_LIVE = 1 << 2, /* it runs, and its storage moves on its host (R14) */
    GW_RULE_WITHIN_OFF = 1 << 3,
    GW_RULE_MILD_OFF = 1 << 4, /* of a VM that is off, what it finds is a warning: it may be put
                                  right before the VM starts */
    GW_RULE_MOVES = GW_RULE_LIVE | GW_RULE_OFF,
    GW_RULE_STARTS = GW_RULE_MOVES | GW_RULE_MILD_OFF, /* about what the VM needs to run there */
    GW_RULE_ALWAYS = GW_RULE_MOVES | GW_RULE_WITHIN_LIVE | GW_RULE_WITHIN_OFF,
} GwRuleWhen;

typedef struct GwRule GwRule;
struct GwRule {
    const char *name;        /* "pci-passthrough" */
    const char *requirement; /* "R55" */
    GwSeverity severity;
    const char *summary; /* for docs and --help */
    guint when;          /* GwRuleWhen: the moves it is about */
    /* Appends a finding for each thing that does not meet the rule; a finding may be milder than
     * the rule's severity. Called by gw_plan_candidate only, which prepares @input. */
    void (*check)(const GwRule *self, const GwPlanInput *input, GPtrArray *findings);
};
extern const GwRule *const gw_rules[]; /* ends with NULL */
