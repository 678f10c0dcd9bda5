/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "api/api.h"
#include "fake_engine.h"

/* The API over the test double, for tests/api/test_api.py: prints its port, then serves until its
 * standard input ends; each line on it lets time pass once. */

int main(int argc, char **argv)
{
    static char *fabric, *certificates;
    static gboolean plain;
    static int vms, connections = 1000, per_address = 400, streams = 300, timeout = 30, keep = 15;
    const GOptionEntry entries[] = {
        { "fabric", 0, 0, G_OPTION_ARG_FILENAME, &fabric, "Fabric to serve", "FILE" },
        { "certificates", 0, 0, G_OPTION_ARG_FILENAME, &certificates, "Folder for TLS", "DIR" },
        { "plain", 0, 0, G_OPTION_ARG_NONE, &plain, "No TLS", NULL },
        { "vms", 0, 0, G_OPTION_ARG_INT, &vms, "Add so many VMs", "N" },
        { "connections", 0, 0, G_OPTION_ARG_INT, &connections, "Limit", "N" },
        { "per-address", 0, 0, G_OPTION_ARG_INT, &per_address, "Limit", "N" },
        { "streams", 0, 0, G_OPTION_ARG_INT, &streams, "Limit", "N" },
        { "request-timeout", 0, 0, G_OPTION_ARG_INT, &timeout, "Seconds", "N" },
        { "keep-alive", 0, 0, G_OPTION_ARG_INT, &keep, "Seconds", "N" },
        G_OPTION_ENTRY_NULL,
    };
    g_autoptr(GError) error = NULL;
    g_autoptr(GOptionContext) context = g_option_context_new("- the API over a test double");
    char line[64];

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error) || fabric == NULL) {
        fprintf(stderr, "%s\n", error != NULL ? error->message : "--fabric is needed");
        return 2;
    }
    GwEngine *engine = fake_engine_new(fabric, &error);
    if (engine == NULL) {
        fprintf(stderr, "%s\n", error->message);
        return 1;
    }
    fake_engine_add_vms(engine, (guint)vms);

    g_autofree char *certificate =
        certificates != NULL ? g_build_filename(certificates, "server.pem", NULL) : NULL;
    g_autofree char *key =
        certificates != NULL ? g_build_filename(certificates, "server-key.pem", NULL) : NULL;
    GwApiConfig config = GW_API_CONFIG_DEFAULT;
    config.port = 0;
    config.plain = plain;
    config.certificate_path = certificate;
    config.key_path = key;
    config.connections_max = (guint)connections;
    config.connections_per_address_max = (guint)per_address;
    config.streams_max = (guint)streams;
    config.request_timeout_s = (guint)timeout;
    config.keep_alive_s = (guint)keep;
    GwApi *api = gw_api_start(engine, &config, &error);
    if (api == NULL) {
        fprintf(stderr, "%s\n", error->message);
        return 1;
    }
    printf("%u\n", gw_api_port(api));
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        fake_engine_tick(engine);
        printf("%u\n", fake_engine_moves(engine));
        fflush(stdout);
    }
    gw_api_stop(api);
    fake_engine_free(engine);
    g_free(fabric);
    g_free(certificates);
    return 0;
}
