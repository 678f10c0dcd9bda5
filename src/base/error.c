/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"

#include "base/text.h"

typedef struct {
    char *remedy;
} GwErrorPrivate;

static void gw_error_private_init(GwErrorPrivate *priv)
{
    priv->remedy = NULL;
}

static void gw_error_private_copy(const GwErrorPrivate *src, GwErrorPrivate *dest)
{
    dest->remedy = g_strdup(src->remedy);
}

static void gw_error_private_clear(GwErrorPrivate *priv)
{
    g_free(priv->remedy);
}

G_DEFINE_EXTENDED_ERROR(GwError, gw_error)

void gw_error_set(GError **error, GwErrorCode code, const char *remedy, const char *format, ...)
{
    if (error == NULL)
        return;

    va_list args;
    va_start(args, format);
    g_autofree char *raw = g_strdup_vprintf(format, args);
    va_end(args);

    g_autofree char *message = gw_text_printable(raw, GW_TEXT_MESSAGE_MAX);
    g_set_error_literal(error, GW_ERROR, (int)code, message);
    gw_error_get_private(*error)->remedy = g_strdup(remedy);
}

const char *gw_error_remedy(const GError *error)
{
    if (error == NULL || error->domain != GW_ERROR)
        return NULL;
    return gw_error_get_private(error)->remedy;
}

gboolean gw_error_leaves_open(const GError *error)
{
    return g_error_matches(error, GW_ERROR, GW_ERR_UNREACHABLE) ||
           g_error_matches(error, GW_ERROR, GW_ERR_TIMEOUT) ||
           g_error_matches(error, GW_ERROR, GW_ERR_UNKNOWN_OUTCOME);
}

static const char *const code_words[] = {
    [GW_ERR_INTERNAL] = "internal",
    [GW_ERR_INVALID] = "invalid",
    [GW_ERR_NOT_FOUND] = "not-found",
    [GW_ERR_CONFLICT] = "conflict",
    [GW_ERR_REFUSED] = "refused",
    [GW_ERR_UNAUTHORIZED] = "unauthorized",
    [GW_ERR_FORBIDDEN] = "forbidden",
    [GW_ERR_TOO_LARGE] = "too-large",
    [GW_ERR_UNREACHABLE] = "unreachable",
    [GW_ERR_TIMEOUT] = "timeout",
    [GW_ERR_CANCELLED] = "cancelled",
    [GW_ERR_UNKNOWN_OUTCOME] = "unknown-outcome",
    [GW_ERR_UNSUPPORTED] = "unsupported",
    [GW_ERR_STORE] = "store",
    [GW_ERR_OPERATION] = "operation-failed",
    [GW_ERR_BUSY] = "busy",
};

const char *gw_error_code_word(GwErrorCode code)
{
    return (guint)code < G_N_ELEMENTS(code_words) ? code_words[code] : "internal";
}

GwErrorCode gw_error_code_from_word(const char *word)
{
    for (guint i = 0; i < G_N_ELEMENTS(code_words); i++) {
        if (g_strcmp0(code_words[i], word) == 0)
            return (GwErrorCode)i;
    }
    return GW_ERR_INTERNAL;
}
