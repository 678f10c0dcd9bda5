/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <math.h>

#include "bench/day_internal.h"
#include "plan/reach.h"

/* What guests do by the hour, and what people and misfortune do to a data centre, much of it past
 * the controller. */

#define TRIES 20
#define STEADY_US MINUTES(2) /* a host that came back is left alone for so long */

/* Of each VM, or host, in a day. */
#define CREATED 0.05
#define STOPPED 0.10
#define STARTED_OF_OFF 2.0
#define REMOVED_OF_OFF 0.5
#define ASKED 0.03   /* a person moves it, through the controller */
#define CARRIED 0.01 /* … or past it */
#define RESIZED 0.02
#define POWER_LOST 0.10
#define CUT_OFF 0.20
#define LIMITS 0.30
#define KILLS 2.0 /* of the controller */

/* Load ------------------------------------------------------------------------------------- */

/* Least at four in the morning, most in the afternoon. */
static double busy_at(double hour)
{
    return 0.15 + 0.85 * (0.5 - 0.5 * cos((hour - 4) / 24 * 2 * G_PI));
}

static void use(const GwVm *vm, GwVmUsage *usage, gpointer user)
{
    const Day *day = user;
    const Guest *guest = g_hash_table_lookup(day->guest_of, vm->uuid);
    double hour = fmod((double)(day_now(day) / SECONDS(1)) / 3600, 24);

    if (guest == NULL)
        return;
    double busy = busy_at(hour - guest->phase);
    usage->cpu_permille = (gint64)((double)guest->cpu_permille * busy);
    usage->dirty_bps = (gint64)((double)guest->dirty_bps * busy);
    usage->memory_used_kib = (gint64)((double)vm->memory_kib * (0.5 + 0.5 * busy));
}

void day_load(Day *day)
{
    gw_sim_use(day->world.sim, use, day);
    day->tally.loads++;
}

/* Guests ----------------------------------------------------------------------------------- */

static Guest *any_guest(Day *day, GuestState wanted)
{
    for (guint i = 0; i < TRIES; i++) {
        Guest *guest = day->guests->pdata[day_any(day, day->guests->len)];
        if (guest->wanted == wanted && !guest->shaken)
            return guest;
    }
    return NULL;
}

static void touch(Day *day, guint host)
{
    if (host != G_MAXUINT)
        day_host(day, host)->hand_us = day_now(day);
}

static gboolean has_room(const Day *day, guint host, gint64 memory_kib)
{
    const DayHost *at = day_host(day, host);
    return at->taken_kib + at->reserve_kib + memory_kib <= at->memory_kib * 8 / 10;
}

/* One that is up, has room, and that nobody works on. */
static guint any_host(Day *day, gint64 memory_kib)
{
    for (guint i = 0; i < TRIES; i++) {
        guint host = day_any(day, day->hosts->len);
        if (day_is_up(day, host) && !day_is_serviced(day, day_host(day, host)->rack) &&
            has_room(day, host, memory_kib))
            return host;
    }
    return G_MAXUINT;
}

static GwVm *new_vm(Day *day, guint number)
{
    g_autofree char *like = fabric_vm_uuid(day_any(day, day->options->vms));
    GwVm *vm = gw_vm_copy(gw_fabric_find_vm(day->made, like, NULL));
    GwDisk *disk = vm->disks->pdata[0];
    GwNic *nic = vm->nics->pdata[0];

    g_free(vm->uuid);
    g_free(vm->name);
    g_free(disk->source);
    g_free(nic->mac);
    vm->uuid = fabric_vm_uuid(number);
    vm->name = g_strdup_printf("new%05u", number);
    disk->source = g_strdup_printf("/srv/vms/new%05u.qcow2", number);
    nic->mac = g_strdup_printf("52:54:01:%02x:%02x:%02x", number >> 16 & 255, number >> 8 & 255,
                               number & 255);
    vm->state = GW_VM_RUNNING;
    g_free(vm->machine); /* on whatever host it is made */
    vm->machine = g_strdup("pc-q35-7.2");
    return vm;
}

static void create(Day *day)
{
    g_autoptr(GwVm) vm = new_vm(day, day->options->vms + day->tally.created);
    guint host = any_host(day, vm->memory_kib);

    if (host == G_MAXUINT || !gw_sim_define_by_hand(day->world.sim, day_host(day, host)->uri, vm))
        return;
    day_add_guest(day, vm->uuid, GUEST_RUNS);
    touch(day, host);
    day_say(day, "%s is made on %s", vm->uuid, day_host(day, host)->name);
    day->tally.created++;
}

/* The guest itself; also under a move, which may or may not bring it across first. */
static void stop(Day *day)
{
    Guest *guest = any_guest(day, GUEST_RUNS);

    if (guest == NULL || guest->active != 1 || !day_is_up(day, guest->places[0]) ||
        gw_sim_running(day->world.sim, guest->uuid) != 1)
        return;
    gw_sim_shut_down(day->world.sim, guest->uuid);
    guest->wanted = GUEST_OFF;
    day->tally.stopped++;
}

static void start(Day *day)
{
    Guest *guest = any_guest(day, GUEST_OFF);

    if (guest == NULL || guest->active > 0)
        return;
    g_autoptr(GwVm) vm = gw_engine_start_vm(day->world.engine, guest->uuid, NULL);
    guest->wanted =
        vm != NULL || gw_sim_running(day->world.sim, guest->uuid) > 0 ? GUEST_RUNS : GUEST_OFF;
    if (vm == NULL)
        return;
    g_autoptr(GwFabric) fabric = gw_engine_fabric(day->world.engine);
    const GwHost *host = gw_fabric_host(fabric, vm->host_id);
    touch(day, host != NULL ? day_host_index(day, host->name) : G_MAXUINT);
    day_say(day, "%s is started on %s", guest->uuid, host != NULL ? host->name : "-");
    day->tally.started++;
}

typedef struct {
    const char *uuid;
    char *uri, *disk;
} Found;

static void find(const char *uri, const GwVm *vm, gpointer user)
{
    Found *found = user;

    if (strcmp(vm->uuid, found->uuid) != 0)
        return;
    g_free(found->uri);
    g_free(found->disk);
    found->uri = g_strdup(uri);
    found->disk = g_strdup(((GwDisk *)vm->disks->pdata[0])->source);
}

/* By virsh. One that is being moved, though off, is left alone. */
static void remove_guest(Day *day)
{
    Guest *guest = any_guest(day, GUEST_OFF);
    g_autoptr(GwFabric) fabric = gw_engine_fabric(day->world.engine);

    if (guest == NULL || guest->ruled || guest->active > 0 || guest->defined != 1 ||
        gw_fabric_job_of_vm(fabric, guest->uuid) != NULL)
        return;
    Found found = { .uuid = guest->uuid };
    gw_sim_survey(day->world.sim, find, &found);
    if (found.uri != NULL && day_is_up(day, day_host_index(day, found.uri))) {
        gw_sim_undefine_by_hand(day->world.sim, found.uri, guest->uuid);
        gw_sim_remove_by_hand(day->world.sim, found.uri, found.disk);
        guest->wanted = GUEST_GONE;
        day->tally.removed++;
    }
    g_free(found.uri);
    g_free(found.disk);
}

static void resize(Day *day)
{
    const Guest *guest = any_guest(day, GUEST_RUNS);
    g_autoptr(GwFabric) fabric = gw_engine_fabric(day->world.engine);
    const GwVm *vm = guest != NULL ? gw_fabric_find_vm(fabric, guest->uuid, NULL) : NULL;

    if (vm == NULL || guest->active != 1 ||
        !gw_sim_resize_by_hand(day->world.sim, guest->uuid,
                               MIN(vm->memory_kib * 2, (gint64)64 << 20)))
        return;
    touch(day, guest->places[0]);
    day_say(day, "%s on %s is given twice its memory", guest->uuid,
            day_host(day, guest->places[0])->name);
    day->tally.resized++;
}

/* Whether @to reaches all disks of @vm where they are. */
static gboolean has_storage(const GwFabric *fabric, const GwVm *vm, const GwHost *to)
{
    const GwPlanInput input = {
        .fabric = fabric, .vm = vm, .source = gw_fabric_host(fabric, vm->host_id), .destination = to
    };
    g_autoptr(GPtrArray) reaches = gw_reach_all(&input);

    for (guint i = 0; i < reaches->len; i++) {
        if (((const GwReach *)reaches->pdata[i])->how == GW_REACH_NOT)
            return FALSE;
    }
    return TRUE;
}

/* By virsh, to a host that has its storage: a rule is broken by that where there is one. */
static void carry(Day *day)
{
    const Guest *guest = any_guest(day, GUEST_RUNS);
    g_autoptr(GwFabric) fabric = gw_engine_fabric(day->world.engine);
    const GwVm *vm = guest != NULL ? gw_fabric_find_vm(fabric, guest->uuid, NULL) : NULL;
    guint to = vm != NULL ? any_host(day, vm->memory_kib) : G_MAXUINT;

    if (to == G_MAXUINT || guest->ruled || guest->active != 1 ||
        g_strcmp0(vm->machine, "pc-q35-7.2") != 0)
        return;
    const GwHost *there = gw_fabric_find_host(fabric, day_host(day, to)->name);
    if (!day_is_up(day, guest->places[0]) || !has_storage(fabric, vm, there) ||
        !gw_sim_move_by_hand(day->world.sim, guest->uuid, day_host(day, to)->uri))
        return;
    touch(day, to);
    touch(day, guest->places[0]);
    day_say(day, "%s is carried to %s", guest->uuid, day_host(day, to)->name);
    day->tally.carried++;
}

/* Through the controller, wherever it pleases them. */
static void ask(Day *day)
{
    const Guest *guest = any_guest(day, GUEST_RUNS);
    g_autoptr(GwMoveRequest) request = gw_move_request_new();
    guint to = day_any(day, day->hosts->len);

    if (guest == NULL)
        return;
    request->destination = g_strdup(day_host(day, to)->name);
    g_autoptr(GwJob) job =
        gw_engine_migrate(day->world.engine, guest->uuid, request, "somebody", NULL, NULL);
    if (job != NULL)
        touch(day, to);
    day->tally.asked += job != NULL;
    day->tally.refused += job == NULL;
}

/* Hosts ------------------------------------------------------------------------------------ */

static void shake(Day *day, guint host)
{
    for (guint i = 0; i < day->guests->len; i++) {
        Guest *guest = day->guests->pdata[i];
        for (guint k = 0; k < MIN(guest->active, G_N_ELEMENTS(guest->places)); k++) {
            if (guest->places[k] != host || guest->wanted != GUEST_RUNS)
                continue;
            guest->shaken = TRUE;
            guest->shaken_us = day_now(day);
        }
    }
}

static void lose_power(Day *day)
{
    guint host = day_any(day, day->hosts->len);
    gint64 ms = (gint64)(5 + day_any(day, 25)) * 60000;

    if (!day_is_up(day, host))
        return;
    day_look(day); /* who is there just now */
    shake(day, host);
    gw_sim_cut_power(day->world.sim, day_host(day, host)->uri, ms);
    day_host(day, host)->away_until_us = day_now(day) + ms * 1000;
    touch(day, host);
    day_say(day, "%s loses power for %d min", day_host(day, host)->name, (int)(ms / 60000));
    day->tally.power_lost++;
}

static void cut_off(Day *day)
{
    guint host = day_any(day, day->hosts->len);
    gint64 ms = (gint64)(1 + day_any(day, 600)) * 1000;

    if (!day_is_up(day, host))
        return;
    gw_sim_cut_off(day->world.sim, day_host(day, host)->uri, ms);
    day_host(day, host)->away_until_us = day_now(day) + ms * 1000;
    day->tally.cut_off++;
}

static void change_limit(Day *day)
{
    guint index = day_any(day, day->hosts->len);
    DayHost *host = day_host(day, index);
    g_autoptr(GwFabric) fabric = gw_engine_fabric(day->world.engine);
    g_autoptr(GwHost) changed = gw_host_copy(gw_fabric_find_host(fabric, host->name));
    gint64 used = gw_slots_in_use(fabric, changed->id).live;

    changed->live_limit = 1 + day_any(day, 4);
    g_autoptr(GwHost) done = world_change_host(day->world.engine, changed, NULL);
    if (done == NULL)
        return; /* it is away */
    host->slots_allowed = MAX(changed->live_limit, used);
    host->slots_most = MAX(host->slots_most, changed->live_limit);
    day->tally.limits++;
}

static void kill_controller(Day *day)
{
    world_kill(&day->world);
    world_pass(&day->world, SECONDS(1 + day_any(day, 20)));
    world_start(&day->world);
    day->feed_last = 0;
    day_say(day, "the controller was killed");
    day->tally.kills++;
}

void day_disturb(Day *day)
{
    const struct {
        double times;
        void (*happen)(Day *day);
    } hands[] = {
        { CREATED * day->options->vms, create },
        { STOPPED * day->options->vms, stop },
        { STARTED_OF_OFF * day->options->vms / 15, start },
        { REMOVED_OF_OFF * day->options->vms / 15, remove_guest },
        { RESIZED * day->options->vms, resize },
        { CARRIED * day->options->vms, carry },
        { ASKED * day->options->vms, ask },
        { POWER_LOST * day->options->hosts, lose_power },
        { CUT_OFF * day->options->hosts, cut_off },
        { LIMITS * day->options->hosts, change_limit },
        { KILLS, kill_controller },
    };

    for (guint i = 0; i < G_N_ELEMENTS(hands); i++) {
        if (day_happens(day, hands[i].times))
            hands[i].happen(day);
    }
}

/* Operators -------------------------------------------------------------------------------- */

static void start_again(Day *day, Guest *guest)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(day->world.engine);
    const GwVm *vm = gw_fabric_find_vm(fabric, guest->uuid, NULL);
    const GwHost *host = vm != NULL ? gw_fabric_host(fabric, vm->host_id) : NULL;
    guint index = host != NULL ? day_host_index(day, host->name) : G_MAXUINT;

    if (gw_fabric_job_of_vm(fabric, guest->uuid) != NULL ||
        day_now(day) < guest->shaken_us + STEADY_US)
        return; /* it is being seen to, or was not looked at since */
    if (guest->running == 1 && guest->active == 1) {
        guest->shaken = FALSE;
        return;
    }
    if (index == G_MAXUINT || guest->active > 0 ||
        day_now(day) < day_host(day, index)->away_until_us + STEADY_US ||
        host->maintenance != (int)GW_MAINTENANCE_NONE)
        return;
    g_autoptr(GwVm) started = gw_engine_start_vm(day->world.engine, guest->uuid, NULL);
    touch(day, index);
    day->tally.started += started != NULL;
}

/* A job that is held is answered with what runs. */
static void settle(Day *day, const GwJob *job)
{
    const Guest *guest = g_hash_table_lookup(day->guest_of, job->vm_uuid);
    g_autoptr(GwFabric) fabric = gw_engine_fabric(day->world.engine);
    const GwHost *to = gw_fabric_host(fabric, job->destination_host_id);

    if (guest == NULL || to == NULL)
        return;
    guint there = day_host_index(day, to->name);
    gboolean moved = guest->active == 1 && guest->places[0] == there;
    g_autoptr(GwJob) settled = gw_engine_settle_job(
        day->world.engine, job->id, moved ? GW_KEEP_DESTINATION : GW_KEEP_SOURCE, NULL);
    day->tally.held += settled != NULL;
}

void day_operate(Day *day)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(day->world.engine);
    GHashTableIter iter;
    gpointer value;

    for (guint i = 0; i < day->guests->len; i++) {
        Guest *guest = day->guests->pdata[i];
        if (guest->shaken)
            start_again(day, guest);
    }
    g_hash_table_iter_init(&iter, fabric->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwJob *job = value;
        if (job->state == (int)GW_JOB_HELD && job->vm_uuid != NULL)
            settle(day, job);
    }
}
