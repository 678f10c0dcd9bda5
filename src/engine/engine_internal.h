/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "engine/engine.h"
#include "engine/feed.h"
#include "hyper/hyper.h"
#include "job/tasks.h"
#include "plan/plan.h"
#include "store/store.h"
#include "wire/identity.h"

/* What the files of this room share. Everything here runs on the loop, unless it says otherwise. */

typedef struct Call Call;
typedef struct HostRun HostRun;
typedef struct TaskRun TaskRun;
typedef struct GwLinks GwLinks;
typedef struct GwUsageWatch GwUsageWatch;
typedef struct GwPredictions GwPredictions;
typedef struct GwBalanceWatch GwBalanceWatch;

struct GwEngine {
    GwClock *clock;
    GwStore *store;
    GwHyper *hyper;
    GwFeed *feed;
    GAsyncQueue *inbox; /* Message; the only way in from other threads */
    GThread *loop;      /* NULL under a virtual clock: the caller's thread is the loop */
    GThread *journal;
    GAsyncQueue *journal_inbox;

    GMutex lock; /* guards published */
    GwFabric *published;
    GwFabric *draft; /* being changed in this turn; NULL: nothing changed */
    GPtrArray *news; /* what the feed is to say when the draft is published */
    GHashTable
        *slotted; /* ids of hosts that were shown with slots in use; NULL: none was looked at */
    GPtrArray *answered; /* Call; to be told when the draft is published */

    guint64 last_request;
    GHashTable *pending;   /* request id -> Pending */
    GHashTable *hosts;     /* host id -> HostRun */
    gint64 hosts_due_us;   /* none of their deadlines is earlier; 0: there is none */
    GHashTable *runs;      /* job id -> JobRun */
    GHashTable *planners;  /* GThread: each plans anew what is left of a plan, or for a balance */
    GHashTable *task_runs; /* job id -> TaskRun */
    guint64 last_task_question;
    GwLinks *links;
    GwUsageWatch *usage;
    gboolean usage_wanted; /* nothing is read or sampled otherwise */
    GHashTable *dirty;     /* "host/uuid" -> Sample: under way */
    GQueue *dirty_later;   /* "host/uuid": to be sampled when there is room */
    GwPredictions *predictions;
    GMutex known_lock; /* guards known */
    GwKnownHosts *known;
    gint64 known_us; /* when what is old in it was dropped last */
    GwBalanceWatch *balance;
    GHashTable *kept;      /* kept copy's id -> KeptRun; the records are in the picture */
    gint64 kept_us;        /* when to look at kept copies again */
    GPtrArray *changing;   /* ids of groups, hosts and rules whose change is being journaled */
    GQueue *changes;       /* Waiting: changes that are to be checked after these */
    GHashTable *accepting; /* whose new job is being journaled: VM UUIDs; "host/ID", "plan/UUID" */
    GPtrArray *coming;     /* GwJob, borrowed: new ones that are being journaled */
    GHashTable *epochs;    /* vm uuid -> gint64 *, the highest handed out */
    GHashTable *tokens; /* SHA-256 of token, hex -> user; read by check_token under tokens_lock */
    GMutex tokens_lock;
    GHashTable *joins;      /* SHA-256 of join token, hex -> GwJoinToken; changed by the loop, under
                               tokens_lock */
    GwAuthority *authority; /* NULL: no agents */
    GHashTable *certificates; /* serial -> GwIssued: every one that has not ended */
    guint jobs_kept;          /* how many there were when they were trimmed last */
    GQueue *jobs_stored;      /* ids of jobs that only the store has still, the first to go first */
    guint jobs_stored_max;
    gboolean schedule; /* a queue or a slot changed: look at the queue at the end of the turn */
    gboolean stopping;
    char *store_trouble; /* why the last commit that could fail did */
};

/* engine.c: turns, messages, publishing ----------------------------------------------------- */

typedef void (*MessageFn)(GwEngine *engine, gpointer data);
/* From any thread. */
void gw_engine_post(GwEngine *engine, MessageFn fn, gpointer data);

/* Takes all messages there are, waiting up to @wait_us for the first (a virtual clock is advanced
 * instead). TRUE: something was done. */
gboolean gw_engine_turn(GwEngine *engine, gint64 wait_us);

/* picture.c */
GPtrArray *gw_picture_news_new(void);
/* The end of a turn: what was changed is seen from now on, and told. */
void gw_picture_publish(GwEngine *engine);
/* The picture as it is within this turn; never NULL, never kept. */
const GwFabric *gw_engine_now(GwEngine *engine);
/* The same, to be changed; it is published at the end of the turn. */
GwFabric *gw_engine_change(GwEngine *engine);
/* For people: the host's name, or its id where it is not managed any more. */
const char *gw_engine_host_name(GwEngine *engine, const char *host_id);
/* Says in the feed that a record changed or went; @type: host, group, vm, share, job, kept, rule.
 */
void gw_engine_tell(GwEngine *engine, const char *type, const char *id, const char *host_id);

/* Asks a driver; @done gets the reply exactly once, on the loop (the reply is freed after it). At
 * the deadline it gets GW_ERR_TIMEOUT. @key is copied; what it names may be gone by then. */
typedef void (*ReplyFn)(GwEngine *engine, const GwReply *reply, const char *key, gint64 number);
void gw_engine_ask(GwEngine *engine, GwRequest *request, ReplyFn done, const char *key,
                   gint64 number);

/* Makes @batch durable, then runs @then on the loop (in the order of these calls). Where the store
 * refuses: if @failed is NULL it is tried again until it succeeds, else @failed is run. */
void gw_engine_journal(GwEngine *engine, GwBatch *batch, MessageFn then, MessageFn failed,
                       gpointer data);

/* placement.c: any thread. @request, or, where its destination is a host group, the move to the
 * best host and storage of it (R46), of a host with best_storage the move to that storage (R26);
 * NULL where none will do. */
GwMoveRequest *gw_placement_choose(GwEngine *engine, const char *vm, const GwMoveRequest *request,
                                   GError **error);

/* maintenance.c: a host that is being emptied is in maintenance once nothing runs there any more;
 * looked at whenever hosts, VMs or jobs changed. */
void gw_maintenance_look(GwEngine *engine);
/* What a host that is to be emptied is in from now on: GW_MAINTENANCE_ENTERING, or _IN where it is
 * empty already. */
GwMaintenance gw_maintenance_on(GwEngine *engine, const GwHost *host);
/* Of a host whose record nobody is changing: in the picture, and in @batch. */
void gw_maintenance_put(GwEngine *engine, GwBatch *batch, const GwHost *old,
                        GwMaintenance maintenance);

/* journal.c */
gpointer gw_journal_thread(gpointer engine);
void gw_journal_stop(GwEngine *engine);

/* startup.c */
gboolean gw_startup_load(GwEngine *engine, GError **error);

/* calls.c: a call of another thread that waits for the loop's answer. */
typedef void (*CallFn)(GwEngine *engine, Call *call);
typedef void (*CallOver)(GwEngine *engine, gpointer result, const GError *error, gpointer user);
struct Call {
    gint refs;
    GwEngine *engine;
    CallFn fn;
    gconstpointer in[4]; /* the caller's, valid until the call is answered */
    gpointer result;
    gpointer extra;
    GError *error;
    gboolean done;
    CallOver over; /* the loop itself asked: takes the result; NULL: a thread waits */
    gpointer user;
    GMutex lock;
    GCond cond;
};
/* Any thread: runs @fn on the loop and waits for its answer; the result, or NULL with @error. */
gpointer gw_engine_call(GwEngine *engine, CallFn fn, gconstpointer a, gconstpointer b,
                        gconstpointer c, gpointer *extra, GError **error);
/* The same for a change of records that is checked against others: gw_records_in_turn. */
gpointer gw_engine_call_in_turn(GwEngine *engine, CallFn fn, gconstpointer a, gconstpointer b,
                                GError **error);
/* The loop only: runs @fn at once, and @over once that is answered; nobody waits. What @fn is given
 * (@a) has to be valid until @fn returns. */
void gw_call_from_loop(GwEngine *engine, CallFn fn, gconstpointer a, CallOver over, gpointer user);
/* Answers at the end of the turn, once, when readers see what it changed; takes @result or @error.
 */
void gw_engine_answer(Call *call, gpointer result, GError *error);

/* Wakes whom this turn answered: after the picture is published, so that they find in it what they
 * were answered (the job of a 202's Location). */
void gw_calls_deliver(GwEngine *engine);
/* The host, or NULL with what to answer. */
const GwHost *gw_engine_find_host(GwEngine *engine, const char *which, GError **error);
/* The same; NULL: @call has been answered. */
const GwHost *gw_call_find_host(GwEngine *engine, Call *call, const char *which);
/* What to answer where the store refused @what ("the change"). */
GError *gw_engine_store_error(GwEngine *engine, const char *what);
/* What follows when a change is durable, or is refused. */
typedef struct {
    const char *what; /* could not be recorded; NULL: "the change" */
    /* The result to answer with; NULL: it sees to the answer itself. */
    gpointer (*done)(GwEngine *engine, gpointer data);
    void (*failed)(GwEngine *engine, gpointer data); /* NULL: nothing is to be taken back */
    GDestroyNotify free;                             /* of the data, in either case; may be NULL */
} CallCommit;
/* Takes @batch and @data, and answers @call (NULL: nobody waits) once the store has it, or not. */
void gw_call_commit(GwEngine *engine, Call *call, GwBatch *batch, const CallCommit *commit,
                    gpointer data);

char *gw_engine_rfc3339(GwEngine *engine);
char *gw_engine_new_id(GwEngine *engine);

/* check.c: preflight on fresh facts ---------------------------------------------------------- */

typedef struct {
    GwMovePlan *plan;         /* NULL where a host could not be asked: see error */
    GwMoveDecision *decision; /* NULL where refused */
    GPtrArray *disks;         /* GwDiskMove: where each disk goes; NULL where refused */
    GwVm *vm;                 /* as the source host just said */
    GError *error;            /* refused, or could not be asked */
    GPtrArray *nics;          /* GwNicMove: where each adapter goes; NULL where it is refused */
    GPtrArray *hbas;          /* GwHbaMove, the same of virtual HBAs */
    GwPlanInput input;        /* what it was judged by; borrowed, and nothing without a plan */
} CheckResult;
typedef void (*CheckFn)(GwEngine *engine, CheckResult *result, gpointer user);
/* Adds to the plan what a person is shown beside the verdict: a rating, and scripts. Within @done,
 * before anything of @result is taken. */
void gw_check_explain(CheckResult *result);
/* A move of a plan, which was proven to leave reserves alone, is refused where another plan, or a
 * person, took the room since (@result's error). Like the above. */
void gw_check_reserve(CheckResult *result);
/* @job's disks, adapters, virtual HBAs and transfer type are from now on as @result, which forbids
 * nothing, has them; what it held of them goes to the job. */
void gw_check_take(CheckResult *result, GwJob *job);
/* Asks source and destination (which may be one host: Migrate Storage), plans, and answers once;
 * @result belongs to the callee's call. */
void gw_check_begin(GwEngine *engine, const char *vm_uuid, const char *source_id,
                    const char *destination_id, const GwMoveOptions *options,
                    const char *own_job_id, CheckFn done, gpointer user);

/* check_storage.c: what a preflight asks of storage. */
typedef struct StorageCheck StorageCheck;
/* Borrowed: they outlive the check. */
typedef struct {
    const GwVm *vm;
    const char *source_id, *destination_id;
    const char *own_job_id;
    const GwMoveOptions *options;
} StorageAsk;
/* @error: what a host could not be asked; NULL: all was answered. */
typedef void (*StorageChecked)(GwEngine *engine, const GError *error, gpointer user);
StorageCheck *gw_storage_check_new(StorageAsk ask);
void gw_storage_check_free(StorageCheck *check);
/* Asks what the planner needs, in as few rounds as there can be, and calls @done once. */
void gw_storage_check_begin(GwEngine *engine, StorageCheck *check, StorageChecked done,
                            gpointer user);
/* With what was answered; valid within this turn. FALSE: a host was removed. */
gboolean gw_storage_check_input(GwEngine *engine, const StorageCheck *check, GwPlanInput *input);

/* jobs.c: jobs of every kind that has a table ------------------------------------------------- */

/* A job of the store that is not over; takes it. */
void gw_jobs_restore(GwEngine *engine, GwJob *job);
void gw_jobs_start_restored(GwEngine *engine);
/* jobs_kept.c: forgets the oldest that are over, where there are many: first in the picture, then
 * in the store. */
void gw_jobs_trim(GwEngine *engine);
void gw_jobs_host_back(GwEngine *engine, const char *host_id);
gint64 gw_jobs_next_us(GwEngine *engine);
void gw_jobs_timers(GwEngine *engine, gint64 now_us);
void gw_job_run_free(gpointer run);

/* moves.c: jobs of the kind vm-migrate ------------------------------------------------------- */

void gw_moves_restore(GwEngine *engine, GwJob *job);
void gw_moves_lifecycle(GwEngine *engine, const GwHyperEvent *event);
void gw_moves_alarm(GwEngine *engine, const GwHyperEvent *event);
/* The VM's next epoch, which @batch makes durable. */
gint64 gw_moves_next_epoch(GwEngine *engine, const char *uuid, GwBatch *batch);

/* move_calls.c: a move that somebody wants begun; borrowed. */
typedef struct {
    const char *vm;
    const GwMoveRequest *request;
    const char *user;
    const char *undoes; /* the job that it undoes; NULL: none */
} BeginMove;
/* Any thread: what gw_engine_migrate does. */
GwJob *gw_moves_begin(GwEngine *engine, const BeginMove *begin, GwMovePlan **plan, GError **error);

/* move_merge.c: whether a block job runs on a disk, which a move can wait for (R31). */
gboolean gw_moves_is_merging(const GwVm *vm);
/* What is waited for: which disk, what runs on it and, unless negative, how far it is. */
char *gw_moves_merge_words(const GwVm *vm, int percent);

/* move_agents.c: asks both ends of a job's leave to end it; each answers with @round. */
void gw_moves_ask_close(GwEngine *engine, const GwJob *job, ReplyFn answered, gint64 round);
/* Where other agents reach that host's: "ip:port", or NULL: as the controller does. */
char *gw_agent_address(GwEngine *engine, const char *host_id);

/* links.c: the paths between agents, measured from time to time */
GwLinks *gw_links_new(void);
void gw_links_free(GwLinks *links);
/* A host is listed: its paths to the others are to be measured. */
void gw_links_host_up(GwEngine *engine, const char *host_id);
gint64 gw_links_next_us(GwEngine *engine);
void gw_links_timers(GwEngine *engine, gint64 now_us);

/* usage.c: what hosts and VMs use, read from time to time */
GwUsageWatch *gw_usage_new(gint64 interval_us); /* 0: a minute; negative: nothing is read */
void gw_usage_free(GwUsageWatch *watch);
/* A host is listed: it is to be read. */
void gw_usage_host_up(GwEngine *engine, const char *host_id);
/* Somebody wants to know now. */
void gw_usage_read_now(GwEngine *engine, const char *host_id);
gint64 gw_usage_next_us(GwEngine *engine);
void gw_usage_timers(GwEngine *engine, gint64 now_us);
/* What a sample found; -1: nothing could be found out. */
void gw_usage_put_dirty(GwEngine *engine, const char *host_id, const char *uuid, gint64 dirty_bps);

/* dirty.c: samples of what VMs dirty */
typedef void (*GwSampled)(GwEngine *engine, gpointer user);
GHashTable *gw_dirty_new(void);
/* Samples @vm unless that was done within the last minute, or cannot be now (off, copied, too many
 * under way); @done (NULL: nobody waits) is called once either way, maybe at once. */
void gw_dirty_sample(GwEngine *engine, const GwVm *vm, GwSampled done, gpointer user);
/* For who is about to move it: a second, and @done follows within a second and a half anyway. */
void gw_dirty_sample_briefly(GwEngine *engine, const GwVm *vm, GwSampled done, gpointer user);
/* When there is room; nobody waits for it, and of many the first 64 are. */
void gw_dirty_sample_later(GwEngine *engine, const char *host_id, const char *uuid);
gint64 gw_dirty_next_us(GwEngine *engine);
void gw_dirty_timers(GwEngine *engine, gint64 now_us);
/* Who waits is told; nothing is sampled any more. */
void gw_dirty_stop(GwEngine *engine);

/* predictions.c: what moves would take */
GwPredictions *gw_predictions_new(void);
void gw_predictions_free(GwPredictions *predictions);
/* Puts a prediction into @candidate where it is suitable; of a list, best first, into the best 64.
 */
void gw_predictions_add(GwEngine *engine, const GwPlanInput *input, GwCandidate *candidate);
void gw_predictions_add_all(const GwFabric *fabric, const GwVm *vm, const GwMoveOptions *options,
                            const GPtrArray *candidates);
/* @job is about to begin as @plan says: what was predicted is kept with it. */
void gw_predictions_note(GwJob *job, const GwMovePlan *plan);

/* tasks.c: a job's tasks (job/tasks.h), carried out one after the other, and shown and journaled
 * before and after each. The owner of the job (moves, works) keeps it where it is meanwhile. */
/* @error: the task that failed, with its host and what it was (of an undo: the first; the others
 * were tried all the same); CANCELLED after gw_tasks_stop. Called from a turn of its own. */
typedef void (*TasksDone)(GwEngine *engine, const char *job_id, const GError *error);
/* Does (or, with @undo, undoes) the tasks of @turn that are left; a host that does not answer is
 * waited for, and that is said in the job's waiting_for. One run of a job at a time. Of AFTER tasks
 * those that the VM does not need (its start, autostart, snapshots' records, deleting old copies)
 * may fail: the rest is done, and gw_tasks_remarks says so. */
void gw_tasks_run(GwEngine *engine, const char *job_id, GwTaskTurn turn, gboolean undo,
                  TasksDone done);
/* Breaks off BEFORE tasks: the copy or mirror that is under way, or at the next task; TasksDone
 * follows. */
void gw_tasks_stop(GwEngine *engine, const char *job_id);
/* The limit in job->options changed: what copies takes it. */
void gw_tasks_change(GwEngine *engine, const char *job_id);
/* A host answers again: tasks that wait for it go on. */
void gw_tasks_host_back(GwEngine *engine, const char *host_id);
gint64 gw_tasks_next_us(GwEngine *engine);
void gw_tasks_timers(GwEngine *engine, gint64 now_us);
/* The job under way with that id, to be changed; NULL: none. */
GwJob *gw_tasks_job(GwEngine *engine, const char *job_id);
void gw_task_run_free(gpointer run);

/* works.c: jobs of the kinds vm-transfer, vm-migrate-storage, job-repair and volume-remove. */
void gw_works_restore(GwEngine *engine, GwJob *job);
void gw_works_lifecycle(GwEngine *engine, const GwHyperEvent *event);

/* plan_maintenance.c: a person has closed or opened a host, and that is durable: from now on it is
 * no drain's to give back. */
void gw_plans_maintenance_said(GwEngine *engine, gpointer host_id);

/* balance.c: host groups that are balanced by themselves, or have a standing recommendation. */
GwBalanceWatch *gw_balance_new(void);
void gw_balance_free(GwBalanceWatch *watch);
gint64 gw_balance_next_us(GwEngine *engine);
void gw_balance_timers(GwEngine *engine, gint64 now_us);
/* A picture was published: a look that is due rests on it. */
void gw_balance_published(GwEngine *engine);

/* plans.c: jobs that carry out a plan of many moves. */
gboolean gw_plans_is_kind(const char *kind);
void gw_plans_restore(GwEngine *engine, GwJob *job);
/* The job under way that empties this host, or brings its VMs back; NULL: none. */
const GwJob *gw_plans_job_for(GwEngine *engine, const char *host_id);
/* A job or a slot changed: what is over is noted, what may begin begins. */
void gw_plans_schedule(GwEngine *engine);
/* A picture was published: planning anew, where it is due, rests on it. */
void gw_plans_published(GwEngine *engine);
/* Waits for the threads that plan. */
void gw_plans_stop(GwEngine *engine);

/* storage_calls.c. Any thread: what gw_engine_migrate_storage does; @undoes: the job that it
 * undoes, or NULL. */
GwJob *gw_storage_begin(GwEngine *engine, const char *vm, const GwStorageRequest *request,
                        const char *user, const char *undoes, GwMovePlan **plan, GError **error);

/* undo.c: @job undoes the job @undoes. In @batch, and, once that is durable, for everybody. */
void gw_undo_put_link(GwEngine *engine, GwBatch *batch, const GwJob *job);
void gw_undo_show_link(GwEngine *engine, const GwJob *job);

/* default_storage.c (R18): the pools that @job moved disks to become default locations of their
 * host, where that was asked for: in the picture, and in @batch. In turn (gw_records_in_turn): what
 * is being stored of the host knows nothing of them. */
gboolean gw_default_storage_is_wanted(const GwJob *job);
void gw_default_storage_add(GwEngine *engine, GwBatch *batch, const GwJob *job);

/* kept.c: old copies of disks */
GHashTable *gw_kept_new(void);
gboolean gw_kept_load(GwEngine *engine, GError **error);
/* The old copy that @task (VOLUME_KEEP, or a VOLUME_DELETE that was refused) leaves, in @batch; its
 * time is job->keep_source_s. */
void gw_kept_add(GwEngine *engine, GwBatch *batch, const GwJob *job, const GwTask *task);
/* The kept copy of that volume is gone, or is the live one again. */
void gw_kept_forget(GwEngine *engine, GwBatch *batch, const char *host_id, const GwVolume *volume);
/* Takes out of @job's tasks the old copies of what other hosts may use, of which its own host knows
 * nothing: images below a disk, and disks that VMs share, on storage that is not this host's alone.
 * They stay, and nobody keeps them. */
void gw_kept_spare_shared(GwEngine *engine, GwJob *job, const GwVm *vm);
/* The kept copy that is @volume of that host, or NULL. */
const GwKeptVolume *gw_kept_find(GwEngine *engine, const char *host_id, const GwVolume *volume);
/* FALSE: what @task is to remove is no kept copy any more, or a job may need it. */
gboolean gw_kept_may_remove(GwEngine *engine, const GwTask *task, GError **error);
/* Whether a removal of what is there under that name was begun, and is not over. */
gboolean gw_kept_is_going(GwEngine *engine, const char *host_id, const GwVolume *volume);
/* @job is done: the images that its VM lives on now are no old copies any more. */
void gw_kept_forget_live(GwEngine *engine, GwBatch *batch, const GwJob *job);
/* All of a host that goes. */
void gw_kept_forget_host(GwEngine *engine, GwBatch *batch, const char *host_id);
gint64 gw_kept_next_us(GwEngine *engine);
void gw_kept_timers(GwEngine *engine, gint64 now_us);

/* shares.c */
void gw_shares_restore(GwEngine *engine, GwJob *job);

/* tokens.c */
/* Loads the tokens; where there are none at all, makes the first administrator's and leaves it in
 * the file @path (NULL: nowhere). */
gboolean gw_tokens_load(GwEngine *engine, const char *path, GError **error);
#define GW_TOKEN_MAX 256 /* characters */
char *gw_tokens_hash(const char *token);
/* @prefix and 256 random bits in hex. */
char *gw_tokens_draw(const char *prefix, GError **error);

/* joins.c: tokens that agents join with, and joining */
gboolean gw_joins_load(GwEngine *engine, GError **error);
/* The tokens for a host that goes. */
void gw_joins_forget_host(GwEngine *engine, GwBatch *batch, const char *host_id);

/* certificates.c: what was made for agents. */
gboolean gw_certificates_load(GwEngine *engine, GError **error);
/* RFC 3339 of wall seconds. */
char *gw_certificates_date(gint64 wall_s);
/* A certificate (PEM) of what an agent requests; it is of no use before *@issued is stored. */
char *gw_certificates_issue(GwEngine *engine, const char *request, const char *host_id,
                            GwIssued **issued, GError **error);
void gw_certificates_add(GwEngine *engine, GwIssued *issued); /* taken */
/* Shows it in the host's record. */
void gw_certificates_note(GwHost *host, const GwIssued *issued);
/* Revokes all that a host has: first in @batch, and when that is durable for everybody. */
void gw_certificates_put_revoked(GwEngine *engine, GwBatch *batch, const char *host_id,
                                 const char *reason);
void gw_certificates_revoke(GwEngine *engine, const char *host_id, const char *reason);
/* A host is about to be connected: who answers must not be one of the revoked. */
void gw_certificates_host_comes(GwEngine *engine, const HostRun *run);
/* A host is connected: it hears what is revoked, and its certificate is looked at. */
void gw_certificates_host_up(GwEngine *engine, HostRun *run);
/* What a person should know of its certificate; NULL: nothing. */
char *gw_certificates_warning(GwEngine *engine, const HostRun *run, const GwHost *host);
gint64 gw_certificates_next_us(const HostRun *run);
void gw_certificates_timers(GwEngine *engine, HostRun *run, gint64 now_us);

/* fabric_commands.c */
/* After a change of a new host: its caller is answered once it is listed. */
void gw_hosts_begin_managing(GwEngine *engine, gpointer id);
/* Whether @host can be managed as it is: URI, name, group (whose id it gets), nobody's twin. */
gboolean gw_hosts_check(GwEngine *engine, GwHost *host, GError **error);
/* host_storage.c: whether what @host's default storage has more than @old's (NULL: nothing yet) is
 * pools of a host with @facts (R16). */
gboolean gw_hosts_check_storage(const GwHost *host, const GwHost *old, const GwHostFacts *facts,
                                GError **error);
/* Whether no job uses it, nor one that is being accepted. */
gboolean gw_hosts_check_unused(GwEngine *engine, const GwHost *host, GError **error);
