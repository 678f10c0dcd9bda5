/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "makespan.h"

#include <math.h>

/* Every host has a link of 10 Gbit/s, both ways at once, that its moves share alike. A guest
 * dirties its memory while it is copied: what gets through beyond that is progress; one that gets
 * less through is throttled, and creeps. A move costs a second and a half beside its copy. */

#define LINK_BPS 1.17e9
#define FIXED_S 1.5
#define CREEPS 0.05 /* of what gets through, for a guest that is throttled */

typedef struct {
    const GwPlannedMove *move;
    guint from, to;
    double bytes, dirty_bps, fixed_s;
    guint index; /* in the plan */
    gboolean running, ended;
} Item;

typedef struct {
    GArray *items;
    guint hosts;
    guint *out, *in; /* moves on each link */
    guint *slots;    /* of each host; NULL: not looked at */
    guint *used;
    guint most; /* at one time; 0: all */
    guint running;
    double now_s;
} Race;

static double rate_of(const Race *race, const Item *item)
{
    double rate = MIN(LINK_BPS / race->out[item->from], LINK_BPS / race->in[item->to]);
    return MAX(rate - item->dirty_bps, rate * CREEPS);
}

static gboolean may_begin(const Race *race, const Item *item)
{
    if (item->running || item->ended || (race->most > 0 && race->running >= race->most))
        return FALSE;
    if (item->move->after > 0 && race->slots != NULL) {
        for (guint i = 0; i < race->items->len; i++) {
            const Item *other = &g_array_index(race->items, Item, i);
            if ((gint64)other->index + 1 == item->move->after && !other->ended)
                return FALSE;
        }
    }
    return race->slots == NULL || (race->used[item->from] < race->slots[item->from] &&
                                   race->used[item->to] < race->slots[item->to]);
}

static void begin_all(Race *race, gboolean in_order)
{
    for (guint i = 0; i < race->items->len; i++) {
        Item *item = &g_array_index(race->items, Item, i);
        if (item->ended || item->running)
            continue;
        if (!may_begin(race, item)) {
            if (in_order)
                return;
            continue;
        }
        item->running = TRUE;
        race->out[item->from]++;
        race->in[item->to]++;
        race->used[item->from]++;
        race->used[item->to]++;
        race->running++;
    }
}

static void finish(Race *race, Item *item)
{
    item->running = FALSE;
    item->ended = TRUE;
    race->out[item->from]--;
    race->in[item->to]--;
    race->used[item->from]--;
    race->used[item->to]--;
    race->running--;
}

static void step(Race *race)
{
    double least = INFINITY;

    for (guint i = 0; i < race->items->len; i++) {
        const Item *item = &g_array_index(race->items, Item, i);
        if (item->running)
            least = MIN(least,
                        item->fixed_s > 1e-9 ? item->fixed_s : item->bytes / rate_of(race, item));
    }
    g_autofree double *rates = g_new(double, race->items->len);
    for (guint i = 0; i < race->items->len; i++) {
        const Item *item = &g_array_index(race->items, Item, i);
        rates[i] = item->running ? rate_of(race, item) : 0;
    }
    race->now_s += least;
    for (guint i = 0; i < race->items->len; i++) {
        Item *item = &g_array_index(race->items, Item, i);
        if (!item->running)
            continue;
        if (item->fixed_s > 1e-9)
            item->fixed_s -= least;
        else
            item->bytes -= rates[i] * least;
        if (item->fixed_s <= 1e-9 && item->bytes < 1)
            finish(race, item);
    }
}

static double run(GArray *items, guint hosts, guint *slots, guint most, gboolean in_order)
{
    g_autofree guint *out = g_new0(guint, hosts);
    g_autofree guint *in = g_new0(guint, hosts);
    g_autofree guint *used = g_new0(guint, hosts);
    g_autoptr(GArray) own = g_array_copy(items);
    Race race = { own, hosts, out, in, slots, used, most, 0, 0 };

    for (begin_all(&race, in_order); race.running > 0; begin_all(&race, in_order))
        step(&race);
    return race.now_s;
}

static guint host_number(GHashTable *numbers, const char *id)
{
    return GPOINTER_TO_UINT(g_hash_table_lookup(numbers, id));
}

/* Skewed like sizes: most guests write little. By the VM's name, so that it is the same in all. */
static double dirty_of(const char *name)
{
    static const double mib[] = { 0, 1, 1, 2, 2, 5, 5, 10, 20, 80 };
    return mib[g_str_hash(name) % G_N_ELEMENTS(mib)] * 1048576;
}

static GArray *items_of(const GwMigrationPlan *plan, GHashTable *numbers)
{
    GArray *items = g_array_new(FALSE, FALSE, sizeof(Item));

    for (guint i = 0; i < plan->moves->len; i++) {
        const GwPlannedMove *move = plan->moves->pdata[i];
        Item item = { .move = move,
                      .from = host_number(numbers, move->source_host_id),
                      .to = host_number(numbers, move->destination_host_id),
                      .bytes = (double)move->memory_kib * 1024,
                      .dirty_bps = dirty_of(move->vm_name),
                      .fixed_s = FIXED_S,
                      .index = i };
        g_array_append_val(items, item);
    }
    return items;
}

static int compare_names(gconstpointer a, gconstpointer b)
{
    return g_strcmp0(((const Item *)a)->move->vm_name, ((const Item *)b)->move->vm_name);
}

/* What no order can beat: bytes by the capacity of each link, and the longest move by itself. */
static double bound(const GArray *items, guint hosts)
{
    g_autofree double *out = g_new0(double, hosts);
    g_autofree double *in = g_new0(double, hosts);
    double most = 0;

    for (guint i = 0; i < items->len; i++) {
        const Item *item = &g_array_index(items, Item, i);
        out[item->from] += item->bytes / LINK_BPS;
        in[item->to] += item->bytes / LINK_BPS;
        most = MAX(most, FIXED_S + item->bytes / (LINK_BPS - item->dirty_bps));
    }
    for (guint h = 0; h < hosts; h++)
        most = MAX(most, MAX(out[h], in[h]));
    return most;
}

static void add(json_t *out, const char *key, double value)
{
    json_object_set_new(out, key, json_pack("[f]", value));
}

void makespan_compare(const GwFabric *fabric, const GwMigrationPlan *plan, json_t *out)
{
    g_autoptr(GPtrArray) hosts = gw_fabric_list_hosts(fabric);
    g_autoptr(GHashTable) numbers = g_hash_table_new(g_str_hash, g_str_equal);
    g_autofree guint *slots = g_new(guint, MAX(hosts->len, 1));

    for (guint h = 0; h < hosts->len; h++) {
        GwHost *host = hosts->pdata[h];
        g_hash_table_insert(numbers, host->id, GUINT_TO_POINTER(h));
        slots[h] = (guint)host->live_limit;
    }
    g_autoptr(GArray) planned = items_of(plan, numbers);
    g_autoptr(GArray) named = items_of(plan, numbers);
    g_array_sort(named, compare_names);
    add(out, "planned_s", run(planned, hosts->len, slots, 0, FALSE));
    add(out, "two_s", run(named, hosts->len, NULL, 2, TRUE));
    add(out, "all_s", run(named, hosts->len, NULL, 0, FALSE));
    add(out, "one_s", run(named, hosts->len, NULL, 1, TRUE));
    add(out, "bound_s", bound(planned, hosts->len));
}
