/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <netdb.h>
#include <string.h>

#include "base/error.h"
#include "fleet/fleet_internal.h"

/* Names to addresses. The resolver blocks for as long as it likes and cannot be interrupted, so it
 * has a thread, which is left behind where nobody waits for it any more. */

struct GwFleetLookup {
    gatomicrefcount refs; /* the loop's and the thread's */
    GMutex lock;
    GwFleet *fleet; /* (lock) NULL: abandoned; posting happens under the lock */
    GwLoop *loop;
    guint64 serial;
    char *host_id;
    char *name;
    guint16 port;
    char **addresses; /* the outcome, one of the two */
    GError *error;
};

static void lookup_unref(GwFleetLookup *lookup)
{
    if (!g_atomic_ref_count_dec(&lookup->refs))
        return;
    g_mutex_clear(&lookup->lock);
    g_free(lookup->host_id);
    g_free(lookup->name);
    g_strfreev(lookup->addresses);
    g_clear_error(&lookup->error);
    g_free(lookup);
}

static char *with_port(const char *ip, guint16 port)
{
    return g_strdup_printf(strchr(ip, ':') != NULL ? "[%s]:%u" : "%s:%u", ip, port);
}

char **gw_fleet_numeric(const char *address, guint16 port)
{
    guint8 bytes[sizeof(struct in6_addr)];

    if (inet_pton(AF_INET, address, bytes) != 1 && inet_pton(AF_INET6, address, bytes) != 1)
        return NULL;
    char **list = g_new0(char *, 2);
    list[0] = with_port(address, port);
    return list;
}

static char **read_addresses(const struct addrinfo *found, guint16 port)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(g_free);

    for (const struct addrinfo *at = found; at != NULL; at = at->ai_next) {
        char ip[NI_MAXHOST];
        if (list->len >= GW_FLEET_ADDRESSES_MAX)
            break;
        if (getnameinfo(at->ai_addr, at->ai_addrlen, ip, sizeof ip, NULL, 0, NI_NUMERICHOST) == 0)
            g_ptr_array_add(list, with_port(ip, port));
    }
    g_ptr_array_add(list, NULL);
    return (char **)g_ptr_array_steal(list, NULL);
}

static void resolve(GwFleetLookup *lookup)
{
    struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;
    int status = getaddrinfo(lookup->name, NULL, &hints, &found);

    if (status == 0)
        lookup->addresses = read_addresses(found, lookup->port);
    if (found != NULL)
        freeaddrinfo(found);
    if (status != 0 || lookup->addresses[0] == NULL)
        gw_error_set(&lookup->error, GW_ERR_UNREACHABLE,
                     "Check the host's name and this machine's name service, or give the address "
                     "in numbers.",
                     "%s: the name cannot be resolved: %s", lookup->name,
                     status != 0 ? gai_strerror(status) : "no address");
}

static void on_loop(gpointer data)
{
    GwFleetLookup *lookup = data;
    GwFleet *fleet = lookup->fleet; /* changed on this very thread only, so no lock is needed */

    if (fleet != NULL) {
        gw_fleet_looked_up(fleet, lookup->serial, (const char *const *)lookup->addresses,
                           lookup->error);
        g_ptr_array_remove_fast(fleet->lookups, lookup);
    }
    lookup_unref(lookup);
}

static gpointer run(gpointer data)
{
    GwFleetLookup *lookup = data;

    resolve(lookup);
    g_mutex_lock(&lookup->lock);
    if (lookup->fleet != NULL) {
        g_atomic_ref_count_inc(&lookup->refs);
        gw_loop_post(lookup->loop, on_loop, lookup);
    }
    g_mutex_unlock(&lookup->lock);
    lookup_unref(lookup);
    return NULL;
}

void gw_fleet_lookup_abandon(gpointer data)
{
    GwFleetLookup *lookup = data;

    g_mutex_lock(&lookup->lock);
    lookup->fleet = NULL;
    g_mutex_unlock(&lookup->lock);
    lookup_unref(lookup);
}

gboolean gw_fleet_lookup(GwFleetTask *task, GError **error)
{
    GwFleetHost *host = task->host;
    GPtrArray *lookups = task->fleet->lookups;
    guint hanging = 0;

    for (guint i = 0; i < lookups->len; i++)
        hanging += strcmp(((GwFleetLookup *)lookups->pdata[i])->host_id, host->id) == 0;
    if (hanging >= GW_FLEET_LOOKUPS_MAX) {
        gw_error_set(error, GW_ERR_UNREACHABLE, "Check this machine's name service.",
                     "%s: the name is still being looked up, %u times", host->address, hanging);
        return FALSE;
    }
    GwFleetLookup *lookup = g_new0(GwFleetLookup, 1);
    g_atomic_ref_count_init(&lookup->refs);
    g_atomic_ref_count_inc(&lookup->refs);
    g_mutex_init(&lookup->lock);
    lookup->fleet = task->fleet;
    lookup->loop = task->fleet->loop;
    lookup->serial = task->serial;
    lookup->host_id = g_strdup(host->id);
    lookup->name = g_strdup(host->address);
    lookup->port = host->port;
    g_ptr_array_add(lookups, lookup);
    g_thread_unref(g_thread_new("gw-lookup", run, lookup));
    return TRUE;
}
