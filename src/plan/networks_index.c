/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/networks_index.h"

#include <string.h>

#define FEW 64  /* to be read one after the other faster than to be put into a table */
#define HOSTS 2 /* both ends of a move */

struct GwNetIndex {
    GwHostFacts *facts; /* a reference: nothing else is ever at its address */
    const GPtrArray *networks;
    guint count;
    char **bridges;
    GHashTable *names; /* name -> GwNetName; the names are the facts' */
};

typedef struct {
    GwNetIndex *index[HOSTS]; /* the one that was asked for last comes first */
} Recent;

static void index_free(GwNetIndex *index)
{
    if (index == NULL)
        return;
    g_hash_table_unref(index->names);
    gw_host_facts_free(index->facts);
    g_free(index);
}

static void recent_free(gpointer data)
{
    Recent *recent = data;

    for (guint i = 0; i < HOSTS; i++)
        index_free(recent->index[i]);
    g_free(recent);
}

static gboolean is_bridge(const GwNetwork *network)
{
    return g_strcmp0(network->kind, "bridge") == 0;
}

static GwNetName *name_in(const GwNetIndex *index, char *name)
{
    GwNetName *found = g_hash_table_lookup(index->names, name);

    if (found == NULL) {
        found = g_new0(GwNetName, 1);
        g_hash_table_insert(index->names, name, found);
    }
    return found;
}

/* Of two of one name the first is meant. */
static void add_record(const GwNetIndex *index, const GwNetwork *network)
{
    GwNetName *name = network->name != NULL ? name_in(index, network->name) : NULL;
    const GwNetwork **place = name == NULL         ? NULL
                              : is_bridge(network) ? &name->bridge
                                                   : &name->network;

    if (place != NULL && *place == NULL)
        *place = network;
}

/* Once all records are there. */
static void add_user(const GwNetIndex *index, const GwNetwork *network)
{
    if (is_bridge(network) || network->bridge == NULL)
        return;
    GwNetName *name = name_in(index, network->bridge);
    if (name->owner == NULL && network->forward != NULL && strcmp(network->forward, "bridge") != 0)
        name->owner = network;
    if (name->bridge == NULL || name->bridge->mtu <= 0 || name->bridge->mtu == network->mtu)
        name->of_network = TRUE;
}

static GwNetIndex *index_new(GwHostFacts *facts)
{
    GwNetIndex *index = g_new0(GwNetIndex, 1);

    index->facts = gw_record_ref(facts);
    index->networks = facts->networks;
    index->count = facts->networks->len;
    index->bridges = facts->bridges;
    index->names = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
    for (guint i = 0; facts->networks != NULL && i < facts->networks->len; i++)
        add_record(index, facts->networks->pdata[i]);
    for (guint i = 0; facts->networks != NULL && i < facts->networks->len; i++)
        add_user(index, facts->networks->pdata[i]);
    for (char **bridge = facts->bridges; bridge != NULL && *bridge != NULL; bridge++)
        name_in(index, *bridge)->listed = TRUE;
    return index;
}

static gboolean is_of(const GwNetIndex *index, const GwHostFacts *facts)
{
    return index != NULL && index->facts == facts && index->networks == facts->networks &&
           index->count == facts->networks->len && index->bridges == facts->bridges;
}

/* What is read over and over for one move is put into a table once. It is each thread's own: plans
 * are made by several at once. */
const GwNetIndex *gw_net_index(const GwHost *host)
{
    static GPrivate key = G_PRIVATE_INIT(recent_free);
    GwHostFacts *facts = host->facts;

    if (facts == NULL || facts->networks == NULL || facts->networks->len <= FEW)
        return NULL;
    Recent *recent = g_private_get(&key);
    if (recent == NULL) {
        recent = g_new0(Recent, 1);
        g_private_set(&key, recent);
    }
    if (is_of(recent->index[0], facts))
        return recent->index[0];
    GwNetIndex *found = recent->index[1];
    if (!is_of(found, facts)) {
        index_free(found);
        found = index_new(facts);
    }
    recent->index[1] = recent->index[0];
    recent->index[0] = found;
    return found;
}

const GwNetName *gw_net_index_find(const GwNetIndex *index, const char *name)
{
    static const GwNetName none = { 0 };
    const GwNetName *found = name != NULL ? g_hash_table_lookup(index->names, name) : NULL;

    return found != NULL ? found : &none;
}
