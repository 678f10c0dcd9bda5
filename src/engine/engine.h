/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/clock.h"
#include "model/cpu_baseline.h"
#include "model/fabric.h"
#include "model/join.h"
#include "model/migration_plan.h"
#include "model/request.h"
#include "model/verdict.h"

/* The engine owns the fabric and the jobs. One loop decides; everything that happens reaches it as
 * an event. All functions here may be called from any thread but the loop's own; those that change
 * something wait for the loop's answer, at most as long as hosts' deadlines allow (30 s). */
typedef struct GwEngine GwEngine;
typedef struct GwStore GwStore;
typedef struct GwHyper GwHyper;
typedef struct GwFeed GwFeed;

/* The current picture; a new reference. Never blocks on the loop. */
GwFabric *gw_engine_fabric(GwEngine *engine);
GwFeed *gw_engine_feed(GwEngine *engine);

/* Changes a record in place, as far as a person may; FALSE with @error: it stays as it is. Called
 * on the loop with the record as it is when its turn comes, so that of two changes at once neither
 * takes back what the other said; of a host whose URI changes, again once that was tried. It waits
 * for nothing, and calls nothing of the engine. */
typedef gboolean (*GwEdit)(gpointer record, gpointer user, GError **error);

/* Groups, hosts and shares. Records passed in are copied; records returned are the caller's.
 * @user is recorded as who asked. */
GwGroup *gw_engine_add_group(GwEngine *engine, const GwGroup *group, GError **error);
GwGroup *gw_engine_change_group(GwEngine *engine, const char *id, GwEdit edit, gpointer user,
                                GError **error);
gboolean gw_engine_remove_group(GwEngine *engine, const char *id, GError **error);
/* Connects first, and stores nothing where that fails: unreachable, slow (GW_ERR_UNREACHABLE), no
 * libvirt URI (INVALID), a name, URI or host already managed (CONFLICT). */
GwHost *gw_engine_add_host(GwEngine *engine, const GwHost *host, GError **error);
/* All that a person may set. A new URI is tried first, as when adding. */
GwHost *gw_engine_change_host(GwEngine *engine, const char *id, GwEdit edit, gpointer user,
                              GError **error);
/* Refused while a job uses it. Its VMs go on running; only the management ends. */
gboolean gw_engine_remove_host(GwEngine *engine, const char *id, GError **error);
gboolean gw_engine_refresh_host(GwEngine *engine, const char *id, GError **error);
/* Nothing is moved: with @on the host gets no VM any more, and is in maintenance once no VM runs
 * there; otherwise it takes VMs again (R49). */
GwHost *gw_engine_set_maintenance(GwEngine *engine, const char *id, gboolean on, GError **error);
/* Rules of where VMs may run (R57). VMs are named by UUID, hosts by id. A rule that cannot be kept
 * beside the others is refused (CONFLICT). */
/* Required rules that cannot be kept as things are now: GwRuleConflict, owned (R57). */
GPtrArray *gw_engine_rule_conflicts(GwEngine *engine);
GwPlacementRule *gw_engine_add_rule(GwEngine *engine, const GwPlacementRule *rule, GError **error);
GwPlacementRule *gw_engine_change_rule(GwEngine *engine, const char *id, GwEdit edit, gpointer user,
                                       GError **error);
gboolean gw_engine_remove_rule(GwEngine *engine, const char *id, GError **error);
/* Stores the declaration and begins the job that proves it. */
GwJob *gw_engine_add_share(GwEngine *engine, const GwShare *share, const char *user,
                           GError **error);
GwJob *gw_engine_prove_share(GwEngine *engine, const char *id, const char *user, GError **error);
gboolean gw_engine_remove_share(GwEngine *engine, const char *id, GError **error);

/* Boots a VM that is off, lets a paused one go on (R3). Refused while a job holds it, and where
 * another host's copy runs or cannot be seen (CONFLICT). */
GwVm *gw_engine_start_vm(GwEngine *engine, const char *vm, GError **error);

/* GwCandidate of every host, best first; @brief as in GwPlanInput. @vm is a UUID, a name or
 * HOST/NAME. */
GPtrArray *gw_engine_candidates(GwEngine *engine, const char *vm, const GwMoveOptions *options,
                                gboolean brief, GError **error);
/* Moves. @request->destination is a host, or a host group: the best host of it, and its best
 * storage, are chosen (R46), or REFUSED where none will do. */
GwMovePlan *gw_engine_plan_move(GwEngine *engine, const char *vm, const GwMoveRequest *request,
                                GError **error);
/* Where preflight refuses (GW_ERR_REFUSED), *@plan (may be NULL) gets the findings. */
GwJob *gw_engine_migrate(GwEngine *engine, const char *vm, const GwMoveRequest *request,
                         const char *user, GwMovePlan **plan, GError **error);

/* What could not leave @host now, and why: each of its VMs, those that stay first (GwLeaving, R49).
 * Nothing is asked of any host. */
GPtrArray *gw_engine_leaving(GwEngine *engine, const char *host, GError **error);

/* Moves a VM's storage within its host (R14); a dry run as above. */
GwMovePlan *gw_engine_plan_storage(GwEngine *engine, const char *vm,
                                   const GwStorageRequest *request, GError **error);
GwJob *gw_engine_migrate_storage(GwEngine *engine, const char *vm, const GwStorageRequest *request,
                                 const char *user, GwMovePlan **plan, GError **error);
/* The pools of a host as places for disks (GwStorageLocation, R16). */
GPtrArray *gw_engine_locations(GwEngine *engine, const char *host, GError **error);
/* What undoing a job would do, and doing it: the job that does it. Where preflight refuses it,
 * *@refused (may be NULL) gets the findings. */
GwUndoPlan *gw_engine_plan_undo(GwEngine *engine, const char *job, GError **error);
GwJob *gw_engine_undo(GwEngine *engine, const char *job, const char *user, GwMovePlan **refused,
                      GError **error);
/* Removes a kept copy before its time. */
GwJob *gw_engine_remove_kept(GwEngine *engine, const char *id, const char *user, GError **error);
GwJob *gw_engine_cancel_job(GwEngine *engine, const char *job, GError **error);
GwJob *gw_engine_change_job(GwEngine *engine, const char *job, const GwJobChange *change,
                            GError **error);
GwJob *gw_engine_post_copy(GwEngine *engine, const char *job, GError **error);
GwJob *gw_engine_settle_job(GwEngine *engine, const char *job, GwKeep keep, GError **error);

/* Plans of many moves (R19, R49). Making one changes nothing, and never waits for the loop. */
GwMigrationPlan *gw_engine_plan(GwEngine *engine, const GwPlanRequest *request, GError **error);
/* Carries @plan out, which may have been reviewed and changed: CONFLICT where what it rests on is
 * not as it was, or a move breaks what a plan promises; INVALID where it is not what its request
 * asks for. Hosts to be drained get no VM from now on where the request says maintenance. */
GwJob *gw_engine_apply_plan(GwEngine *engine, const GwMigrationPlan *plan, const char *user,
                            GError **error);
/* How the host group (id or name) is balanced just now, with its standing recommendation. */
GwBalanceStatus *gw_engine_balance(GwEngine *engine, const char *group, GError **error);
/* Of a job that carries out a plan: begin no further move, or go on. */
GwJob *gw_engine_pause_job(GwEngine *engine, const char *job, gboolean on, GError **error);

/* Tokens. The first administrator token is made when the store has none at all. */
/* The user of @token, or NULL with GW_ERR_UNAUTHORIZED. */
char *gw_engine_check_token(GwEngine *engine, const char *token, GError **error);

/* How hosts get their agents. A token is made by a person and used by an agent, once; the one that
 * is returned holds the token itself, and no other answer does. UNSUPPORTED without an authority.
 */
GwJoinToken *gw_engine_add_join_token(GwEngine *engine, const GwJoinToken *token, const char *user,
                                      GError **error);
GPtrArray *gw_engine_join_tokens(GwEngine *engine, GError **error); /* GwJoinToken, oldest first */
gboolean gw_engine_remove_join_token(GwEngine *engine, const char *id, GError **error);
/* Never waits for the loop: what is not known (UNAUTHORIZED) costs it nothing. */
gboolean gw_engine_knows_join_token(GwEngine *engine, const char *token, GError **error);
/* Makes the host of the token and the certificate for its agent. @peer: the address that it came
 * from; NULL: not known. The token is used up only where this succeeds. */
GwJoinAnswer *gw_engine_join(GwEngine *engine, const GwJoinRequest *request, const char *peer,
                             GError **error);
/* Tries what a move from @host (id or name) to @peer needs, or with @peer NULL what every move of
 * @host needs: GwCheckLine. */
GPtrArray *gw_engine_check_host(GwEngine *engine, const char *host, const char *peer,
                                GError **error);

/* What a restart of @vm (UUID or name) would change, and what that means for moves (R11). */
GwRestart *gw_engine_restart(GwEngine *engine, const char *vm, GError **error);

/* cpu_baseline.c: the hosts are asked. CONFLICT where there are too many kinds of hosts. */
GwCpuBaseline *gw_engine_cpu_baseline(GwEngine *engine, const GwCpuBaselineRequest *request,
                                      GError **error);

/* What was answered to an Idempotency-Key: {"fingerprint": …, "status": …, "location": …, "body":
 * …} as the API laid it down; NULL where the key is new. New reference. */
json_t *gw_engine_recall_reply(GwEngine *engine, const char *key, GError **error);
gboolean gw_engine_remember_reply(GwEngine *engine, const char *key, json_t *reply, GError **error);
