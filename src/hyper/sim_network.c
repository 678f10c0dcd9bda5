/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "hyper/sim_storage.h"

/* Network adapters that are attached elsewhere after a move, and what a host has to attach them to.
 */

static GwNic *find_nic(GPtrArray *nics, const char *mac, guint *index)
{
    for (guint i = 0; nics != NULL && mac != NULL && i < nics->len; i++) {
        GwNic *nic = nics->pdata[i];
        *index = i;
        if (nic->mac != NULL && g_ascii_strcasecmp(nic->mac, mac) == 0)
            return nic;
    }
    return NULL;
}

gboolean gw_sim_apply_nics(GwVm *vm, const GPtrArray *moves, GError **error)
{
    for (guint i = 0; moves != NULL && i < moves->len; i++) {
        const GwNicMove *move = moves->pdata[i];
        guint index = 0;
        if (!move->changes || move->to == NULL)
            continue;
        GwNic *nic = find_nic(vm->nics, move->mac, &index);
        if (nic == NULL) {
            gw_error_set(error, GW_ERR_NOT_FOUND, NULL, "the VM has no adapter %s", move->mac);
            return FALSE;
        }
        vm->nics->pdata[index] = gw_nic_copy(move->to);
        gw_nic_free(nic);
    }
    return TRUE;
}

static gboolean has_network(const GwHostFacts *facts, const char *name)
{
    for (guint i = 0; facts->networks != NULL && i < facts->networks->len; i++) {
        const GwNetwork *network = facts->networks->pdata[i];
        if (g_strcmp0(network->kind, "bridge") != 0 && g_strcmp0(network->name, name) == 0)
            return network->active;
    }
    return FALSE;
}

gboolean gw_sim_has_networks(const SimHost *host, const GwVm *vm, GError **error)
{
    const GwHostFacts *facts = host->facts;
    gboolean tells_networks = facts->networks != NULL && facts->networks->len > 0;
    gboolean tells_bridges = facts->bridges != NULL && facts->bridges[0] != NULL;

    for (guint i = 0; vm->nics != NULL && i < vm->nics->len; i++) {
        const GwNic *nic = vm->nics->pdata[i];
        if (tells_networks && g_strcmp0(nic->type, "network") == 0 &&
            !has_network(facts, nic->source)) {
            gw_error_set(error, GW_ERR_OPERATION, NULL,
                         "Network not found: no network with matching name '%s'", nic->source);
            return FALSE;
        }
        if (tells_bridges && g_strcmp0(nic->type, "bridge") == 0 && nic->source != NULL &&
            !g_strv_contains((const char *const *)facts->bridges, nic->source)) {
            gw_error_set(error, GW_ERR_OPERATION, NULL,
                         "Cannot get interface MTU on '%s': No such device", nic->source);
            return FALSE;
        }
    }
    return TRUE;
}
