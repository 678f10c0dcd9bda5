/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "base/text.h"
#include "fleet/fleet_internal.h"

/* What agents say of themselves, read as hostile text: in form, in number, and fit to be printed.
 * An agent may be newer than we are, so what we do not know is skipped. */

#define ITEMS_MAX 1024 /* of one list */
#define WARNINGS_MAX 64

static void clean(const GwRecord *record, gpointer self);

static void clean_strings(char **list)
{
    for (guint i = 0; list != NULL && list[i] != NULL; i++) {
        g_autofree char *raw = list[i];
        list[i] = gw_text_printable(raw, GW_TEXT_MESSAGE_MAX);
        if (i >= ITEMS_MAX) { /* the rest goes */
            for (guint j = i + 1; list[j] != NULL; j++)
                g_free(g_steal_pointer(&list[j]));
            return;
        }
    }
}

static void clean_array(const GwRecord *record, GPtrArray *array)
{
    if (array == NULL)
        return;
    if (array->len > ITEMS_MAX)
        g_ptr_array_set_size(array, ITEMS_MAX);
    for (guint i = 0; i < array->len; i++)
        clean(record, array->pdata[i]);
}

/* Replaces, in every text of the record, what could drive a terminal. */
static void clean(const GwRecord *record, gpointer self)
{
    for (const GwField *field = record->fields; field->name != NULL; field++) {
        gpointer *at = G_STRUCT_MEMBER_P(self, field->offset);
        if (field->type == GW_STRING && *at != NULL) {
            g_autofree char *raw = *at;
            *at = gw_text_printable(raw, GW_TEXT_MESSAGE_MAX);
        } else if (field->type == GW_STRINGS) {
            clean_strings(*at);
        } else if (field->type == GW_OBJECT && *at != NULL) {
            clean(field->of, *at);
        } else if (field->type == GW_ARRAY) {
            clean_array(field->of, *at);
        }
    }
}

char *gw_fleet_read_text(const json_t *said, const char *key)
{
    const char *raw = json_string_value(json_object_get(said, key));
    return raw != NULL ? gw_text_printable(raw, GW_TEXT_NAME_MAX) : NULL;
}

gpointer gw_fleet_read_record(const GwRecord *record, json_t *said, GError **error)
{
    gpointer self = gw_record_from_stored(record, said, error);

    if (self != NULL)
        clean(record, self);
    return self;
}

static void add_warning(GwAgentFacts *facts, const char *text)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; facts->warnings != NULL && facts->warnings[i] != NULL; i++)
        g_ptr_array_add(list, g_strdup(facts->warnings[i]));
    g_ptr_array_set_size(list, (gint)MIN(list->len, WARNINGS_MAX));
    g_ptr_array_add(list, g_strdup(text));
    g_ptr_array_add(list, NULL);
    g_strfreev(facts->warnings);
    facts->warnings = (char **)g_ptr_array_steal(list, NULL);
}

/* What is known of an agent that does not say it: the last it said, or what its session showed. */
static GwAgentFacts *known(const GwFleetHost *host, const char *why)
{
    GwAgentFacts *facts =
        host->facts != NULL ? gw_agent_facts_copy(host->facts) : gw_agent_facts_new();
    g_autofree char *warning =
        g_strdup_printf("the agent does not say how its machine is: %s", why);

    if (facts->version == NULL && host->link != NULL)
        facts->version = g_strdup(host->link->software);
    add_warning(facts, warning);
    return facts;
}

/* Networks -------------------------------------------------------------------------------- */

static GwNetwork *find_bridge(const GwHostFacts *facts, const char *name)
{
    for (guint i = 0; facts->networks != NULL && i < facts->networks->len; i++) {
        GwNetwork *network = facts->networks->pdata[i];
        if (g_strcmp0(network->kind, "bridge") == 0 && g_strcmp0(network->name, name) == 0)
            return network;
    }
    return NULL;
}

/* One that libvirt does not tell: not every host has its interface driver. */
static GwNetwork *add_bridge(GwHostFacts *facts, const char *name)
{
    GwNetwork *bridge = gw_network_new();
    guint count = facts->bridges != NULL ? g_strv_length(facts->bridges) : 0;

    bridge->name = g_strdup(name);
    bridge->kind = g_strdup("bridge");
    bridge->bridge = g_strdup(name);
    if (facts->networks == NULL)
        facts->networks = gw_record_array(&gw_network_record);
    g_ptr_array_add(facts->networks, bridge);
    if (facts->bridges != NULL && g_strv_contains((const char *const *)facts->bridges, name))
        return bridge;
    facts->bridges = g_renew(char *, facts->bridges, count + 2);
    facts->bridges[count] = g_strdup(name);
    facts->bridges[count + 1] = NULL;
    return bridge;
}

/* What the agent sees of bridges is told with them, where the planner looks for it (R40). */
static void learn_bridges(GwHostFacts *facts)
{
    const GPtrArray *interfaces = facts->agent->interfaces;

    for (guint i = 0; interfaces != NULL && i < interfaces->len; i++) {
        const GwInterface *seen = interfaces->pdata[i];
        GwNetwork *bridge = seen->name != NULL ? find_bridge(facts, seen->name) : NULL;
        if (bridge == NULL && !(seen->bridge && seen->name != NULL))
            continue;
        if (bridge == NULL)
            bridge = add_bridge(facts, seen->name);
        bridge->active = TRUE; /* it is there; down only means that no port of it carries yet */
        if (seen->mtu > 0)
            bridge->mtu = seen->mtu;
        if (seen->subnets != NULL && seen->subnets[0] != NULL) {
            g_strfreev(bridge->subnets);
            bridge->subnets = g_strdupv(seen->subnets);
            gw_text_sort(bridge->subnets);
        }
    }
    if (facts->networks != NULL)
        gw_networks_sort(facts->networks);
    gw_text_sort(facts->bridges);
}

void gw_fleet_merge_facts(GwFleetHost *host, GwHostFacts *facts, json_t *said, const GError *why)
{
    g_autoptr(GError) broken = NULL;

    gw_agent_facts_free(facts->agent);
    facts->agent = NULL;
    if (!gw_fleet_link_is_usable(host))
        return;
    if (said != NULL)
        facts->agent = gw_fleet_read_record(&gw_agent_facts_record, said, &broken);
    if (facts->agent != NULL) {
        gw_agent_facts_free(host->facts);
        host->facts = gw_agent_facts_copy(facts->agent);
    } else {
        facts->agent = known(host, broken != NULL ? broken->message
                                   : why != NULL  ? why->message
                                                  : "no answer");
    }
    facts->agent->wire_version = gw_session_version(host->link->session);
    learn_bridges(facts);
}
