/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "api/api.h"

#include <string.h>

#include "api/internal.h"
#include "base/error.h"

static char **lower_names(const char *const *names)
{
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    g_autofree char *own = g_ascii_strdown(g_get_host_name(), -1);

    g_strv_builder_add_many(builder, "localhost", own, NULL);
    for (guint i = 0; names != NULL && names[i] != NULL; i++) {
        g_autofree char *name = g_ascii_strdown(names[i], -1);
        g_strv_builder_add(builder, name);
    }
    return g_strv_builder_end(builder);
}

static char *now_text(void)
{
    g_autoptr(GwClock) clock = gw_clock_new_system();
    g_autoptr(GDateTime) now =
        g_date_time_new_from_unix_utc(gw_clock_wall_us(clock) / G_USEC_PER_SEC);
    return g_date_time_format(now, "%Y-%m-%dT%H:%M:%SZ");
}

static char *openapi_text(void)
{
    g_autoptr(GwJson) document = gw_api_openapi();
    return gw_json_text(document);
}

static void api_free(GwApi *api)
{
    if (api == NULL)
        return;
    g_free((char *)api->config.address);
    g_free((char *)api->config.certificate_path);
    g_free((char *)api->config.key_path);
    g_strfreev((char **)api->config.names);
    g_strfreev(api->names);
    g_free(api->instance);
    g_free(api->started_at);
    g_free(api->openapi);
    g_free(api->fingerprint);
    g_hash_table_unref(api->join_failures);
    g_mutex_clear(&api->joins_lock);
    g_hash_table_unref(api->claims);
    g_cond_clear(&api->claims_freed);
    g_mutex_clear(&api->claims_lock);
    g_free(api);
}

static gboolean check_config(const GwApiConfig *config, GError **error)
{
    if (!config->plain && (config->certificate_path == NULL || config->key_path == NULL)) {
        gw_error_set(error, GW_ERR_INVALID, "Set both paths; what is not there is made.",
                     "TLS needs the paths of a certificate and a key");
        return FALSE;
    }
    if (config->plain && !gw_listen_is_loopback(config->address)) {
        gw_error_set(error, GW_ERR_INVALID,
                     "Serve with TLS, or listen on 127.0.0.1 behind a proxy that does.",
                     "without TLS, tokens would be sent in clear on %s", config->address);
        return FALSE;
    }
    return TRUE;
}

static GwApi *api_new(GwEngine *engine, const GwApiConfig *config)
{
    GwApi *api = g_new0(GwApi, 1);

    api->engine = engine;
    api->config = *config;
    api->config.address = g_strdup(config->address);
    api->config.certificate_path = g_strdup(config->certificate_path);
    api->config.key_path = g_strdup(config->key_path);
    api->config.names = (const char *const *)g_strdupv((char **)config->names);
    api->names = lower_names(config->names);
    api->instance = g_strdup_printf("%08x", g_random_int());
    api->started_at = now_text();
    api->openapi = openapi_text();
    api->join_failures = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_mutex_init(&api->joins_lock);
    api->claims = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_mutex_init(&api->claims_lock);
    g_cond_init(&api->claims_freed);
    return api;
}

GwApi *gw_api_start(GwEngine *engine, const GwApiConfig *config, GError **error)
{
    if (!check_config(config, error))
        return NULL;
    GwApi *api = api_new(engine, config);
    api->http = gw_http_start(api, error);
    if (api->http != NULL)
        return api;
    api_free(api);
    return NULL;
}

void gw_api_stop(GwApi *api)
{
    if (api == NULL)
        return;
    g_atomic_int_set(&api->stopping, 1);
    gw_http_stop(api->http);
    api_free(api);
}

guint16 gw_api_port(const GwApi *api)
{
    return gw_http_port(api->http);
}

const char *gw_api_fingerprint(const GwApi *api)
{
    return api->fingerprint;
}
