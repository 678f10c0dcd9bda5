/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "agent/attest.h"
#include "agent/commit.h"
#include "agent/epochs.h"
#include "agent/ipc.h"
#include "agent/state.h"
#include "agent/virt.h"
#include "agent/warden.h"
#include "model/agent.h"
#include "wire/ticket.h"

/* The warden's parts. All of it runs on one loop, so nothing has a lock. What is asked of libvirt
 * or of the front is answered later; by then what it was for may be gone, so a question carries
 * names (a VM, an epoch), never pointers. */

typedef struct GwWarden GwWarden;
typedef struct GwLeave GwLeave;
typedef struct GwGuard GwGuard;

#define GW_WARDEN_LOOK_US (5 * G_USEC_PER_SEC)
#define GW_WARDEN_RESUME_US (10 * G_USEC_PER_SEC)
#define GW_WARDEN_PEER_MS 3000
#define GW_WARDEN_WARNINGS_MAX 32

typedef struct {
    char *state_folder, *run_folder;
    char *libvirt_socket; /* as given; NULL: look each time */
    char *qemu_conf, *emulator_group;
    char *proc_folder, *sys_folder;
    gboolean shared_kernel;
} GwWardenPaths;

struct GwWarden {
    GwWardenPaths paths;
    GwLoop *loop;
    GwIpc *ipc;
    GwAgentState *state;
    GwEpochs *epochs;
    GwVirt *virt;
    GHashTable *leaves;   /* VM's UUID -> GwLeave */
    GHashTable *resuming; /* VM's UUID -> GArray of guint64: calls that wait for the resume's end */
    GHashTable *attesting; /* host id -> how many of its questions are looked into */
    GwGuard *guard;
    guint64 last_listener;
    gint64 controller_session; /* the front's number of the one that is obeyed; 0: none */
    gboolean clock_told;       /* a controller has said since the start what time it is … */
    gint64 clock_apart_us;     /* … when the host's clock was so far from CLOCK_BOOTTIME */
    char *next_key_pem;        /* of a renewal under way */
    GHashTable *links;         /* host id -> json_t: what was last measured to it */
    gboolean reading_facts;    /* a thread looks at the file systems */
    guint errands;             /* threads that look at files */
    GHashTable *copies;        /* id -> a copy, see copies.c */
    guint64 last_copy;
    int starter_fd;  /* of what starts copiers; -1: nothing does */
    GQueue warnings; /* char *: what a person should know; bounded */
};

/* Whether the peer (of the front) is the controller that this host obeys. */
gboolean gw_warden_obeys(const GwWarden *warden, const json_t *peer, GError **error);
/* gw_warden_main with another libvirt (a test's), and without a front to end. */
int gw_warden_run(const GwWardenConfig *config, int ipc_fd, GwVirtOpen open);

/* The fabric's time, seconds. */
gint64 gw_warden_now_s(const GwWarden *warden);
/* The front, or nobody once it is gone: a call then fails, an answer and a notice are dropped. Call
 * 0 is nobody's. */
void gw_warden_answer(GwWarden *warden, guint64 id, json_t *result_stolen, int fd,
                      const GError *error);
void gw_warden_ask_front(GwWarden *warden, const char *method, json_t *params_stolen, int fd,
                         GwIpcDone done, gpointer user);
void gw_warden_tell_front(GwWarden *warden, const char *method, json_t *params_stolen);
/* Tells the controller, if one is there, the journal, and whoever asks for facts. */
void gw_warden_alarm(GwWarden *warden, const char *vm_uuid, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
/* The emulator's processes of a VM on this host; -1: it cannot be told. */
gint64 gw_warden_count(const GwWarden *warden, const char *vm_uuid, GwVmProcess *first);
char *gw_warden_libvirt_socket(const GwWarden *warden);
void gw_warden_send_credentials(GwWarden *warden);

/* words.c: what libvirt and the process table say of a VM, together ---------------------------- */

typedef void (*GwWardenSaw)(GwWarden *warden, const char *vm_uuid, gint64 epoch, const GwWord *word,
                            gpointer user);
/* Asks both; the word is unknown where one of them cannot tell. */
void gw_warden_look(GwWarden *warden, const char *vm_uuid, gint64 epoch, GwWardenSaw saw,
                    gpointer user);

/* permits.c ------------------------------------------------------------------------------------ */

#define GW_LEAVE_SOCKETS 3 /* rpc, migration, disk */

typedef struct {
    guint kind;
    char *name; /* in the run folder */
    int fd;     /* listening; -1: none, as on the destination */
    char *id;   /* the front's name for it; NULL: none */
} GwLeaveSocket;

/* Leave for one move, given by the controller, until it is closed or over. */
struct GwLeave {
    GwWarden *warden;
    GwTicket *ticket;
    char *ticket_text; /* base64 */
    gboolean is_source;
    json_t *peer; /* {"host_id", "addresses"}: the other side */
    GwLeaveSocket sockets[GW_LEAVE_SOCKETS];
    gboolean closed;  /* nothing may begin from it; kept to answer the other agent */
    GwCommit *commit; /* NULL: the agents do not commit this one */
    GwTimer *timer;   /* of the commit's, or the end of the ticket */
    int pidfd;        /* of the VM's process here, source; -1: none */
    GwWatch *watch;
    GPtrArray *given; /* given.c's: the sockets of its streams */
};

void gw_permits_init(GwWarden *warden);
gboolean gw_permits_load(GwWarden *warden, GError **error);
void gw_permits_free(GwWarden *warden);
/* Answers the front's call @id, now or later. */
void gw_permits_permit(GwWarden *warden, guint64 id, const json_t *params);
void gw_permits_close(GwWarden *warden, guint64 id, const json_t *params);
/* Decodes and verifies; nothing of time, place or epoch. */
GwTicket *gw_permits_ticket(const GwWarden *warden, const json_t *text, GError **error);
/* A copy of what we know of @peer ({"host_id", "addresses"}), which must be @host_id, and nothing
 * else of it. */
json_t *gw_permits_peer(const json_t *peer, const char *host_id, GError **error);
/* That of the VM's current epoch here; NULL: none, or another's. */
GwLeave *gw_permits_find(GwWarden *warden, const char *vm_uuid, gint64 epoch);
/* Whether streams may still be opened by it. */
gboolean gw_permits_is_open(GwLeave *leave, GError **error);
gboolean gw_permits_save(GwLeave *leave, GError **error);
/* Closes the epoch, durably, and what listens for it. The leave stays, to answer. */
gboolean gw_permits_shut(GwLeave *leave, GError **error);
/* Forgets it, also on disk. */
void gw_permits_drop(GwLeave *leave);

/* permit_sockets.c ----------------------------------------------------------------------------- */

gboolean gw_permits_make_sockets(GwLeave *leave, GError **error);
/* Gives them to the front, and then answers its call @id (0: nobody waits). */
void gw_permits_hand_over(GwLeave *leave, guint64 id);
/* What libvirt is to connect to: members of an answer. */
json_t *gw_permits_paths(const GwLeave *leave);
void gw_permits_stop_listening(GwLeave *leave);

/* errands.c ------------------------------------------------------------------------------------ */

/* @work in a thread, then @done on the loop, where the warden may have ended (no ipc) by then.
 * FALSE with @error: too many are under way; nothing was called. */
gboolean gw_errand(GwWarden *warden, void (*work)(gpointer data), void (*done)(gpointer data),
                   gpointer data, GError **error);

/* given.c -------------------------------------------------------------------------------------- */

/* Keeps a copy of @fd, which the front is about to be given for the leave. FALSE: it has as many as
 * its ticket allows. */
gboolean gw_given_add(GwLeave *leave, guint kind, int fd, GError **error);
/* Breaks those by which the VM could still begin here: of RPC, where it has no process. */
void gw_given_cut(GwLeave *leave);
void gw_given_free(gpointer given);

/* sockets.c ------------------------------------------------------------------------------------ */

gboolean gw_sockets_folder(const GwWarden *warden, GError **error);
/* The name in the run folder. Free with g_free; NULL: such a stream has none. */
char *gw_sockets_name(const GwTicket *ticket, guint kind, const char *run_folder);
/* A listening socket, to which besides root the emulator may connect or (@for_emulator FALSE)
 * nobody: what leads to another host's libvirt is not for a guest that has taken over its
 * emulator. -1 with @error. */
int gw_sockets_listen(const GwWarden *warden, const char *name, gboolean for_emulator,
                      GError **error);
void gw_sockets_remove(const GwWarden *warden, const char *name);
/* Removes what an agent before us left, but for @keep. */
void gw_sockets_sweep(const GwWarden *warden, GHashTable *keep);
/* Connects to a socket in the run folder, without following a link; where @vm_uuid is not NULL,
 * only to one on which a process of that VM listens. -1 with @error. */
int gw_sockets_connect(const GwWarden *warden, const char *name, const char *vm_uuid,
                       GError **error);
int gw_sockets_connect_libvirt(const GwWarden *warden, GError **error);
/* The group of the emulator's user, and its name (lent); 0 where there is none. */
gid_t gw_sockets_group(const GwWarden *warden);

/* calls.c: the front's calls and notices (GwIpcOps)
 * ------------------------------------------------ */

void gw_calls_call(GwIpc *ipc, guint64 id, const char *method, const json_t *params, int fd,
                   gpointer user);
/* The host's own clock was set: the fabric's time goes on as it did. */
void gw_calls_clock_set(GwWarden *warden);
void gw_calls_notice(GwIpc *ipc, const char *method, const json_t *params, gpointer user);

/* open.c --------------------------------------------------------------------------------------- */

void gw_warden_open(GwWarden *warden, guint64 id, const json_t *params);

/* commits.c: carries out what commit.c decides --------------------------------------------------
 */

void gw_commits_begin(GwLeave *leave);
void gw_commits_end(GwLeave *leave);
/* Where this agent's resume of the VM is under way: the call @id (a close's, that went well) is
 * answered when that has ended, since from the answer on nothing is done here. FALSE: it is not. */
gboolean gw_commits_answer_later(GwWarden *warden, const char *vm_uuid, guint64 id);
void gw_commits_step(GwLeave *leave, const GwCommitEvent *event);
void gw_commits_timer(GwLeave *leave);
/* libvirt's news of a VM, or (NULL) that its connection broke. */
void gw_commits_news(GwWarden *warden, const GwHyperEvent *event);
void gw_commits_source_gone(GwWarden *warden, const char *peer_host_id, const json_t *params);
/* Answers the call @id of another agent. */
void gw_commits_attest(GwWarden *warden, guint64 id, const char *peer_host_id,
                       const json_t *params);

/* guard.c: a VM that left does not start here ---------------------------------------------------
 */

GwGuard *gw_guard_new(GwWarden *warden);
void gw_guard_free(GwGuard *guard);
void gw_guard_up(GwGuard *guard); /* libvirt is there (again) */
void gw_guard_news(GwGuard *guard, const GwHyperEvent *event);
/* What to remember of a VM that left. */
char *gw_guard_note(const GwLeave *leave);

/* facts.c, check.c, renew.c, access.c: calls of the controller ----------------------------------
 */

void gw_facts_call(GwWarden *warden, guint64 id);
void gw_check_call(GwWarden *warden, guint64 id, const json_t *params);
void gw_renew_call(GwWarden *warden, guint64 id);
void gw_renew_install(GwWarden *warden, guint64 id, const json_t *params);
void gw_access_call(GwWarden *warden, guint64 id, const json_t *params);
