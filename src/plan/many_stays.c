/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/text.h"
#include "plan/many.h"
#include "plan/rule.h"

/* What cannot leave, and why: in one sentence for all hosts, and in findings for the one that comes
 * nearest (I8). */

typedef struct {
    Many *many;
    ManyBooks *books; /* at the plan's end */
    guint vm;
    ManyFit *fits; /* of each host */
    guint arrived; /* at the nearest host, by this plan */
} Stay;

static GwFinding *finding(const char *rule, const char *requirement, char *observed, char *required,
                          char *remedy)
{
    GwFinding *f = gw_finding_new();

    f->rule = g_strdup(rule);
    f->requirement = g_strdup(requirement);
    f->severity = (int)GW_SEVERITY_ERROR;
    f->observed = gw_text_printable(observed, GW_TEXT_MESSAGE_MAX);
    f->required = gw_text_printable(required, GW_TEXT_MESSAGE_MAX);
    f->remedy = gw_text_printable(remedy, GW_TEXT_MESSAGE_MAX);
    g_free(observed);
    g_free(required);
    g_free(remedy);
    return f;
}

/* What stands in the way there besides the verdict, which holds for ever. */
static GwFinding *changing(const Stay *stay, guint host)
{
    const Many *many = stay->many;
    const ManyVm *item = many_vm(many, stay->vm);
    const char *on = gw_plan_host_name(many_host(many, host)->host);
    const char *name = gw_plan_vm_name(item->vm);
    g_autofree char *need = gw_plan_size(item->memory_kib);
    g_autofree char *left = gw_plan_size(MAX(stay->books->memory_kib[host], 0));
    const ManyUnit *unit = many_unit(many, item->unit);
    const ManyGroup *apart = NULL;

    switch (unit->impossible != NULL ? MANY_HERE : stay->fits[host]) {
    case MANY_NO_MEMORY:
        return finding(
            "memory", "R45",
            g_strdup_printf("%s has %s of memory left at the plan's end, without its "
                            "reserve and what other jobs bring",
                            on, left),
            g_strdup_printf("%s for %s.", need, name),
            g_strdup_printf("Free memory on %s, add a host, or shut %s down.", on, name));
    case MANY_NO_CPU:
        return finding(
            "cpu", "R33", g_strdup_printf("The CPUs of %s are busy", on),
            g_strdup_printf("%" G_GINT64_FORMAT " %% of one CPU for %s.", item->cpu / 10, name),
            g_strdup("Wait until it is less busy, or add a host."));
    case MANY_APART:
        apart = many_apart(stay->books, stay->vm, host);
        return apart->rule != NULL
                   ? finding("vm-anti-affinity", "R57",
                             g_strdup_printf("%s runs, or arrives, a VM that rule '%s' keeps apart "
                                             "from %s",
                                             on, apart->name, name),
                             g_strdup("Hosts of their own for the VMs of that rule."),
                             g_strdup_printf("Add a host, or make the rule preferred: godwit rule "
                                             "set %s.",
                                             apart->name))
                   : finding("vm-twin", "R7",
                             g_strdup_printf("%s has, or gets, another VM named %s", on, name),
                             g_strdup("A name that is free at the destination."),
                             g_strdup("Rename one of the two while it is off: virsh domrename."));
    case MANY_NO_SPACE:
        return finding(
            "storage-space", "R26",
            g_strdup_printf("The pools of %s have too little room for the disks of %s", on, name),
            g_strdup("Room for what is copied there, beside what else is."),
            g_strdup_printf("Make room, or choose another pool of %s (--storage).", on));
    case MANY_FILE_THERE:
        return finding(
            "volume-there", "R30",
            g_strdup_printf("%s has, or gets, a file where a disk of %s would go", on, name),
            g_strdup("A name that is free."),
            g_strdup("Choose another pool (--storage), or move the VM by itself."));
    case MANY_NO_VPORT:
        return finding(
            "virtual-hba", "R41",
            g_strdup_printf("The HBAs of %s have no vport left for the virtual HBAs of %s, beside "
                            "what is handed over to it",
                            on, name),
            g_strdup("A vport for each virtual HBA that comes there."),
            g_strdup_printf("Remove virtual HBAs that %s needs no more, or give it one of its own "
                            "for that pool.",
                            on));
    case MANY_COPIES:
        return finding("storage-reach", "R13",
                       g_strdup_printf("%s does not reach all disks of %s, and copying disks was "
                                       "not asked for",
                                       on, name),
                       g_strdup("Storage that both hosts share, or leave to copy."),
                       g_strdup("Let disks be copied: --storage."));
    case MANY_FITS:
        return unit->vms->len > 1
                   ? finding(
                         "vm-affinity", "R57",
                         g_strdup_printf("%s has %s of memory left at the plan's end", on, left),
                         g_strdup_printf("Room on one host for all %u VMs that rules keep "
                                         "together with %s.",
                                         unit->vms->len, name),
                         g_strdup("Free memory on a host, or make the rule preferred."))
                   : NULL;
    default:
        return NULL;
    }
}

static GPtrArray *errors_at(const Stay *stay, guint host)
{
    const Many *many = stay->many;
    GPtrArray *errors = gw_record_array(&gw_finding_record);
    const GwHost *there = many_host(many, host)->host;
    GwPlanInput input = { .fabric = many->fabric,
                          .vm = many_vm(many, stay->vm)->vm,
                          .source = many_host(many, many_vm(many, stay->vm)->home)->host,
                          .destination = there,
                          .options = many->request->options };
    GwFinding *more = changing(stay, host);

    if (more != NULL) {
        g_ptr_array_add(errors, more);
        return errors;
    }
    if (many_is_closed(many, stay->vm, host))
        g_ptr_array_add(errors, finding("maintenance", "R49",
                                        g_strdup_printf("%s is %s", gw_plan_host_name(there),
                                                        there->maintenance == (int)GW_MAINTENANCE_IN
                                                            ? "in maintenance"
                                                            : "entering maintenance"),
                                        g_strdup("A host that takes VMs."),
                                        g_strdup_printf("End it: godwit host maintenance %s off.",
                                                        gw_plan_host_name(there))));
    g_autoptr(GwCandidate) candidate = gw_plan_candidate(&input);
    for (guint i = 0; i < candidate->findings->len; i++) {
        const GwFinding *f = candidate->findings->pdata[i];
        if (f->severity == (int)GW_SEVERITY_ERROR && g_strcmp0(f->rule, "maintenance") != 0)
            g_ptr_array_add(errors, gw_finding_copy(f));
    }
    return errors;
}

static guint error_count(const GwMatrixCell *cell)
{
    guint count = 0;

    for (guint i = 0; i < cell->candidate->findings->len; i++)
        count +=
            ((GwFinding *)cell->candidate->findings->pdata[i])->severity == (int)GW_SEVERITY_ERROR;
    return count;
}

/* How far a host is from taking the VM: first by what kind of thing is missing. */
static gint64 distance(const Stay *stay, guint host)
{
    static const gint64 far[] = {
        [MANY_FITS] = 0,       [MANY_NO_MEMORY] = 0, [MANY_NO_CPU] = 0,   [MANY_NO_SPACE] = 1,
        [MANY_FILE_THERE] = 1, [MANY_COPIES] = 2,    [MANY_APART] = 3,    [MANY_IMPOSSIBLE] = 4,
        [MANY_HERE] = 5,       [MANY_NOT_ASKED] = 5, [MANY_NO_VPORT] = 1,
    };
    const Many *many = stay->many;
    gint64 kind = far[stay->fits[host]] << 58;

    if (stay->fits[host] == MANY_IMPOSSIBLE) {
        const GwMatrixCell *cell = many_cell(many, stay->vm, many_vm(many, stay->vm)->home, host);
        return kind + (cell != NULL ? error_count(cell) : 0);
    }
    return kind + MAX(many_vm(many, stay->vm)->memory_kib - stay->books->memory_kib[host], 0);
}

static guint nearest(const Stay *stay)
{
    guint found = MANY_NONE;

    for (guint h = 0; h < stay->many->hosts->len; h++) {
        if (stay->fits[h] == MANY_HERE || stay->fits[h] == MANY_NOT_ASKED)
            continue;
        if (found == MANY_NONE || distance(stay, h) < distance(stay, found))
            found = h;
    }
    return found;
}

/* "2 hosts have too little memory left, 1 is too busy" */
static char *reasons(const Stay *stay)
{
    static const struct {
        ManyFit fit;
        const char *one, *several;
    } words[] = {
        { MANY_NO_MEMORY, "has too little memory left", "have too little memory left" },
        { MANY_NO_CPU, "is too busy", "are too busy" },
        { MANY_APART, "has a VM that it must be apart from",
          "have a VM that it must be apart from" },
        { MANY_NO_SPACE, "has too little room for its disks",
          "have too little room for its disks" },
        { MANY_FILE_THERE, "has a file where a disk of it would go",
          "have a file where a disk of it would go" },
        { MANY_NO_VPORT, "has no vport left for its virtual HBAs",
          "have no vport left for its virtual HBAs" },
        { MANY_COPIES, "does not reach its disks, and copying was not asked for",
          "do not reach its disks, and copying was not asked for" },
        { MANY_IMPOSSIBLE, "cannot take it at all", "cannot take it at all" },
        { MANY_FITS, "would take it, but not together with what goes there",
          "would take it, but not together with what goes there" },
    };
    GString *out = g_string_new(NULL);

    for (guint i = 0; i < G_N_ELEMENTS(words); i++) {
        guint count = 0;
        for (guint h = 0; h < stay->many->hosts->len; h++)
            count += stay->fits[h] == words[i].fit;
        const char *hosts = out->len > 0 ? "" : count == 1 ? " host" : " hosts";
        if (count > 0)
            g_string_append_printf(out, "%s%u%s %s", out->len > 0 ? ", " : "", count, hosts,
                                   count == 1 ? words[i].one : words[i].several);
    }
    return g_string_free(out, FALSE);
}

static char *why_of(const Stay *stay, guint near, const GPtrArray *findings)
{
    const ManyVm *item = many_vm(stay->many, stay->vm);
    const ManyUnit *unit = many_unit(stay->many, item->unit);
    const char *name = gw_plan_vm_name(item->vm);
    g_autofree char *all = reasons(stay);

    if (unit->impossible != NULL)
        return g_strdup_printf("%s cannot leave: %s.", name, unit->impossible);
    if (near == MANY_NONE)
        return g_strdup_printf("%s cannot leave: there is no host that it may go to.", name);
    if (unit->vms->len > 1)
        return g_strdup_printf("%s goes only together with %u other VM%s by a rule, and no host "
                               "takes them all: %s.",
                               name, unit->vms->len - 1, unit->vms->len == 2 ? "" : "s", all);
    return g_strdup_printf("%s cannot leave: %s; nearest is %s: %s.", name, all,
                           gw_plan_host_name(many_host(stay->many, near)->host),
                           findings->len > 0 ? ((GwFinding *)findings->pdata[0])->observed
                                             : "not all that go there fit together");
}

/* Where nobody is to be told a reason by, since no host was looked at (I8). */
static GPtrArray *no_destination(void)
{
    GPtrArray *out = gw_record_array(&gw_finding_record);
    GwFinding *finding = gw_finding_new();

    finding->rule = g_strdup("destination");
    finding->requirement = g_strdup("R49");
    finding->severity = (int)GW_SEVERITY_ERROR;
    finding->observed = g_strdup("No other host may be its destination");
    finding->required = g_strdup("A host of those that were asked for, that is not to be emptied.");
    finding->remedy =
        g_strdup("Add a host, name other destinations, or empty fewer hosts at once.");
    g_ptr_array_add(out, finding);
    return out;
}

static GwPlannedStay *write_stay(const Stay *stay)
{
    const Many *many = stay->many;
    const ManyVm *item = many_vm(many, stay->vm);
    const GwHost *home = many_host(many, item->home)->host;
    GwPlannedStay *out = gw_planned_stay_new();
    guint near = nearest(stay);

    out->vm_uuid = g_strdup(item->vm->uuid);
    out->vm_name = gw_text_printable(gw_plan_vm_name(item->vm), GW_TEXT_NAME_MAX);
    out->host_id = g_strdup(home->id);
    out->host_name = g_strdup(gw_plan_host_name(home));
    out->findings = near != MANY_NONE ? errors_at(stay, near) : no_destination();
    g_autofree char *why = why_of(stay, near, out->findings);
    out->why = gw_text_printable(why, GW_TEXT_MESSAGE_MAX);
    return out;
}

/* The books when all is done. */
static ManyBooks *books_at_end(const Many *many)
{
    ManyBooks *books = many_books_new(many);

    for (guint i = 0; i < many->steps->len; i++) {
        const ManyStep *step = many_step(many, i);
        many_arrive(books, step->vm, step->to);
        many_depart(books, step->vm, step->from);
    }
    return books;
}

void many_write_stays(Many *many, GwMigrationPlan *plan)
{
    g_autoptr(ManyBooks) books = books_at_end(many);
    g_autofree ManyFit *fits = g_new(ManyFit, MAX(many->hosts->len, 1));

    for (guint i = 0; i < many->stays->len; i++)
        g_ptr_array_add(plan->stays, gw_planned_stay_copy(many->stays->pdata[i]));
    for (guint v = 0; v < many->vms->len; v++) {
        Stay stay = { many, books, v, fits, 0 };
        if (many_is_end(many, v, books->at[v]))
            continue;
        for (guint h = 0; h < many->hosts->len; h++) {
            fits[h] = many_fits(books, v, h, TRUE);
            /* Memory is asked for first; what holds for ever matters more here. */
            ManyFit may = many_may(many, v, books->at[v], h);
            if (may != MANY_FITS)
                fits[h] = may;
            if (fits[h] != MANY_HERE && many_vm(many, v)->target != MANY_NONE &&
                h != many_vm(many, v)->target)
                fits[h] = MANY_NOT_ASKED;
        }
        g_ptr_array_add(plan->stays, write_stay(&stay));
    }
}
