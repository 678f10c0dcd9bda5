/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <unistd.h>

#include "agent/warden_internal.h"
#include "base/error.h"

/* A host that boots must not start a VM that left (RECOVERY.md). Nothing is ever destroyed: such a
 * VM's autostart is turned off, and one that was started all the same is paused once the host where
 * it went to says that it runs there. */

#define AGAIN_US (5 * G_USEC_PER_SEC)
#define NOTE_MAX ((gsize)GW_EPOCHS_NOTE_MAX)

struct GwGuard {
    GwWarden *warden;
    GwTimer *timer; /* looks again: a VM that left runs here, and the other host is silent */
};

typedef struct {
    GwWarden *warden;
    char *vm_uuid;
} Question;

static Question *question_of(GwWarden *warden, const char *vm_uuid)
{
    Question *question = g_new0(Question, 1);

    *question = (Question){ warden, g_strdup(vm_uuid) };
    return question;
}

static void free_question(Question *question)
{
    g_free(question->vm_uuid);
    g_free(question);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Question, free_question)

/* Whom to ask about the VM later, and with what. */
char *gw_guard_note(const GwLeave *leave)
{
    g_autoptr(GwJson) json =
        json_pack("{s:s, s:O}", "ticket", leave->ticket_text, "peer", leave->peer);
    return gw_json_text(json);
}

/* A VM whose move is under way here is the move's. */
static const char *note_of(const GwWarden *warden, const char *vm_uuid)
{
    const GwLeave *leave = g_hash_table_lookup(warden->leaves, vm_uuid);

    if (leave != NULL && !leave->closed)
        return NULL;
    return gw_epochs_left(warden->epochs, vm_uuid);
}

/* A VM that runs here though it left ----------------------------------------------------------- */

static void paused(const GwReply *reply, gpointer user)
{
    g_autoptr(Question) question = user;
    GwWarden *warden = question->warden;

    if (reply->error != NULL) {
        gw_warden_alarm(warden, question->vm_uuid,
                        "VM %s runs on two hosts, and cannot be paused on this one: %s",
                        question->vm_uuid, reply->error->message);
        return;
    }
    gw_warden_alarm(warden, question->vm_uuid,
                    "VM %s was started here though it had moved away and runs there: it is paused "
                    "here; remove it from this host after a look at its disks",
                    question->vm_uuid);
}

static void told(GwWarden *warden, const char *vm_uuid, const GwWord *there)
{
    g_autoptr(GError) error = NULL;

    if (note_of(warden, vm_uuid) == NULL)
        return;
    if (there->side == GW_SIDE_RUNNING) {
        gw_virt_ask(warden->virt, GW_OP_PAUSE, vm_uuid, 0, GW_WARDEN_RESUME_US, paused,
                    question_of(warden, vm_uuid));
        return;
    }
    if (there->side != GW_SIDE_ABSENT || there->processes != 0)
        return; /* asked again */
    /* It is nowhere else: somebody brought it back, and may start it. */
    if (!gw_epochs_set_left(warden->epochs, vm_uuid, NULL, &error))
        g_warning("%s", error->message);
}

static void answered(const json_t *result, int fd, const GError *error, gpointer user)
{
    g_autoptr(Question) question = user;

    if (fd >= 0)
        close(fd);
    if (error != NULL)
        return; /* asked again */
    GwWord there = gw_word_from_json(result);
    told(question->warden, question->vm_uuid, &there);
}

static void ask_there(GwWarden *warden, const char *vm_uuid, const char *note)
{
    g_autoptr(GwJson) json = gw_json_parse(note, strlen(note), NOTE_MAX, NULL);
    const json_t *peer = json_object_get(json, "peer"), *ticket = json_object_get(json, "ticket");

    if (!json_is_object(peer) || !json_is_string(ticket))
        return;
    gw_timer_set(warden->guard->timer, g_get_monotonic_time() + AGAIN_US);
    gw_warden_ask_front(warden, "peer-call",
                        json_pack("{s:O, s:s, s:{s:O}, s:i}", "peer", peer, "method", "attest",
                                  "params", "ticket", ticket, "timeout_ms", GW_WARDEN_PEER_MS),
                        -1, answered, question_of(warden, vm_uuid));
}

/* Looking -------------------------------------------------------------------------------------- */

static void autostart_off(const GwReply *reply, gpointer user)
{
    g_autoptr(Question) question = user;

    if (reply->error != NULL)
        gw_warden_alarm(question->warden, question->vm_uuid,
                        "VM %s moved away, would start with this host, and that cannot be turned "
                        "off: %s",
                        question->vm_uuid, reply->error->message);
    else
        gw_warden_alarm(question->warden, question->vm_uuid,
                        "VM %s moved away and would have started with this host: its autostart is "
                        "turned off here",
                        question->vm_uuid);
}

static void judge(GwWarden *warden, const GwVm *vm)
{
    const char *note = note_of(warden, vm->uuid);

    if (note == NULL)
        return;
    if (vm->autostart)
        gw_virt_ask(warden->virt, GW_OP_AUTOSTART, vm->uuid, 0, GW_WARDEN_LOOK_US, autostart_off,
                    question_of(warden, vm->uuid));
    if (gw_vm_is_running(vm))
        ask_there(warden, vm->uuid, note);
}

static void listed(const GwReply *reply, gpointer user)
{
    GwWarden *warden = user;

    if (reply->error != NULL) {
        g_debug("which VMs are here: %s", reply->error->message);
        gw_timer_set(warden->guard->timer, g_get_monotonic_time() + AGAIN_US);
        return;
    }
    for (guint i = 0; reply->vms != NULL && i < reply->vms->len; i++)
        judge(warden, reply->vms->pdata[i]);
}

static gboolean any_left(const GwWarden *warden)
{
    g_auto(GStrv) left = gw_epochs_list_left(warden->epochs);
    return left[0] != NULL;
}

void gw_guard_up(GwGuard *guard)
{
    GwWarden *warden = guard->warden;

    if (any_left(warden))
        gw_virt_ask(warden->virt, GW_OP_LIST_VMS, NULL, 0, 6 * GW_WARDEN_LOOK_US, listed, warden);
}

void gw_guard_news(GwGuard *guard, const GwHyperEvent *event)
{
    GwWarden *warden = guard->warden;

    if (event->kind == GW_EVENT_VM_LIFECYCLE && event->vm_uuid != NULL &&
        note_of(warden, event->vm_uuid) != NULL &&
        (g_strcmp0(event->text, "started") == 0 || g_strcmp0(event->text, "resumed") == 0 ||
         g_strcmp0(event->text, "defined") == 0))
        gw_virt_ask(warden->virt, GW_OP_GET_VM, event->vm_uuid, 0, GW_WARDEN_LOOK_US, listed,
                    warden);
}

static void on_timer(gpointer user)
{
    GwGuard *guard = user;

    if (gw_virt_is_up(guard->warden->virt))
        gw_guard_up(guard);
}

GwGuard *gw_guard_new(GwWarden *warden)
{
    GwGuard *guard = g_new0(GwGuard, 1);

    guard->warden = warden;
    guard->timer = gw_timer_new(warden->loop, on_timer, guard);
    return guard;
}

void gw_guard_free(GwGuard *guard)
{
    if (guard == NULL)
        return;
    gw_timer_free(guard->timer);
    g_free(guard);
}
