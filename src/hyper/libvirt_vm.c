/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "hyper/libvirt_internal.h"
#include "model/libvirt_xml.h"

/* VMs as the host has them: lists, one of them, its definition, its state right now. */

#define STUCK_MAX 2 /* VMs of a host whose QEMU may be waited for in one list, 30 s each */

/* Finding ------------------------------------------------------------------------------------- */

virDomainPtr gw_lv_find(GwLvTask *task, GError **error)
{
    const char *uuid = task->request->vm_uuid;
    virDomainPtr domain = uuid != NULL ? virDomainLookupByUUIDString(task->conn->ptr, uuid) : NULL;

    if (uuid == NULL)
        gw_error_set(error, GW_ERR_INVALID, NULL, "no VM is named");
    else if (domain == NULL && gw_lv_last_code() != VIR_ERR_NO_DOMAIN)
        gw_lv_error(error);
    return domain;
}

virDomainPtr gw_lv_need(GwLvTask *task, GError **error)
{
    GError *why = NULL;
    virDomainPtr domain = gw_lv_find(task, &why);

    if (domain == NULL && why == NULL)
        gw_error_set(&why, GW_ERR_NOT_FOUND, NULL, "the host has no VM with UUID %s",
                     task->request->vm_uuid);
    if (why != NULL)
        g_propagate_error(error, why);
    return domain;
}

/* Jobs ---------------------------------------------------------------------------------------- */

static GwLvJob job_of_operation(int operation)
{
    switch (operation) {
    case VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT:
        return GW_LV_JOB_OUT;
    case VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN:
        return GW_LV_JOB_IN;
    default:
        return GW_LV_JOB_OTHER;
    }
}

/* The type says NONE where no job runs. Any other, COMPLETED too, is one that has not been cleared
 * away: libvirt keeps it from QEMU's last page until both ends agree. */
GwLvJob gw_lv_job(virDomainPtr domain)
{
    g_auto(GwLvParams) params = { 0 };
    int type = VIR_DOMAIN_JOB_NONE;
    int operation = VIR_DOMAIN_JOB_OPERATION_UNKNOWN;

    if (virDomainGetJobStats(domain, &type, &params.list, &params.count, 0) < 0) {
        /* What libvirt has to say of a destination's job, and the only way it says it. */
        if (strstr(virGetLastErrorMessage(), "only on the source host") != NULL)
            return GW_LV_JOB_IN;
        return gw_lv_last_code() == VIR_ERR_OPERATION_INVALID ||
                       gw_lv_last_code() == VIR_ERR_NO_DOMAIN
                   ? GW_LV_JOB_NONE /* not active any more */
                   : GW_LV_JOB_UNKNOWN;
    }
    if (type == VIR_DOMAIN_JOB_NONE)
        return GW_LV_JOB_NONE;
    virTypedParamsGetInt(params.list, params.count, VIR_DOMAIN_JOB_OPERATION, &operation);
    return job_of_operation(operation);
}

gboolean gw_lv_is_arriving(virDomainPtr domain)
{
    return virDomainIsActive(domain) == 1 && gw_lv_job(domain) == GW_LV_JOB_IN;
}

/* Copies, commits and pulls that show in the definition are there already; the others only show
 * here. */
static void ask_block_jobs(virDomainPtr domain, GwVm *vm)
{
    for (guint i = 0; vm->disks != NULL && i < vm->disks->len; i++) {
        GwDisk *disk = vm->disks->pdata[i];
        virDomainBlockJobInfo info = { 0 };
        if (disk->target == NULL || disk->block_job || !gw_disk_is_writable(disk))
            continue;
        int result = virDomainGetBlockJobInfo(domain, disk->target, &info, 0);
        if (result < 0 && gw_lv_last_code() == VIR_ERR_OPERATION_TIMEOUT)
            break; /* a job that lets no question through */
        disk->block_job = result > 0;
        disk->block_job_kind = result > 0 ? g_strdup(gw_lv_block_job(info.type)) : NULL;
    }
}

static void set_job(virDomainPtr domain, GwVm *vm, GwLvJob job)
{
    vm->job_active = job != GW_LV_JOB_NONE;
    vm->incoming = job == GW_LV_JOB_IN && vm->state == GW_VM_PAUSED;
    if (job == GW_LV_JOB_NONE || job == GW_LV_JOB_OUT)
        ask_block_jobs(domain, vm);
}

/* One VM -------------------------------------------------------------------------------------- */

/* What is known of a VM whose definition cannot be read. */
static GwVm *stub(virDomainPtr domain, const char *why)
{
    GwVm *vm = gw_vm_new();

    vm->name = gw_text_printable(virDomainGetName(domain), GW_TEXT_NAME_MAX);
    vm->error = gw_text_printable(why, GW_TEXT_MESSAGE_MAX);
    return vm;
}

/* NULL: it has gone. */
static GwVm *read_xml(virDomainPtr domain)
{
    g_autoptr(GError) error = NULL;
    char *xml = virDomainGetXMLDesc(domain, 0);

    if (xml == NULL && gw_lv_last_code() == VIR_ERR_NO_DOMAIN)
        return NULL;
    if (xml == NULL)
        gw_lv_error(&error);
    GwVm *vm = xml != NULL ? gw_libvirt_vm_from_xml(xml, &error) : NULL;
    free(xml);
    if (vm != NULL)
        return vm;
    g_prefix_error(&error, "its definition cannot be read: ");
    return stub(domain, error->message);
}

/* What a restart would boot it with (R11). Where that cannot be read nothing is claimed of it. */
static void read_next(virDomainPtr domain, GwVm *vm)
{
    char *xml = virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_INACTIVE);

    if (xml != NULL)
        vm->next = gw_libvirt_next_from_xml(xml, NULL);
    free(xml);
}

/* NULL: it has gone meanwhile. One that cannot be read does not hide the others. */
static GwVm *read_definition(GwLvTask *task, virDomainPtr domain, GwLvJob job)
{
    char uuid[VIR_UUID_STRING_BUFLEN] = "";
    GwVm *vm = NULL;

    /* libvirt 11 lets nobody read a destination's definition (the inactive one neither) before the
     * VM has arrived: each try costs half a minute and fails. The same for one that is stuck. */
    if (job == GW_LV_JOB_IN)
        vm = stub(domain, "its definition cannot be read until the VM has arrived");
    else if (job == GW_LV_JOB_UNKNOWN)
        vm = stub(domain, "QEMU does not answer, or a job lets nobody ask it");
    else
        vm = read_xml(domain);
    if (vm == NULL)
        return NULL;

    /* Whatever the definition says, this is what the host answers to. */
    virDomainGetUUIDString(domain, uuid);
    g_free(vm->uuid);
    vm->uuid = g_strdup(uuid);
    vm->host_id = g_strdup(task->host->id);
    gw_lv_fill_sizes(task->host, vm);
    return vm;
}

static void set_state(GwVm *vm, int state, int reason)
{
    vm->state = gw_lv_state(state);
    vm->state_reason = g_strdup(gw_lv_reason(state, reason));
}

/* NULL with @error unset: it has gone. */
static GwVm *describe(GwLvTask *task, virDomainPtr domain, GError **error)
{
    int state = 0, reason = 0, autostart = 0;

    if (virDomainGetState(domain, &state, &reason, 0) < 0) {
        if (gw_lv_last_code() != VIR_ERR_NO_DOMAIN)
            gw_lv_error(error);
        return NULL;
    }
    GwLvJob job = state == VIR_DOMAIN_SHUTOFF ? GW_LV_JOB_NONE : gw_lv_job(domain);
    g_autoptr(GwVm) vm = read_definition(task, domain, job);
    if (vm == NULL)
        return NULL;
    set_state(vm, state, reason);
    int persistent = virDomainIsPersistent(domain);
    if (persistent < 0) {
        gw_lv_error(error);
        return NULL;
    }
    vm->persistent = persistent == 1;
    virDomainGetAutostart(domain, &autostart);
    vm->autostart = autostart != 0;
    vm->snapshots = MAX(virDomainSnapshotNum(domain, 0), 0);
    if (gw_vm_is_active(vm))
        set_job(domain, vm, job);
    if (vm->persistent && gw_vm_is_active(vm) && vm->error == NULL)
        read_next(domain, vm);
    if (gw_vm_is_active(vm) && (job == GW_LV_JOB_NONE || job == GW_LV_JOB_OUT))
        gw_lv_ask_sizes(domain, vm);
    return g_steal_pointer(&vm);
}

gboolean gw_lv_op_get(GwLvTask *task, GwReply *reply, GError **error)
{
    GError *why = NULL;
    g_autoptr(virDomain) domain = gw_lv_find(task, &why);
    GwVm *vm = domain != NULL ? describe(task, domain, &why) : NULL;

    if (why != NULL) {
        g_propagate_error(error, why);
        return FALSE;
    }
    reply->vms = gw_record_array(&gw_vm_record);
    if (vm != NULL)
        g_ptr_array_add(reply->vms, vm);
    return TRUE;
}

/* All VMs ------------------------------------------------------------------------------------- */

/* What a few calls tell of all VMs at once, by UUID, to save several calls for each. */
typedef struct {
    GHashTable *persistent;
    GHashTable *autostart;
    GHashTable *snapshots;
    GHashTable *states; /* -> state * 256 + reason, + 1 to differ from absent */
} Overview;

static void clear_overview(Overview *overview)
{
    g_clear_pointer(&overview->persistent, g_hash_table_unref);
    g_clear_pointer(&overview->autostart, g_hash_table_unref);
    g_clear_pointer(&overview->snapshots, g_hash_table_unref);
    g_clear_pointer(&overview->states, g_hash_table_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Overview, clear_overview)

static void free_domain(gpointer domain)
{
    virDomainFree(domain);
}

/* virDomainPtr, or NULL with @error. */
static GPtrArray *list_domains(virConnectPtr ptr, guint flags, GError **error)
{
    virDomainPtr *domains = NULL;
    int count = virConnectListAllDomains(ptr, &domains, flags);

    if (count < 0) {
        gw_lv_error(error);
        return NULL;
    }
    GPtrArray *array = g_ptr_array_new_with_free_func(free_domain);
    for (int i = 0; i < count; i++)
        g_ptr_array_add(array, domains[i]);
    free(domains);
    return array;
}

static char *uuid_of(virDomainPtr domain)
{
    char uuid[VIR_UUID_STRING_BUFLEN] = "";

    virDomainGetUUIDString(domain, uuid);
    return g_strdup(uuid);
}

static GHashTable *list_set(virConnectPtr ptr, guint flags, GError **error)
{
    g_autoptr(GPtrArray) domains = list_domains(ptr, flags, error);
    if (domains == NULL)
        return NULL;

    GHashTable *set = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (guint i = 0; i < domains->len; i++)
        g_hash_table_add(set, uuid_of(domains->pdata[i]));
    return set;
}

static GHashTable *list_states(virConnectPtr ptr)
{
    GHashTable *states = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    virDomainStatsRecordPtr *records = NULL;
    int count = virConnectGetAllDomainStats(ptr, VIR_DOMAIN_STATS_STATE, &records, 0);

    for (int i = 0; i < count; i++) {
        int state = 0, reason = 0;
        virTypedParamsGetInt(records[i]->params, records[i]->nparams, "state.state", &state);
        virTypedParamsGetInt(records[i]->params, records[i]->nparams, "state.reason", &reason);
        g_hash_table_insert(states, uuid_of(records[i]->dom),
                            GINT_TO_POINTER((state << 8) + (reason & 255) + 1));
    }
    if (records != NULL)
        virDomainStatsRecordListFree(records);
    return states;
}

static gboolean read_overview(virConnectPtr ptr, Overview *overview, GError **error)
{
    overview->persistent = list_set(ptr, VIR_CONNECT_LIST_DOMAINS_PERSISTENT, error);
    if (overview->persistent == NULL)
        return FALSE;
    overview->autostart = list_set(ptr, VIR_CONNECT_LIST_DOMAINS_AUTOSTART, error);
    if (overview->autostart == NULL)
        return FALSE;
    overview->snapshots = list_set(ptr, VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT, error);
    if (overview->snapshots == NULL)
        return FALSE;
    overview->states = list_states(ptr);
    return TRUE;
}

/* FALSE: it has gone. */
static gboolean known_state(const Overview *overview, virDomainPtr domain, int *state, int *reason)
{
    g_autofree char *uuid = uuid_of(domain);
    int packed = GPOINTER_TO_INT(g_hash_table_lookup(overview->states, uuid));

    *state = (packed - 1) >> 8;
    *reason = (packed - 1) & 255;
    if (packed == 0 && virDomainGetState(domain, state, reason, 0) < 0) {
        if (gw_lv_last_code() == VIR_ERR_NO_DOMAIN)
            return FALSE;
        *state = VIR_DOMAIN_NOSTATE;
        *reason = 0;
    }
    return TRUE;
}

/* The job, unless others of this host have cost enough time already. */
static GwLvJob listed_job(virDomainPtr domain, int state, guint *stuck)
{
    if (state == VIR_DOMAIN_SHUTOFF)
        return GW_LV_JOB_NONE;
    if (*stuck >= STUCK_MAX)
        return GW_LV_JOB_UNKNOWN;
    GwLvJob job = gw_lv_job(domain);
    *stuck += job == GW_LV_JOB_UNKNOWN ? 1 : 0;
    return job;
}

static GwVm *describe_listed(GwLvTask *task, virDomainPtr domain, const Overview *overview,
                             guint *stuck)
{
    int state = 0, reason = 0;

    if (!known_state(overview, domain, &state, &reason))
        return NULL;
    GwLvJob job = listed_job(domain, state, stuck);
    GwVm *vm = read_definition(task, domain, job);
    if (vm == NULL)
        return NULL;
    set_state(vm, state, reason);
    vm->persistent = g_hash_table_contains(overview->persistent, vm->uuid);
    vm->autostart = g_hash_table_contains(overview->autostart, vm->uuid);
    if (g_hash_table_contains(overview->snapshots, vm->uuid))
        vm->snapshots = MAX(virDomainSnapshotNum(domain, 0), 1);
    if (gw_vm_is_active(vm))
        set_job(domain, vm, job);
    if (vm->persistent && gw_vm_is_active(vm) && vm->error == NULL)
        read_next(domain, vm);
    return vm;
}

gboolean gw_lv_op_list(GwLvTask *task, GwReply *reply, GError **error)
{
    virConnectPtr ptr = task->conn->ptr;
    g_auto(Overview) overview = { .persistent = NULL };
    guint stuck = 0;

    if (!read_overview(ptr, &overview, error))
        return FALSE;
    g_autoptr(GPtrArray) domains = list_domains(ptr, 0, error);
    if (domains == NULL)
        return FALSE;

    g_autoptr(GPtrArray) vms = gw_record_array(&gw_vm_record);
    for (guint i = 0; i < domains->len; i++) {
        GwVm *vm = describe_listed(task, domains->pdata[i], &overview, &stuck);
        if (vm != NULL)
            g_ptr_array_add(vms, vm);
        /* With the connection gone every VM would look unreadable: that is no list. */
        if (!gw_lv_alive(ptr)) {
            gw_error_set(error, GW_ERR_UNREACHABLE, NULL, "broken off after %u of %u VMs", i,
                         domains->len);
            return FALSE;
        }
    }
    reply->vms = g_steal_pointer(&vms);
    return TRUE;
}

/* Definition and state ------------------------------------------------------------------------ */

char *gw_lv_xml(virDomainPtr domain, guint flags, GError **error)
{
    char *xml = virDomainGetXMLDesc(domain, flags);
    char *copy = g_strdup(xml);

    if (xml == NULL)
        gw_lv_error(error);
    free(xml);
    return copy;
}

gboolean gw_lv_op_xml(GwLvTask *task, GwReply *reply, GError **error)
{
    g_autoptr(virDomain) domain = gw_lv_need(task, error);
    if (domain == NULL)
        return FALSE;

    /* Without VIR_DOMAIN_XML_SECURE: no password leaves its host this way. */
    reply->text = gw_lv_xml(domain, VIR_DOMAIN_XML_INACTIVE, error);
    return reply->text != NULL;
}

/* FALSE with @error unset: it has gone. */
static gboolean look(virDomainPtr domain, GwLook *out, GError **error)
{
    int state = 0, reason = 0, autostart = 0;
    int persistent = 0;

    if (virDomainGetState(domain, &state, &reason, 0) < 0 ||
        (persistent = virDomainIsPersistent(domain)) < 0 ||
        (persistent == 1 && virDomainGetAutostart(domain, &autostart) < 0)) {
        if (gw_lv_last_code() != VIR_ERR_NO_DOMAIN)
            gw_lv_error(error);
        return FALSE;
    }
    GwLvJob job = state == VIR_DOMAIN_SHUTOFF ? GW_LV_JOB_NONE : gw_lv_job(domain);
    if (job == GW_LV_JOB_UNKNOWN) { /* no answer is never "no job" */
        gw_lv_error(error);
        return FALSE;
    }
    out->present = TRUE;
    out->state = gw_lv_state(state);
    out->reason = g_strdup(gw_lv_reason(state, reason));
    out->persistent = persistent == 1;
    out->autostart = autostart != 0;
    out->job_active = job == GW_LV_JOB_OUT || job == GW_LV_JOB_IN;
    return TRUE;
}

gboolean gw_lv_op_look(GwLvTask *task, GwReply *reply, GError **error)
{
    GError *why = NULL;
    g_autoptr(virDomain) domain = gw_lv_find(task, &why);
    GwLook *found = g_new0(GwLook, 1);

    if (domain != NULL)
        look(domain, found, &why);
    if (why != NULL) {
        gw_look_free(found);
        g_propagate_error(error, why);
        return FALSE;
    }
    reply->look = found;
    return TRUE;
}
