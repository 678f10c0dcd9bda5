/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake_engine.h"

#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "engine/feed.h"
#include "model/rule_conflict.h"

struct GwEngine {
    GMutex lock; /* guards all but the feed */
    GwFabric *fabric;
    GwFeed *feed;
    GHashTable *replies; /* key -> json_t */
    GwJoinToken *join;   /* NULL: none is good */
    guint moves;
};

typedef void (*Put)(GwFabric *fabric, gpointer record);

static gboolean load_kind(GwFabric *fabric, json_t *file, const char *key, const GwRecord *record,
                          Put put, GError **error)
{
    gsize i;
    json_t *item;

    json_array_foreach (json_object_get(file, key), i, item) {
        gpointer loaded = gw_record_from_stored(record, item, error);
        if (loaded == NULL)
            return FALSE;
        put(fabric, loaded);
    }
    return TRUE;
}

GwEngine *fake_engine_new(const char *path, GError **error)
{
    g_autoptr(GwJson) file = gw_json_load(path, error);
    g_autoptr(GwFabric) fabric = gw_fabric_new();

    if (file == NULL ||
        !load_kind(fabric, file, "groups", &gw_group_record, (Put)gw_fabric_put_group, error) ||
        !load_kind(fabric, file, "hosts", &gw_host_record, (Put)gw_fabric_put_host, error) ||
        !load_kind(fabric, file, "shares", &gw_share_record, (Put)gw_fabric_put_share, error) ||
        !load_kind(fabric, file, "jobs", &gw_job_record, (Put)gw_fabric_put_job, error) ||
        !load_kind(fabric, file, "kept", &gw_kept_volume_record, (Put)gw_fabric_put_kept, error) ||
        !load_kind(fabric, file, "rules", &gw_placement_rule_record, (Put)gw_fabric_put_rule,
                   error) ||
        !load_kind(fabric, file, "vms", &gw_vm_record, (Put)gw_fabric_put_vm, error))
        return NULL;
    GwEngine *engine = g_new0(GwEngine, 1);
    g_mutex_init(&engine->lock);
    engine->fabric = g_steal_pointer(&fabric);
    engine->feed = gw_feed_new(64);
    engine->replies =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)gw_json_unref);
    return engine;
}

void fake_engine_free(GwEngine *engine)
{
    if (engine == NULL)
        return;
    gw_fabric_unref(engine->fabric);
    gw_feed_free(engine->feed);
    g_hash_table_unref(engine->replies);
    gw_join_token_free(engine->join);
    g_mutex_clear(&engine->lock);
    g_free(engine);
}

/* Publishes what @put makes of the next picture, and tells the feed. Takes @item. */
static void publish(GwEngine *engine, const char *type, const GwRecord *record, Put put,
                    gpointer item)
{
    g_autoptr(GString) text = g_string_new(NULL);

    gw_record_write(record, item, GW_INTERNAL, text);
    GwFabric *next = gw_fabric_next(engine->fabric);
    put(next, item);
    gw_fabric_unref(engine->fabric);
    engine->fabric = next;
    gw_feed_push(engine->feed, type, g_string_free(g_steal_pointer(&text), FALSE));
}

static void publish_removed(GwEngine *engine, const char *type, GwFabric *next, const char *id)
{
    g_autoptr(GwJson) json = json_pack("{s:s, s:b}", "id", id, "removed", 1);

    gw_fabric_unref(engine->fabric);
    engine->fabric = next;
    gw_feed_push(engine->feed, type, gw_json_text(json));
}

static char *new_id(void)
{
    return gw_text_new_id(g_get_real_time());
}

void fake_engine_add_vms(GwEngine *engine, guint count)
{
    GPtrArray *hosts = gw_fabric_list_hosts(engine->fabric);

    for (guint i = 0; i < count; i++) {
        GwVm *vm = gw_vm_new();
        vm->uuid = g_strdup_printf("10000000-0000-4000-8000-%012u", i);
        vm->name = g_strdup_printf("bulk%05u", i);
        vm->host_id = g_strdup(((GwHost *)hosts->pdata[i % hosts->len])->id);
        vm->state = GW_VM_RUNNING;
        vm->persistent = TRUE;
        vm->vcpus = 2;
        vm->memory_kib = vm->max_memory_kib = 4 * 1024 * 1024;
        vm->virt_type = g_strdup("kvm");
        vm->machine = g_strdup("pc-q35-7.2");
        vm->disks = gw_record_array(&gw_disk_record);
        vm->nics = gw_record_array(&gw_nic_record);
        GwDisk *disk = gw_disk_new();
        disk->target = g_strdup("vda");
        disk->source = g_strdup_printf("/var/lib/libvirt/images/bulk%05u.qcow2", i);
        disk->format = g_strdup("qcow2");
        disk->capacity_bytes = G_GINT64_CONSTANT(42949672960);
        g_ptr_array_add(vm->disks, disk);
        GwNic *nic = gw_nic_new();
        nic->mac = g_strdup_printf("52:54:00:%02x:%02x:%02x", i >> 16, (i >> 8) & 255, i & 255);
        nic->source = g_strdup("br0");
        g_ptr_array_add(vm->nics, nic);
        gw_fabric_put_vm(engine->fabric, vm);
    }
    g_ptr_array_unref(hosts);
}

void fake_engine_tick(GwEngine *engine)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&engine->lock);
    g_autoptr(GPtrArray) jobs = gw_fabric_list_jobs(engine->fabric);
    G_GNUC_UNUSED g_autoptr(GwFabric) held = gw_fabric_ref(engine->fabric);

    for (guint i = 0; i < jobs->len; i++) {
        GwJob *job = jobs->pdata[i];
        if (job->state != GW_JOB_COPYING)
            continue;
        GwJob *next = gw_job_copy(job);
        if (next->progress == NULL)
            next->progress = gw_progress_new();
        next->progress->percent = (next->progress->percent + 1) % 100;
        publish(engine, "job", &gw_job_record, (Put)gw_fabric_put_job, next);
    }
}

guint fake_engine_moves(GwEngine *engine)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&engine->lock);
    return engine->moves;
}

GwFabric *gw_engine_fabric(GwEngine *engine)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&engine->lock);
    return gw_fabric_ref(engine->fabric);
}

GwFeed *gw_engine_feed(GwEngine *engine)
{
    return engine->feed;
}

static gboolean missing(const char *what, const char *id, GError **error)
{
    gw_error_set(error, GW_ERR_NOT_FOUND, NULL, "no %s '%s'", what, id);
    return FALSE;
}

/* Groups, hosts, shares ---------------------------------------------------------------------- */

GwGroup *gw_engine_add_group(GwEngine *engine, const GwGroup *group, GError **error)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&engine->lock);

    if (!gw_text_check_name("host group name", group->name, error))
        return NULL;
    if (gw_fabric_find_group(engine->fabric, group->name) != NULL) {
        gw_error_set(error, GW_ERR_CONFLICT, "Choose another name.",
                     "a host group '%s' exists already", group->name);
        return NULL;
    }
    GwGroup *added = gw_group_copy(group);
    added->id = new_id();
    if (added->parent_id == NULL)
        added->parent_id = g_strdup(GW_GROUP_ROOT);
    publish(engine, "group", &gw_group_record, (Put)gw_fabric_put_group, gw_record_ref(added));
    return added;
}

GwGroup *gw_engine_change_group(GwEngine *engine, const char *id, GwEdit edit, gpointer user,
                                GError **error)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&engine->lock);
    GwGroup *changed = gw_group_copy(gw_fabric_find_group(engine->fabric, id));

    if (!edit(changed, user, error)) {
        gw_group_free(changed);
        return NULL;
    }
    publish(engine, "group", &gw_group_record, (Put)gw_fabric_put_group, gw_record_ref(changed));
    return changed;
}

gboolean gw_engine_remove_group(GwEngine *engine, const char *id, GError **error)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&engine->lock);

    if (strcmp(id, GW_GROUP_ROOT) == 0) {
        gw_error_set(error, GW_ERR_CONFLICT, NULL, "All Hosts cannot be removed");
        return FALSE;
    }
    GwFabric *next = gw_fabric_next(engine->fabric);
    gw_fabric_remove_group(next, id);
    publish_removed(engine, "group", next, id);
    return TRUE;
}

GwHost *gw_engine_add_host(GwEngine *engine, const GwHost *host, GError **error)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&engine->lock);

    if (!gw_host_check_uri(host->uri, error))
        return NULL;
    if (strstr(host->uri, "unreachable") != NULL) {
        gw_error_set(error, GW_ERR_UNREACHABLE, "Check the network.", "%s: no route to host",
                     host->uri);
        return NULL;
    }
    GwHost *added = gw_host_copy(host);
    added->id = new_id();
    if (added->name == NULL)
        added->name = gw_host_uri_address(added->uri);
    if (gw_fabric_find_host(engine->fabric, added->name) != NULL) {
        gw_error_set(error, GW_ERR_CONFLICT, "Choose another name.", "a host '%s' exists already",
                     added->name);
        gw_host_free(added);
        return NULL;
    }
    added->status = GW_HOST_OK_LIMITED;
    publish(engine, "host", &gw_host_record, (Put)gw_fabric_put_host, gw_record_ref(added));
    return added;
}

GwHost *gw_engine_change_host(GwEngine *engine, const char *id, GwEdit edit, gpointer user,
                              GError **error)
{
    /* Wide enough a window to show a lost update. */
    g_usleep(2000);
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&engine->lock);
    GwHost *changed = gw_host_copy(gw_fabric_find_host(engine->fabric, id));

    if (!edit(changed, user, error)) {
        gw_host_free(changed);
        return NULL;
    }
    publish(engine, "host", &gw_host_record, (Put)gw_fabric_put_host, gw_record_ref(changed));
    return changed;
}

gboolean gw_engine_remove_host(GwEngine *engine, const char *id, GError **error)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&engine->lock);
    GwFabric *next = gw_fabric_next(engine->fabric);

    gw_fabric_remove_host(next, id);
    publish_removed(engine, "host", next, id);
    return TRUE;
}

gboolean gw_engine_refresh_host(GwEngine *engine, const char *id, GError **error)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&engine->lock);
    GwHost *host = gw_host_copy(gw_fabric_host(engine->fabric, id));

    g_free(host->last_seen);
    host->last_seen = g_strdup("2026-01-02T03:04:05Z");
    publish(engine, "host", &gw_host_record, (Put)gw_fabric_put_host, host);
    return TRUE;
}

static GwJob *begin_job(GwEngine *engine, const char *kind, const char *title, const char *user)
{
    GwJob *job = gw_job_new();

    job->id = new_id();
    job->kind = g_strdup(kind);
    job->title = g_strdup(title);
    job->state = GW_JOB_COPYING;
    job->user = g_strdup(user);
    job->saved_xml = g_strdup("<secret/>");
    job->steps = gw_record_array(&gw_job_step_record);
    GwJobStep *step = gw_job_step_new();
    step->state = g_strdup("copying");
    step->event = g_strdup("accepted");
    g_ptr_array_add(job->steps, step);
    return job;
}

GwJob *gw_engine_add_share(GwEngine *engine, const GwShare *share, const char *user, GError **error)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&engine->lock);
    GwShare *added = gw_share_copy(share);
    GwJob *job = begin_job(engine, "share-prove", share->name, user);

    added->id = new_id();
    publish(engine, "share", &gw_share_record, (Put)gw_fabric_put_share, added);
    publish(engine, "job", &gw_job_record, (Put)gw_fabric_put_job, gw_record_ref(job));
    return job;
}

GwJob *gw_engine_prove_share(GwEngine *engine, const char *id, const char *user, GError **error)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&engine->lock);
    GwJob *job = begin_job(engine, "share-prove", id, user);

    publish(engine, "job", &gw_job_record, (Put)gw_fabric_put_job, gw_record_ref(job));
    return job;
}

gboolean gw_engine_remove_share(GwEngine *engine, const char *id, GError **error)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&engine->lock);
    GwFabric *next = gw_fabric_next(engine->fabric);

    gw_fabric_remove_share(next, id);
    publish_removed(engine, "share", next, id);
    return TRUE;
}

/* Placement ---------------------------------------------------------------------------------- */

GwHost *gw_engine_set_maintenance(GwEngine *engine, const char *id, gboolean on, GError **error)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&engine->lock);
    GwHost *host = gw_host_copy(gw_fabric_host(engine->fabric, id));

    host->maintenance = (int)(on ? GW_MAINTENANCE_ENTERING : GW_MAINTENANCE_NONE);
    publish(engine, "host", &gw_host_record, (Put)gw_fabric_put_host, gw_record_ref(host));
    return host;
}

GPtrArray *gw_engine_rule_conflicts(GwEngine *engine)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(engine);
    g_autoptr(GPtrArray) rules = gw_fabric_list_rules(fabric);
    GPtrArray *conflicts = gw_record_array(&gw_rule_conflict_record);

    for (guint i = 0; i < rules->len; i++) {
        const GwPlacementRule *rule = rules->pdata[i];
        GwRuleConflict *conflict = gw_rule_conflict_new();
        conflict->rule_id = g_strdup(rule->id);
        conflict->rule_name = g_strdup(rule->name);
        conflict->observed = g_strdup("it leaves no host");
        conflict->vms = g_strdupv(rule->vms);
        g_ptr_array_add(conflicts, conflict);
    }
    return conflicts;
}

GwPlacementRule *gw_engine_add_rule(GwEngine *engine, const GwPlacementRule *rule, GError **error)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&engine->lock);

    if (!gw_placement_rule_check(rule, error))
        return NULL;
    GwPlacementRule *added = gw_placement_rule_copy(rule);
    added->id = new_id();
    publish(engine, "rule", &gw_placement_rule_record, (Put)gw_fabric_put_rule,
            gw_record_ref(added));
    return added;
}

GwPlacementRule *gw_engine_change_rule(GwEngine *engine, const char *id, GwEdit edit, gpointer user,
                                       GError **error)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&engine->lock);
    GwPlacementRule *changed = gw_placement_rule_copy(gw_fabric_find_rule(engine->fabric, id));

    if (!edit(changed, user, error) || !gw_placement_rule_check(changed, error)) {
        gw_placement_rule_free(changed);
        return NULL;
    }
    publish(engine, "rule", &gw_placement_rule_record, (Put)gw_fabric_put_rule,
            gw_record_ref(changed));
    return changed;
}

gboolean gw_engine_remove_rule(GwEngine *engine, const char *id, GError **error)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&engine->lock);
    GwFabric *next = gw_fabric_next(engine->fabric);

    gw_fabric_remove_rule(next, id);
    publish_removed(engine, "rule", next, id);
    return TRUE;
}

/* Agents: one token is good at a time ------------------------------------------------------- */

GwJoinToken *gw_engine_add_join_token(GwEngine *engine, const GwJoinToken *token, const char *user,
                                      GError **error)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&engine->lock);

    if (token->address != NULL && !gw_join_check_address(token->address, error))
        return NULL;
    gw_join_token_free(engine->join);
    engine->join = gw_join_token_copy(token);
    engine->join->id = new_id();
    engine->join->host_id = new_id();
    engine->join->created_by = g_strdup(user);
    GwJoinToken *shown = gw_join_token_copy(engine->join);
    shown->token = g_strdup(FAKE_JOIN_TOKEN);
    return shown;
}

GPtrArray *gw_engine_join_tokens(GwEngine *engine, GError **error)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&engine->lock);
    GPtrArray *tokens = gw_record_array(&gw_join_token_record);

    if (engine->join != NULL)
        g_ptr_array_add(tokens, gw_join_token_copy(engine->join));
    return tokens;
}

gboolean gw_engine_remove_join_token(GwEngine *engine, const char *id, GError **error)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&engine->lock);

    if (engine->join == NULL || strcmp(engine->join->id, id) != 0)
        return missing("join token", id, error);
    g_clear_pointer(&engine->join, gw_join_token_free);
    return TRUE;
}

gboolean gw_engine_knows_join_token(GwEngine *engine, const char *token, GError **error)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&engine->lock);

    if (engine->join != NULL && strcmp(token, FAKE_JOIN_TOKEN) == 0)
        return TRUE;
    gw_error_set(error, GW_ERR_UNAUTHORIZED, "Make a new one.", "the join token is unknown");
    return FALSE;
}

/* The certificate of the answer is what came as the request, so that a test can see it. */
GwJoinAnswer *gw_engine_join(GwEngine *engine, const GwJoinRequest *request, const char *peer,
                             GError **error)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&engine->lock);

    if (strstr(request->request, "garbage") != NULL) {
        gw_error_set(error, GW_ERR_INVALID, "Send a request.", "no certificate request");
        return NULL;
    }
    GwJoinAnswer *answer = gw_join_answer_new();
    answer->host_id = g_strdup(engine->join->host_id);
    answer->fabric_id = g_strdup(peer);
    answer->certificate = g_strdup(request->request);
    answer->authority = g_strdup("CA");
    answer->ticket_key = g_strdup("key");
    g_clear_pointer(&engine->join, gw_join_token_free);
    return answer;
}

GPtrArray *gw_engine_check_host(GwEngine *engine, const char *host, const char *peer,
                                GError **error)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&engine->lock);

    if (peer != NULL && gw_fabric_find_host(engine->fabric, peer) == NULL) {
        missing("host", peer, error);
        return NULL;
    }
    GPtrArray *lines = gw_record_array(&gw_check_line_record);
    GwCheckLine *line = gw_check_line_new();
    line->name = g_strdup("reachable");
    line->host_id = g_strdup(host);
    line->outcome = peer != NULL ? GW_CHECK_FAILED : GW_CHECK_OK;
    line->observed = g_strdup(peer);
    g_ptr_array_add(lines, line);
    return lines;
}

/* Moves -------------------------------------------------------------------------------------- */

static void add_transfer(GwCandidate *candidate, GwTransfer transfer, const char *explanation)
{
    GwTransferOption *option = gw_transfer_option_new();

    option->transfer = transfer;
    option->available = candidate->transfer == (int)transfer;
    option->explanation = g_strdup(explanation);
    g_ptr_array_add(candidate->transfers, option);
}

/* vda goes to @storage. */
static GPtrArray *disks_to(const char *storage, GwDiskHow how)
{
    GPtrArray *disks = gw_record_array(&gw_disk_move_record);
    GwDiskMove *move = gw_disk_move_new();
    GwImageMove *image = gw_image_move_new();

    image->from = gw_volume_new();
    image->from->pool = g_strdup("default");
    image->to = gw_volume_new();
    image->to->pool = g_strdup(storage);
    move->target = g_strdup("vda");
    move->how = how;
    move->images = gw_record_array(&gw_image_move_record);
    move->need_bytes = 20480;
    move->copy_bytes = 10240;
    g_ptr_array_add(move->images, image);
    g_ptr_array_add(disks, move);
    return disks;
}

static void add_storage(GwCandidate *candidate, const GwMoveOptions *options)
{
    const char *storage = options != NULL ? options->storage : NULL;

    if (storage != NULL || (options != NULL && options->copy_all))
        candidate->transfer = GW_TRANSFER_LIVE_VSM;
    candidate->transfers = gw_record_array(&gw_transfer_option_record);
    add_transfer(candidate, GW_TRANSFER_LIVE, "Both hosts reach the VM's storage.");
    add_transfer(candidate, GW_TRANSFER_LIVE_VSM, "The disks are copied.");
    add_transfer(candidate, GW_TRANSFER_SAN, "No disk is a LUN.");
    if (candidate->transfer == GW_TRANSFER_LIVE_VSM)
        candidate->disks = disks_to(storage, GW_DISK_MIRROR);
}

/* Hosts of "Rack 1" get four stars, others two and a half. */
static GwRating *rating_of(const GwHost *host, gboolean suitable)
{
    GwRating *rating = gw_rating_new();
    GwRatingFactor *factor = gw_rating_factor_new();
    gboolean good = g_strcmp0(host->group_id, "g1") == 0;

    rating->stars = !suitable ? 0 : good ? 4 : 2.5;
    rating->points = (gint64)(rating->stars * 200000);
    rating->factors = gw_record_array(&gw_rating_factor_record);
    factor->name = g_strdup("memory");
    factor->requirement = g_strdup("R33");
    factor->stars = rating->stars;
    factor->weight = 50;
    factor->lowers = TRUE;
    factor->observed = g_strdup("half of its memory would be left");
    g_ptr_array_add(rating->factors, factor);
    return rating;
}

static GwCandidate *candidate_of(const GwHost *host, const GwMoveOptions *options)
{
    GwCandidate *candidate = gw_candidate_new();

    candidate->host_id = g_strdup(host->id);
    candidate->host_name = g_strdup(host->name);
    candidate->transfer = GW_TRANSFER_LIVE;
    add_storage(candidate, options);
    candidate->suitable = strcmp(host->name, "refuses") != 0;
    candidate->findings = gw_record_array(&gw_finding_record);
    if (!candidate->suitable) {
        GwFinding *finding = gw_finding_new();
        finding->rule = g_strdup("pci-passthrough");
        finding->requirement = g_strdup("R55");
        finding->observed = g_strdup("PCI device 0000:03:00.0");
        finding->required = g_strdup("no passed-through device");
        finding->remedy = g_strdup("Detach it.");
        g_ptr_array_add(candidate->findings, finding);
    }
    candidate->rating = rating_of(host, candidate->suitable);
    return candidate;
}

GwVm *gw_engine_start_vm(GwEngine *engine, const char *which, GError **error)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(engine);
    const GwVm *known = gw_fabric_find_vm(fabric, which, error);
    GwVm *vm = gw_vm_copy(known);

    if (vm != NULL)
        vm->state = GW_VM_RUNNING;
    return vm;
}

GPtrArray *gw_engine_candidates(GwEngine *engine, const char *vm, const GwMoveOptions *options,
                                gboolean brief, GError **error)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(engine);

    if (gw_fabric_find_vm(fabric, vm, error) == NULL)
        return NULL;
    g_autoptr(GPtrArray) hosts = gw_fabric_list_hosts(fabric);
    GPtrArray *candidates = gw_record_array(&gw_candidate_record);
    for (guint i = 0; i < hosts->len; i++) {
        GwCandidate *candidate = candidate_of(hosts->pdata[i], options);
        if (brief)
            g_clear_pointer(&candidate->transfers, g_ptr_array_unref);
        g_ptr_array_add(candidates, candidate);
    }
    return candidates;
}

GPtrArray *gw_engine_leaving(GwEngine *engine, const char *host, GError **error)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(engine);
    g_autoptr(GPtrArray) vms = gw_fabric_list_vms(fabric, host);
    GPtrArray *all = gw_record_array(&gw_leaving_record);

    for (guint i = 0; i < vms->len; i++) {
        const GwVm *vm = vms->pdata[i];
        GwLeaving *leaving = gw_leaving_new();
        leaving->vm_uuid = g_strdup(vm->uuid);
        leaving->vm_name = g_strdup(vm->name);
        leaving->state = vm->state;
        leaving->leaves = vm->state != (int)GW_VM_PAUSED;
        leaving->nearest =
            candidate_of(gw_fabric_host(fabric, leaving->leaves ? "h2" : "h3"), NULL);
        leaving->hosts = leaving->leaves ? 2 : 0;
        leaving->why = leaving->leaves ? NULL : g_strdup("refuses: PCI device 0000:03:00.0");
        g_ptr_array_add(all, leaving);
    }
    return all;
}

/* The host, or the first of a group that does not refuse. */
static const GwHost *destination_of(const GwFabric *fabric, const char *which, GError **error)
{
    const GwHost *host = gw_fabric_find_host(fabric, which);
    const GwGroup *group = gw_fabric_find_group(fabric, which);

    if (host != NULL)
        return host;
    if (group == NULL) {
        missing("host", which, error);
        return NULL;
    }
    g_autoptr(GPtrArray) hosts = gw_fabric_list_hosts(fabric);
    for (guint i = 0; i < hosts->len; i++) {
        const GwHost *each = hosts->pdata[i];
        if (g_strcmp0(each->group_id, group->id) == 0 && strcmp(each->name, "refuses") != 0)
            return each;
    }
    gw_error_set(error, GW_ERR_REFUSED, "Choose another group.", "no host of '%s' takes it",
                 group->name);
    return NULL;
}

GwMovePlan *gw_engine_plan_move(GwEngine *engine, const char *vm_id, const GwMoveRequest *request,
                                GError **error)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(engine);
    const GwVm *vm = gw_fabric_find_vm(fabric, vm_id, error);

    if (vm == NULL)
        return NULL;
    const GwHost *host = destination_of(fabric, request->destination, error);
    if (host == NULL)
        return NULL;
    GwMovePlan *plan = gw_move_plan_new();
    plan->vm_uuid = g_strdup(vm->uuid);
    plan->vm_name = g_strdup(vm->name);
    plan->candidate = candidate_of(host, request->options);
    return plan;
}

GwJob *gw_engine_migrate(GwEngine *engine, const char *vm, const GwMoveRequest *request,
                         const char *user, GwMovePlan **refused, GError **error)
{
    g_autoptr(GwMovePlan) plan = gw_engine_plan_move(engine, vm, request, error);

    if (plan == NULL)
        return NULL;
    if (!plan->candidate->suitable) {
        gw_error_set(error, GW_ERR_REFUSED, "See the findings.", "%s cannot move to %s",
                     plan->vm_name, plan->candidate->host_name);
        if (refused != NULL)
            *refused = g_steal_pointer(&plan);
        return NULL;
    }
    if (strcmp(plan->candidate->host_name, "slow") == 0)
        g_usleep(G_USEC_PER_SEC);
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&engine->lock);
    GwJob *job = begin_job(engine, GW_JOB_KIND_MIGRATE, plan->vm_name, user);
    job->options = gw_move_options_copy(request->options);
    job->disks = g_steal_pointer(&plan->candidate->disks);
    job->vm_uuid = g_strdup(plan->vm_uuid);
    job->vm_name = g_strdup(plan->vm_name);
    job->destination_host_id = g_strdup(plan->candidate->host_id);
    engine->moves++;
    publish(engine, "job", &gw_job_record, (Put)gw_fabric_put_job, gw_record_ref(job));
    return job;
}

/* Storage: a pool named "full" refuses ------------------------------------------------------- */

GwMovePlan *gw_engine_plan_storage(GwEngine *engine, const char *vm_id,
                                   const GwStorageRequest *request, GError **error)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(engine);
    const GwVm *vm = gw_fabric_find_vm(fabric, vm_id, error);

    if (vm == NULL)
        return NULL;
    GwMovePlan *plan = gw_move_plan_new();
    plan->vm_uuid = g_strdup(vm->uuid);
    plan->vm_name = g_strdup(vm->name);
    plan->candidate = candidate_of(gw_fabric_host(fabric, vm->host_id), NULL);
    plan->candidate->transfer = GW_TRANSFER_STORAGE;
    plan->candidate->disks = disks_to(request->storage, GW_DISK_BLOCK_COPY);
    if (g_strcmp0(request->storage, "full") == 0) {
        GwFinding *finding = gw_finding_new();
        finding->rule = g_strdup("storage-space");
        finding->requirement = g_strdup("R27");
        finding->observed = g_strdup("10 KiB are free in the pool full");
        g_ptr_array_add(plan->candidate->findings, finding);
        plan->candidate->suitable = FALSE;
    }
    return plan;
}

GwJob *gw_engine_migrate_storage(GwEngine *engine, const char *vm, const GwStorageRequest *request,
                                 const char *user, GwMovePlan **refused, GError **error)
{
    g_autoptr(GwMovePlan) plan = gw_engine_plan_storage(engine, vm, request, error);

    if (plan == NULL)
        return NULL;
    if (!plan->candidate->suitable) {
        gw_error_set(error, GW_ERR_REFUSED, "See the findings.", "%s cannot move there",
                     plan->vm_name);
        *refused = g_steal_pointer(&plan);
        return NULL;
    }
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&engine->lock);
    GwJob *job = begin_job(engine, GW_JOB_KIND_STORAGE, plan->vm_name, user);
    job->vm_name = g_strdup(plan->vm_name);
    job->disks = g_steal_pointer(&plan->candidate->disks);
    job->tasks = gw_record_array(&gw_task_record);
    g_ptr_array_add(job->tasks, gw_task_new());
    engine->moves++;
    publish(engine, "job", &gw_job_record, (Put)gw_fabric_put_job, gw_record_ref(job));
    return job;
}

GPtrArray *gw_engine_locations(GwEngine *engine, const char *host, GError **error)
{
    GPtrArray *locations = gw_record_array(&gw_storage_location_record);
    GwStorageLocation *location = gw_storage_location_new();

    location->pool = g_strdup_printf("pool of %s", host);
    location->is_default = TRUE;
    location->available_bytes = 1000;
    location->promised_bytes = 400;
    g_ptr_array_add(locations, location);
    return locations;
}

GwUndoPlan *gw_engine_plan_undo(GwEngine *engine, const char *id, GError **error)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(engine);
    const GwJob *job = gw_fabric_find_job(fabric, id, error);

    if (job == NULL)
        return NULL;
    GwUndoPlan *plan = gw_undo_plan_new();
    plan->job_id = g_strdup(job->id);
    plan->possible = gw_job_state_is_final(job->state);
    plan->kind = g_strdup(job->kind);
    if (plan->possible)
        plan->steps = g_strsplit("copy back what changed|start it there", "|", 0);
    else
        plan->why_not = g_strdup("the job has not ended");
    return plan;
}

/* The host "refuses" takes nothing back, either. */
static GwMovePlan *plan_back(GwEngine *engine, const char *id)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(engine);
    const GwJob *job = gw_fabric_find_job(fabric, id, NULL);
    const GwHost *back =
        job->source_host_id != NULL ? gw_fabric_host(fabric, job->source_host_id) : NULL;
    GwMovePlan *plan = gw_move_plan_new();

    if (back != NULL)
        plan->candidate = candidate_of(back, NULL);
    return plan;
}

GwJob *gw_engine_undo(GwEngine *engine, const char *id, const char *user, GwMovePlan **refused,
                      GError **error)
{
    g_autoptr(GwUndoPlan) plan = gw_engine_plan_undo(engine, id, error);

    if (plan == NULL)
        return NULL;
    if (!plan->possible) {
        gw_error_set(error, GW_ERR_CONFLICT, "Cancel it, or wait.", "%s", plan->why_not);
        return NULL;
    }
    g_autoptr(GwMovePlan) back = plan_back(engine, id);
    if (back->candidate != NULL && !back->candidate->suitable) {
        gw_error_set(error, GW_ERR_REFUSED, "See the findings.", "it cannot be moved back");
        *refused = g_steal_pointer(&back);
        return NULL;
    }
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&engine->lock);
    GwJob *job = begin_job(engine, plan->kind, "Undo", user);
    job->undoes = g_strdup(plan->job_id);
    publish(engine, "job", &gw_job_record, (Put)gw_fabric_put_job, gw_record_ref(job));
    return job;
}

GwJob *gw_engine_remove_kept(GwEngine *engine, const char *id, const char *user, GError **error)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&engine->lock);
    GwJob *job = begin_job(engine, GW_JOB_KIND_VOLUME_REMOVE, id, user);
    GwFabric *next = gw_fabric_next(engine->fabric);

    gw_fabric_remove_kept(next, id);
    publish_removed(engine, "kept", next, id);
    publish(engine, "job", &gw_job_record, (Put)gw_fabric_put_job, gw_record_ref(job));
    return job;
}

static GwJob *copy_of_job(GwEngine *engine, const char *id, GError **error)
{
    const GwJob *job = gw_fabric_find_job(engine->fabric, id, error);
    return job != NULL ? gw_job_copy(job) : NULL;
}

static GwJob *published_job(GwEngine *engine, GwJob *job)
{
    publish(engine, "job", &gw_job_record, (Put)gw_fabric_put_job, gw_record_ref(job));
    return job;
}

/* Plans: one move for each VM that is named, or what the request cannot be. ----------------------
 */

GwBalanceStatus *gw_engine_balance(GwEngine *engine, const char *group, GError **error)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(engine);
    const GwGroup *found = gw_fabric_find_group(fabric, group);
    GwBalanceStatus *status = gw_balance_status_new();

    (void)error;
    status->group_id = g_strdup(found->id);
    status->group_name = g_strdup(found->name);
    if (found->balance != NULL)
        status->mode = found->balance->mode;
    return status;
}

GwMigrationPlan *gw_engine_plan(GwEngine *engine, const GwPlanRequest *request, GError **error)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(engine);
    GwMigrationPlan *plan = gw_migration_plan_new();

    plan->kind = request->kind;
    plan->request = gw_plan_request_copy(request);
    plan->fingerprint = g_strdup("as it is");
    plan->moves = gw_record_array(&gw_planned_move_record);
    for (guint i = 0; request->vms != NULL && request->vms[i] != NULL; i++) {
        const GwVm *vm = gw_fabric_find_vm(fabric, request->vms[i], error);
        if (vm == NULL) {
            gw_migration_plan_free(plan);
            return NULL;
        }
        GwPlannedMove *move = gw_planned_move_new();
        move->wave = 1;
        move->vm_uuid = g_strdup(vm->uuid);
        move->vm_name = g_strdup(vm->name);
        move->source_host_id = g_strdup(vm->host_id);
        move->destination_host_id = g_strdup("h2");
        g_ptr_array_add(plan->moves, move);
    }
    return plan;
}

GwJob *gw_engine_apply_plan(GwEngine *engine, const GwMigrationPlan *plan, const char *user,
                            GError **error)
{
    if (g_strcmp0(plan->fingerprint, "as it is") != 0) {
        gw_error_set(error, GW_ERR_CONFLICT, "Make it again.", "the world has changed");
        return NULL;
    }
    GwJob *job = gw_job_new();
    job->id = g_strdup("01PLANJOBAAAAAAAAAAAAAAA01");
    job->kind = g_strdup(GW_JOB_KIND_MOVES);
    job->title = g_strdup("Move VMs");
    job->state = GW_JOB_QUEUED;
    job->user = g_strdup(user);
    job->plan = gw_migration_plan_copy(plan);
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&engine->lock);
    return published_job(engine, job);
}

GwJob *gw_engine_pause_job(GwEngine *engine, const char *id, gboolean on, GError **error)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&engine->lock);
    GwJob *job = copy_of_job(engine, id, error);

    if (job == NULL)
        return NULL;
    if (job->plan == NULL) {
        gw_error_set(error, GW_ERR_CONFLICT, NULL, "the job carries out no plan");
        gw_job_free(job);
        return NULL;
    }
    job->pause_requested = on;
    return published_job(engine, job);
}

GwJob *gw_engine_cancel_job(GwEngine *engine, const char *id, GError **error)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&engine->lock);
    GwJob *job = copy_of_job(engine, id, error);

    if (job == NULL)
        return NULL;
    if (gw_job_state_is_final(job->state)) {
        gw_error_set(error, GW_ERR_CONFLICT, NULL, "the job has ended");
        gw_job_free(job);
        return NULL;
    }
    job->cancel_requested = TRUE;
    job->state = GW_JOB_CANCELLED;
    return published_job(engine, job);
}

GwJob *gw_engine_change_job(GwEngine *engine, const char *id, const GwJobChange *change,
                            GError **error)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&engine->lock);
    GwJob *job = copy_of_job(engine, id, error);

    if (job == NULL)
        return NULL;
    if (job->options == NULL)
        job->options = gw_move_options_new();
    if (change->bandwidth_mibps >= 0)
        job->options->bandwidth_mibps = change->bandwidth_mibps;
    if (change->max_downtime_ms >= 0)
        job->options->max_downtime_ms = change->max_downtime_ms;
    return published_job(engine, job);
}

GwJob *gw_engine_post_copy(GwEngine *engine, const char *id, GError **error)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&engine->lock);
    GwJob *job = copy_of_job(engine, id, error);

    if (job == NULL)
        return NULL;
    if (job->options == NULL || !job->options->post_copy) {
        gw_error_set(error, GW_ERR_CONFLICT, NULL, "the move was not started with post-copy");
        gw_job_free(job);
        return NULL;
    }
    return published_job(engine, job);
}

GwJob *gw_engine_settle_job(GwEngine *engine, const char *id, GwKeep keep, GError **error)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&engine->lock);
    GwJob *job = copy_of_job(engine, id, error);

    if (job == NULL)
        return NULL;
    if (job->state != GW_JOB_HELD) {
        gw_error_set(error, GW_ERR_CONFLICT, NULL, "the job asks nothing");
        gw_job_free(job);
        return NULL;
    }
    job->state = keep == GW_KEEP_DESTINATION ? GW_JOB_DONE : GW_JOB_FAILED;
    return published_job(engine, job);
}

/* Tokens and replies ------------------------------------------------------------------------- */

char *gw_engine_check_token(GwEngine *engine, const char *token, GError **error)
{
    if (strcmp(token, FAKE_TOKEN) == 0)
        return g_strdup("admin");
    if (strcmp(token, FAKE_TOKEN_OTHER) == 0)
        return g_strdup("other");
    gw_error_set(error, GW_ERR_UNAUTHORIZED, NULL, "the token is not known or no longer valid");
    return NULL;
}

json_t *gw_engine_recall_reply(GwEngine *engine, const char *key, GError **error)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&engine->lock);
    return json_incref(g_hash_table_lookup(engine->replies, key));
}

gboolean gw_engine_remember_reply(GwEngine *engine, const char *key, json_t *reply, GError **error)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&engine->lock);
    g_hash_table_replace(engine->replies, g_strdup(key), json_incref(reply));
    return TRUE;
}

GwRestart *gw_engine_restart(GwEngine *engine, const char *vm, GError **error)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(engine);
    const GwVm *found = gw_fabric_find_vm(fabric, vm, error);
    GwRestart *restart = found != NULL ? gw_restart_new() : NULL;

    if (restart != NULL)
        restart->gains = g_strsplit("h2", ",", -1);
    return restart;
}

GwCpuBaseline *gw_engine_cpu_baseline(GwEngine *engine, const GwCpuBaselineRequest *request,
                                      GError **error)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(engine);
    GwCpuBaseline *baseline = gw_cpu_baseline_new();

    baseline->hosts = gw_record_array(&gw_cpu_baseline_host_record);
    baseline->virt_type = g_strdup(request->virt_type);
    for (guint i = 0; request->hosts != NULL && request->hosts[i] != NULL; i++) {
        const GwHost *host = gw_fabric_find_host(fabric, request->hosts[i]);
        if (host == NULL) {
            missing("host", request->hosts[i], error);
            gw_cpu_baseline_free(baseline);
            return NULL;
        }
        GwCpuBaselineHost *row = gw_cpu_baseline_host_new();
        row->host_id = g_strdup(host->id);
        g_ptr_array_add(baseline->hosts, row);
    }
    return baseline;
}
